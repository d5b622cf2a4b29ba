"""Addresses of databases on servers, with the login. Sumatra reads them literally, without URL-encoding."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from smtd import regular
from smtd.errors import StoreRefused, UsageError
from smtd.stores.access import Access
from smtd.stores.tls import unusable

#: How a connection may be protected, as PostgreSQL's own programs name it (`sslmode`).
TLS_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
#: Seconds for which no transaction is idle, unless this process is stopped or its machine is gone.
LONGEST_IDLE = 60


def parsed(scheme: str, usual_port: int, address: str, access: Access) -> tuple[str, Access]:
    """Return *address* with *scheme* and without a login, and the access with the login; see `Server.parse`.

    Raises UsageError, whose text has no secret.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise UsageError("this is not the address of a database: its host or port cannot be read") from None
    database = parts.path.rsplit("/", 1)[-1]
    tls = options.pop("sslmode", access.tls)
    if not database or parts.fragment or options or tls not in ("", *TLS_MODES):
        raise UsageError(
            "this is not the address of a database; write it like postgresql://user@host/name,"
            f" with ?sslmode={' or '.join(TLS_MODES)} if needed"
        )
    if parts.username:
        access = access.of(parts.username, parts.password)
    place = f"[{host}]" if ":" in (host or "") else host or ""
    place += "" if port in (None, usual_port) else f":{port}"
    return f"{scheme}://{place}/{database}", replace(access, tls=tls)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a database on a server, with the login; only *name* may be shown.

    *tls* is as `Access.tls`. If it is empty and there is a *ca_file*, the certificate is verified, unless
    *verify* is False. *idle*: seconds after which the server ends a transaction without a statement, and
    releases its locks.
    """

    name: str
    host: str | None
    port: int | None
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: str = ""
    ca_file: str | None = None
    verify: bool = True
    idle: int = LONGEST_IDLE

    @classmethod
    def parse(cls, url: str, **access: Any) -> Address:
        """Return the address in *url*, which contains no user."""
        parts = urlsplit(url)
        return cls(url, parts.hostname, parts.port, parts.path.rsplit("/", 1)[-1], **access)

    @property
    def mode(self) -> str:
        """How the connection is protected: one of TLS_MODES."""
        return self.tls or ("verify-full" if self.ca_file and self.verify else "prefer")

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for a connection. Blocks. Raises StoreRefused for a bad `ca_file`."""
        if not self.mode.startswith("verify"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context
        try:
            regular.check([] if self.ca_file is None else [Path(self.ca_file)])
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as exc:
            why = unusable(exc)
            raise StoreRefused(f"the ca_file {self.ca_file} of {self.name} cannot be used: {why}") from exc
        context.check_hostname = self.mode == "verify-full"
        return context
