"""Find the control socket. In a module of its own, since `smtd-ctl` imports it at every start."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from smtd.control.protocol import addressed
from smtd.errors import UsageError

#: The most seconds for a socket to accept a connection if a daemon serves it.
PATIENCE = 1.0
#: The sockets of `smtd run`, and of `smtd serve`, which may run beside it.
_CONTROL, _SERVER = "control.sock", "server.sock"
#: The socket of smtd.service, which root and its control_group may use.
_OF_THE_MACHINE = "/run/smtd/control.sock"


def socket_path(chosen: str | None) -> str:
    """Return *chosen*, else the control socket that answers, else the one that a daemon would create.

    Under cron and ssh the environment may have fewer or more variables than the daemon was started with. So
    all places are tried. Raises UsageError if no place is known.
    """
    places = list(_places(chosen))
    there = [place for place in places if os.path.exists(place)]
    if len(there) > 1:  # a killed daemon left one, or two daemons run
        there = [place for place in there if _answers(place)] or there
    return (there or places or [_unknown()])[0]


def any_socket_path(chosen: str | None) -> str:
    """Return `socket_path`; but if no daemon of this user answers, that of another which may be meant.

    That is `smtd serve` of this user if it answers, else the daemon of the machine if it is there.
    """
    servers = [place for place in _places(chosen, _SERVER) if os.path.exists(place)]
    of_machine = [] if chosen or os.environ.get("SMTD_SOCKET") else [_OF_THE_MACHINE]
    of_machine = [place for place in of_machine if os.path.exists(place)]
    if not (servers or of_machine):
        return socket_path(chosen)
    answering = (place for place in (*_places(chosen), *servers) if os.path.exists(place) and _answers(place))
    return next(answering, None) or next(iter(of_machine), None) or socket_path(chosen)


def is_of_server(path: str) -> bool:
    """Say whether *path* is where `smtd serve` creates its control socket beside a daemon."""
    return os.path.basename(path) == _SERVER


def new_socket_path(chosen: str | None, *, is_server: bool = False) -> str:
    """Return where a daemon, or a server, creates its control socket.

    Raises UsageError if no place is known.
    """
    return next(_places(chosen, _SERVER if is_server else _CONTROL), None) or _unknown()


def _places(chosen: str | None, name: str = _CONTROL) -> Iterator[str]:
    """Yield the places of the socket: the named one, else those of systemd, XDG and the home directory."""
    if given := chosen or os.environ.get("SMTD_SOCKET"):
        yield os.path.expanduser(given)
        return
    if given := os.environ.get("RUNTIME_DIRECTORY"):
        yield os.path.join(given.split(":")[0], _CONTROL)
        return
    runtime, login = os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"
    if runtime:
        yield _in(runtime, name)
    if runtime != login and os.access(login, os.W_OK):
        yield _in(login, name)
    # Without one, as in a simple shell on a server, a private directory of the user is used.
    if (home := os.path.expanduser("~/.cache")) != "~/.cache":
        yield _in(home, name)


def _in(directory: str, name: str) -> str:
    return os.path.join(directory, "smtd", name)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE)  # a suspended daemon accepts no client once its queue is full
        try:
            with addressed(path) as address:
                probe.connect(address)
        except (OSError, ValueError):
            return False
    return True


def _unknown() -> str:
    raise UsageError(
        "this user has neither a runtime directory nor a home directory for the control socket; name a"
        " socket with --socket or SMTD_SOCKET"
    )
