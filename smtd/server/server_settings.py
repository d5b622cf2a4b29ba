"""The settings of a server: what to serve, where, and to whom. Imports nothing heavy."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from smtd.configured_server import is_loopback
from smtd.errors import UsageError
from smtd.server.accounts.rights import Right
from smtd.server.origins import Origins
from smtd.stores.location import Location


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What is served, and to whom.

    *store*: the SQLite file, or the location of another store; *host* and *port*: where to listen (port 0:
    any free one). *url*: the address that clients use, with a slash at its end (empty: none is fixed).
    *proxies*: addresses of trusted proxies. *anonymous*: the right that everyone has in every project, also
    without a login. *sockets*: where to accept clients, if others listen for the server already: on *host*
    and *port*. *index*: the file of the search index of the pages (None: one that is removed at the end).
    """

    store: Path | Location
    host: str = "127.0.0.1"
    port: int = 8471
    url: str = ""
    proxies: tuple[str, ...] = ()
    cert_file: Path | None = None
    key_file: Path | None = None
    anonymous: Right = Right.NONE
    sockets: tuple[socket.socket, ...] = ()
    index: Path | None = None

    @property
    def origins(self) -> Origins:
        """The rules by which the server finds where a request comes from."""
        return Origins(self.url, self.proxies, is_loopback(self.host), self.cert_file is not None)

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context; None if there is no certificate: a proxy does TLS, or none is used. Blocks.

        Raises UsageError for a certificate that cannot be used.
        """
        if self.cert_file is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.cert_file, self.key_file, _no_password)
        except (OSError, ssl.SSLError) as exc:
            raise UsageError(f"the certificate {self.cert_file} cannot be used: {exc}") from exc
        return context

    def check(self) -> None:
        """Raise UsageError if passwords would go over a network in the clear."""
        if not (self.cert_file or self.proxies or is_loopback(self.host)):
            raise UsageError(
                f"{self.host} is reached from other machines, so passwords would be sent in the clear: set"
                " cert_file and key_file in [server], or proxy, or listen on 127.0.0.1"
            )


def _no_password() -> str:
    """Raise UsageError for a key with a password: OpenSSL would ask for it on the terminal, without end."""
    raise UsageError("the key in key_file has a password, which smtd cannot enter; use a key without one")
