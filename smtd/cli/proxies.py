"""Find the proxy for an address: in http_proxy, https_proxy and no_proxy, or the same in capitals."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from smtd.errors import UsageError

_PORTS = {"http": 80, "https": 443}


def proxy_for(address: str) -> str | None:
    """Return the proxy for an http or https *address*, with its login, if any; None: no proxy.

    Raises UsageError for one that smtd cannot use, without any part of it: it may have a password.
    """
    scheme, place = _place(address)
    proxies = getproxies_environment()
    found = proxies.get(scheme)
    if not found or scheme not in _PORTS or any(proxy_bypass(each, proxies) for each in place):
        return None
    proxy = found if "://" in found else f"http://{found}"
    if _place(proxy)[0] not in _PORTS or not _place(proxy)[1]:
        raise UsageError(
            f"smtd cannot use the proxy in {scheme}_proxy; write it like http://proxy.example:3128, and list"
            " hosts that need no proxy in no_proxy"
        )
    return proxy


def _place(address: str) -> tuple[str, list[str]]:
    """Return the scheme of *address*, and its host without and with the port (empty: there is none)."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "", []
    return parts.scheme, [host, f"{host}:{port or _PORTS.get(parts.scheme)}"] if host else []
