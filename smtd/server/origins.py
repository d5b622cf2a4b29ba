"""Where a request comes from, and by which address its client calls the server, also through proxies. Pure.

Unless the server has a url of its own, addresses in listings repeat the scheme and host that the client used:
Sumatra's client sends its password to no other.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from smtd.configured_server import is_loopback

if TYPE_CHECKING:
    from multidict import MultiMapping

#: The form of a Host: a name or an address, and perhaps a port.
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\Z")

#: Headers that proxies add, whether configured or not: a request that has one may come from anywhere.
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


class WrongHost(ValueError):
    """A request is for another server, or does not name it properly; the text is a sentence that says so."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The client's *address*, and the *root* address by which it calls the server, with a slash at its end.

    *is_here*: the client is a program on this machine, and no proxy that forwards another's request.
    """

    address: str
    root: str
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class Origins:
    """Finds the origin of a request, by the server's address, its trusted proxies, and how it listens.

    *url* is empty if the server has no fixed address. *proxies*: addresses of the trusted proxies.
    *is_local*: only this machine can reach the server.
    """

    url: str
    proxies: Collection[str]
    is_local: bool
    has_tls: bool

    @property
    def prefix(self) -> str:
        """The path of the root in addresses that clients use."""
        return urlsplit(self.url).path or "/"

    def of(self, peer: str, headers: MultiMapping[str]) -> Origin:
        """Return the origin of a request from *peer* with *headers*. Raises WrongHost."""
        is_forwarded = peer in self.proxies
        host = (is_forwarded and _last(headers, "X-Forwarded-Host")) or headers.get("Host", "")
        scheme = (is_forwarded and _last(headers, "X-Forwarded-Proto")) or (
            "https" if self.has_tls else "http"
        )
        self._check_host(host)
        address = (is_forwarded and self._client_address(_joined(headers, "X-Forwarded-For"))) or peer
        is_here = not is_forwarded and is_loopback(peer) and not any(name in headers for name in _FORWARDED)
        if self.url:
            return Origin(address, self.url, is_here)
        if scheme not in ("http", "https"):
            raise WrongHost("X-Forwarded-Proto must be http or https")
        return Origin(address, f"{scheme}://{host}/", is_here)

    def _client_address(self, chain: str) -> str:
        """Return the last address in *chain* that is not a trusted proxy's; empty if there is none.

        Clients may have forged those before it.
        """
        for address in reversed([each.strip() for each in chain.split(",")]):
            if address not in self.proxies:
                return address
        return ""

    def _check_host(self, host: str) -> None:
        """Raise WrongHost if *host* is malformed, or a name that this server cannot have.

        A web page of another site may have directed a browser here. Without a url, a server that other
        machines reach cannot know its names, and accepts any.
        """
        if not _HOST.match(host):
            raise WrongHost("the request has no valid Host header")
        name = urlsplit(f"//{host}").hostname or ""
        if self.url and name == (urlsplit(self.url).hostname or ""):
            return
        if (self.is_local and not is_loopback(name)) or (self.url and not self.is_local):
            raise WrongHost("the Host is not a name of this server; set url in [server] to its name")


def _last(headers: MultiMapping[str], name: str) -> str:
    """Return the last value of the header *name*, which the trusted proxy set."""
    return _joined(headers, name).rpartition(",")[2].strip()


def _joined(headers: MultiMapping[str], name: str) -> str:
    """Return the values of all headers *name*: some proxies extend the existing one, others add another."""
    return ",".join(headers.getall(name, []))
