"""Which user's process is at the other end of a connection on loopback, as the kernel knows it.

Any user of this machine can connect to a port on loopback, and browsers send a cookie to every port of a
host. So a cookie or a link that another user got hold of must be of no use to them.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_SOCK_DIAG, _DIAG_BY_FAMILY, _REQUEST, _ERROR = 4, 20, 1, 2
_ESTABLISHED = 1
#: struct inet_diag_req_v2 of Linux, with both addresses of an IPv4 socket; and the parts of its answer
#: (struct nlmsghdr and struct inet_diag_msg) before the user.
_HEADER = struct.Struct("=IHHII")
_WANTED = struct.Struct("=BBBBI2s2s4s12x4s12xI8s")
_STATE_AT, _USER_AT = _HEADER.size + 1, _HEADER.size + 64
#: Seconds to wait for the kernel, which answers at once.
_PATIENCE = 1.0


class Peer(NamedTuple):
    """The *user* of the process that has the socket, and whether it still has it."""

    user: int
    is_open: bool


def peer_of(theirs: tuple[str, int], ours: tuple[str, int]) -> Peer | None:
    """Return who connects from the IPv4 address *theirs* to *ours* (None: nobody tells). Blocks."""
    body = _WANTED.pack(
        *(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF),
        *(struct.pack("!H", theirs[1]), struct.pack("!H", ours[1])),
        *(socket.inet_aton(theirs[0]), socket.inet_aton(ours[0])),
        *(0, b"\xff" * 8),
    )
    head = _HEADER.pack(_HEADER.size + len(body), _DIAG_BY_FAMILY, _REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as asked:
            asked.settimeout(_PATIENCE)
            asked.sendto(head + body, (0, 0))
            answer = asked.recv(8192)
    except (OSError, AttributeError):  # not Linux, or a service that may not use netlink
        return None
    if len(answer) < _USER_AT + 4 or _HEADER.unpack_from(answer)[1] == _ERROR:
        return Peer(-1, is_open=False)
    (user,) = struct.unpack_from("=I", answer, _USER_AT)
    return Peer(user, is_open=answer[_STATE_AT] == _ESTABLISHED)


def is_welcome(peer: Peer | None, user: int) -> bool:
    """Say whether *peer* is a process of *user* or of root; a peer that is not known is.

    A socket that its process has closed has no user any more: the kernel then says root.
    """
    return peer is None or (peer.is_open and peer.user in (0, user))


def can_tell(user: int) -> bool:
    """Say whether the kernel tells that a connection of this process is one of *user*. Blocks."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            here = listener.getsockname()
            with socket.create_connection(here, _PATIENCE) as connection:
                return peer_of(connection.getsockname(), here) == Peer(user, is_open=True)
    except OSError:
        return False
