"""The protocol of the control socket: one JSON object a line.

A client sends one request, `{"verb": "status", …}`, and reads answers until the daemon closes the connection.
Usually there is one, `{"ok": true, "result": {…}}` or `{"ok": false, "error": "…", "code": 1}`; `events` with
`follow` sends one for each event. docs/reference/control.md lists the verbs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

#: The most bytes of a request, and the most seconds that a client may take to send it.
LARGEST_REQUEST, PATIENCE = 65_536, 10.0
#: The most clients that are served at once, and beside them, of those who may only look.
MOST_CLIENTS, MOST_READERS = 100, 50
#: The most bytes of the address of a Unix socket.
LONGEST_ADDRESS = 107


@contextmanager
def addressed(path: str) -> Iterator[str]:
    """Yield an address of the socket *path*, however long that is, for the length of a `with` block.

    Raises OSError if the directory does not exist, ValueError if the name of the socket alone is too long.
    """
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield path
        return
    directory, name = os.path.split(path)
    handle = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        address = f"/proc/self/fd/{handle}/{name}"
        if len(os.fsencode(address)) > LONGEST_ADDRESS:
            raise ValueError(f"{name} is too long for a socket path; choose another one with --socket")
        yield address
    finally:
        os.close(handle)
