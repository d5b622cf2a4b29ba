"""Check the sockets that systemd passes to the server: they must be what the configuration says."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Sequence

from smtd.configured_server import address
from smtd.errors import UsageError

#: Of all addresses of this machine; a socket of IPv6 may serve both.
_ALL = ("0.0.0.0", "::")


def check(sockets: Sequence[socket.socket], listen: str) -> None:
    """Raise UsageError unless each of *sockets* listens where *listen*, of [server], says. Blocks.

    The configuration counts, because the rules for TLS follow from it.
    """
    for each in sockets:
        if not _accepts(each):
            raise UsageError(
                "systemd passes a socket that accepts no TCP connections; set ListenStream= and Accept=no"
            )
        place, port = each.getsockname()[:2]
        host, wanted = address(listen)
        if wanted not in (0, port) or not _is_one_of(place, _addresses(host)):
            shown = f"[{place}]:{port}" if ":" in place else f"{place}:{port}"
            raise UsageError(
                f"systemd listens on {shown} for the server, but listen in [server] is {listen}; set listen"
                " and ListenStream= of the socket unit to the same address"
            )


def _accepts(one: socket.socket) -> bool:
    is_tcp = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
    return is_tcp and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _addresses(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(place[0]) for *_, place in found}


def _is_one_of(place: str, addresses: Collection[str]) -> bool:
    """Say whether *place*, an address, is one of *addresses*; all that stand for every address are one."""
    if place in _ALL:
        return any(each in _ALL for each in addresses)
    wanted = ipaddress.ip_address(place)
    return any(ipaddress.ip_address(each) == wanted for each in addresses)
