"""Where the control socket is. Apart from all else, since `smtd-ctl` starts with it."""

from __future__ import annotations

import os
from pathlib import Path


def socket_path(chosen: Path | None) -> Path:
    """Return *chosen*, else the control socket of SMTD_SOCKET, systemd or XDG."""
    if chosen is not None:
        return chosen.expanduser()
    if given := os.environ.get("SMTD_SOCKET"):
        return Path(given).expanduser()
    if given := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0]) / "control.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    # Without one, as in a plain shell of a server, a directory of the user's alone will do.
    return (Path(runtime) if runtime else Path.home() / ".cache") / "smtd" / "control.sock"
