"""Where the control socket is. Apart from all else, since `smtd-ctl` starts with it."""

from __future__ import annotations

import os


def socket_path(chosen: str | None) -> str:
    """Return *chosen*, else the control socket of SMTD_SOCKET, systemd or XDG."""
    if given := chosen or os.environ.get("SMTD_SOCKET"):
        return os.path.expanduser(given)
    if given := os.environ.get("RUNTIME_DIRECTORY"):
        return os.path.join(given.split(":")[0], "control.sock")
    # Without one, as in a plain shell of a server, a directory of the user's alone will do.
    runtime = os.environ.get("XDG_RUNTIME_DIR") or os.path.expanduser("~/.cache")
    return os.path.join(runtime, "smtd", "control.sock")
