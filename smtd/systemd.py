"""Talk to systemd: take its sockets (sd_listen_fds(3)), and report states to it (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

#: The first file descriptor that systemd passes.
_FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed_sockets(variables: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd passes to this process, and remove their *variables*.

    There are none without systemd, or if they are for another process. Raises OSError for what is no socket.
    """
    pid, count, _ = (variables.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = [socket.socket(fileno=number) for number in range(_FIRST, _FIRST + int(count))]
    for each in found:
        each.set_inheritable(False)
    return found


class Notifier:
    """Sends states to the datagram socket at *address* (None: nowhere)."""

    def __init__(self, address: str | None) -> None:
        self._address = None if not address else f"\0{address[1:]}" if address.startswith("@") else address

    def notify(self, **states: str) -> None:
        """Send *states*, such as READY="1"; a systemd that does not listen is no error."""
        if self._address is None:
            return
        text = "\n".join(f"{name}={value}" for name, value in states.items())
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            datagrams.setblocking(False)
            datagrams.connect(self._address)
            datagrams.send(text.encode())

    def ready(self) -> None:
        """Report that all pairs are loaded and the control socket answers."""
        self.notify(READY="1")

    def reloading(self) -> None:
        """Report that the configuration is being reloaded, until `ready` is called."""
        self.notify(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self.notify(STATUS=text)

    def alive(self) -> None:
        """Feed the watchdog."""
        self.notify(WATCHDOG="1")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self.notify(STOPPING="1")
