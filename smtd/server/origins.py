"""From where a request comes, and how its client calls the server, past a proxy that is trusted. Pure.

Addresses in listings repeat scheme and host as the client typed them: Sumatra's client sends its password to
no other.
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

#: What a Host may be: a name or an address, and a port.
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\Z")

#: What proxies add, also those that nobody has named: who sends one of these may be anywhere.
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


class WrongHost(ValueError):
    """A request is for another server; the text says so in a sentence."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The *address* of the client, and the *root* of the server as it calls that, with a slash at its end.

    *is_here*: it is a program on this machine, and no proxy that asks for somebody else.
    """

    address: str
    root: str
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class Origins:
    """What tells origins: what the server is called, whose forwarding counts, and how it listens.

    *url* is empty if clients may call it as they like. *is_local*: only this machine can reach it.
    """

    url: str
    proxies: Collection[str]
    is_local: bool
    has_tls: bool

    def of(self, peer: str, headers: MultiMapping[str]) -> Origin:
        """Return the origin of a request from *peer* with *headers*. Raises WrongHost."""
        is_forwarded = peer in self.proxies
        host = (is_forwarded and _first(headers, "X-Forwarded-Host")) or headers.get("Host", "")
        scheme = (is_forwarded and _first(headers, "X-Forwarded-Proto")) or (
            "https" if self.has_tls else "http"
        )
        self._check(host)
        address = (is_forwarded and self._forwarded(_all(headers, "X-Forwarded-For"))) or peer
        is_here = not is_forwarded and is_loopback(peer) and not any(name in headers for name in _FORWARDED)
        if self.url:
            return Origin(address, self.url, is_here)
        if scheme not in ("http", "https"):
            raise WrongHost("X-Forwarded-Proto is http or https")
        return Origin(address, f"{scheme}://{host}/", is_here)

    def _forwarded(self, chain: str) -> str:
        """Return who asked the first of our own proxies: what stands before that anybody may have written."""
        for address in reversed([each.strip() for each in chain.split(",")]):
            if address not in self.proxies:
                return address
        return ""

    def _check(self, host: str) -> None:
        """Refuse a Host that is not ours where it tells: a page elsewhere may lead a browser here."""
        if not _HOST.match(host):
            raise WrongHost("the request names no host")
        name = urlsplit(f"//{host}").hostname or ""
        if self.url and name == (urlsplit(self.url).hostname or ""):
            return
        if (self.is_local and not is_loopback(name)) or (self.url and not self.is_local):
            raise WrongHost("this server is not called so; set url in [server] to its name")


def _first(headers: MultiMapping[str], name: str) -> str:
    """Return what the last proxy says, which is the one that is trusted."""
    return _all(headers, name).rpartition(",")[2].strip()


def _all(headers: MultiMapping[str], name: str) -> str:
    """Return what all lines *name* say: some proxies add to the one that is there, others add one."""
    return ",".join(headers.getall(name, []))
