"""Who may use the control socket: its own user and root, and the members of a group, who may only look."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from smtd.errors import UsageError

#: The verbs that change nothing, open nothing to others and take little of the daemon's time.
READING = frozenset(
    {"status", "pair list", "pair of", "figures", "conflicts", "holds", "explain", "show"}
    | {"history", "history cycles", "history check", "events"}
)
#: struct ucred of Linux, and the option that lists all groups of a peer.
_CREDENTIALS, _PEER_GROUPS = struct.Struct("3i"), 59
#: As many as Python's getsockopt can take; the kernel reports more than these not at all.
_MOST_GROUPS = 256


class Role(Enum):
    """Who a client is to the daemon."""

    STRANGER = "stranger"
    READER = "reader"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ClientProcess:
    """The user and all groups of a client's process, as the kernel knew them when it connected."""

    user: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Readers:
    """The group whose members may look."""

    name: str
    group: int


def role_of(client: ClientProcess, own: int, readers: Readers | None) -> Role:
    """Return the role of *client* at a daemon of the user *own*."""
    if client.user in (0, own):
        return Role.ADMIN
    return Role.READER if readers is not None and readers.group in client.groups else Role.STRANGER


def refusal(role: Role, verb: str, readers: Readers | None) -> str:
    """Return why a client in *role* may not use *verb*; empty if it may."""
    if role is Role.ADMIN or (role is Role.READER and verb in READING):
        return ""
    if readers is None or role is Role.STRANGER:
        return "this daemon belongs to another user"
    return (
        f"only root and the user {_name_of(os.getuid())} may use {verb!r} here; members of the group"
        f" {readers.name} may look, with status, conflicts, holds, explain, show, history and events"
    )


def client_of(connection: socket.socket) -> ClientProcess:
    """Return who is at the other end of *connection*."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, group = _CREDENTIALS.unpack(found)
    try:
        listed = connection.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, 4 * _MOST_GROUPS)
    except OSError:  # Linux before 4.13, or more groups
        listed = b""
    return ClientProcess(user, frozenset({group, *(number for (number,) in struct.iter_unpack("I", listed))}))


def readers_named(group: str | None) -> Readers | None:
    """Return the readers of *group* (None: there are none). Blocks.

    Raises UsageError if there is no such group, or if this process may not give a file to it.
    """
    if group is None:
        return None
    try:
        number = grp.getgrnam(group).gr_gid
    except KeyError:
        raise UsageError(f"there is no group {group!r}; create it, or change control_group") from None
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        user = _name_of(os.geteuid())
        raise UsageError(
            f"the user {user} is not in the group {group}, and so cannot let it use the control socket; add"
            f" it (usermod --append --groups {group} {user}), and restart smtd"
        )
    return Readers(group, number)


def open_to(path: Path, readers: Readers | None) -> str:
    """Let *readers* connect to the socket *path*, or again only its user. Blocks.

    Return a warning if they cannot; else an empty text.
    """
    try:
        path.chmod(0o600)
        group = os.getegid() if readers is None else readers.group
        if path.stat().st_gid != group:
            os.chown(path, -1, group)
        if readers is None:
            return ""
        path.chmod(0o660)
        found = path.parent.stat()
    except OSError as exc:
        return f"who may use {path} cannot be changed: {exc.strerror}"
    if found.st_mode & stat.S_IXOTH or (found.st_gid == readers.group and found.st_mode & stat.S_IXGRP):
        return ""
    return f"the group {readers.name} cannot reach {path}: only its owner may enter {path.parent}"


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
