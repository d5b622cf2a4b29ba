"""Check the section [server] of a configuration, before the server accepts any client."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from smtd.spelling import did_you_mean

#: The keys that lead to a value.
_Where: TypeAlias = tuple[str, ...]
#: Host names by which a machine reaches only itself.
_LOCAL_NAMES = ("localhost", "ip6-localhost")


def is_loopback(host: str) -> bool:
    """Say whether *host*, a name or an address, is this machine, and cannot be reached from others."""
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(listen: str) -> tuple[str, int]:
    """Return host and port of an address such as `127.0.0.1:8471` or `[::1]:8471`. Raises ValueError."""
    found = urlsplit(f"//{listen}")
    if found.hostname is None or found.port is None or found.username is not None or found.path:
        raise ValueError(listen)
    return found.hostname, found.port


def root(url: str) -> str:
    """Return *url* with one slash at its end. Raises ValueError if it cannot be the URL of a server."""
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.hostname or found.port == 0:
        raise ValueError(url)
    if found.username is not None or found.query or found.fragment:
        raise ValueError(url)
    return url.rstrip("/") + "/"


def problems(document: dict[str, Any]) -> Iterator[tuple[_Where, str]]:
    """Yield what is wrong with [server] in *document*, apart from the types of its values."""
    server = document.get("server")
    if not isinstance(server, dict):
        return
    host = ""
    if isinstance(listen := server.get("listen"), str):
        try:
            host, _ = address(listen)
        except ValueError:
            yield ("server", "listen"), f"{listen!r} is not an address such as '127.0.0.1:8471'"
    if isinstance(url := server.get("url"), str):
        try:
            root(url)
        except ValueError:
            yield ("server", "url"), "it is not an address such as 'https://records.lab.example/'"
    yield from _without_tls(server, host)
    yield from _proxies(server.get("proxy"))
    if server.get("proxy") and "url" not in server:
        yield ("server", "proxy"), "behind a proxy smtd needs url, too: the address that clients use"
    stores = document.get("stores")
    yield from _unknown_store(server.get("store"), stores if isinstance(stores, dict) else ())


def _without_tls(server: dict[str, Any], host: str) -> Iterator[tuple[_Where, str]]:
    if ("cert_file" in server) != ("key_file" in server):
        missing, there = ("key_file", "cert_file") if "cert_file" in server else ("cert_file", "key_file")
        yield ("server", there), f"it needs {missing}, too"
    if host and not is_loopback(host) and not server.get("cert_file") and not server.get("proxy"):
        yield (
            ("server", "listen"),
            "other machines reach this address, and passwords would be sent in the clear; set cert_file and"
            " key_file, or proxy, or listen on 127.0.0.1",
        )


def _proxies(proxies: Any) -> Iterator[tuple[_Where, str]]:
    for each in proxies if isinstance(proxies, list) else ():
        try:
            ipaddress.ip_address(each)
        except ValueError:
            yield ("server", "proxy"), f"{each!r} is not the address of a proxy, such as '127.0.0.1'"


def _unknown_store(name: Any, stores: Collection[str]) -> Iterator[tuple[_Where, str]]:
    if isinstance(name, str) and name not in stores:
        yield ("server", "store"), f"there is no store {name!r}{did_you_mean(name, stores)}"
