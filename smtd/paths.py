"""Paths as users write them: with a home directory (~), or from another operating system."""

from __future__ import annotations

import re
from pathlib import Path

from smtd.errors import UsageError

#: A drive, a server, or directories, as paths of Windows have them.
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|[^/]*\\")


def expanded(name: str | Path) -> Path:
    """Return the path *name*, with ~ replaced by the home directory. Raises UsageError if that is unknown."""
    try:
        return Path(name).expanduser()
    except RuntimeError as exc:
        raise UsageError(f"the home directory in {name} is unknown; give the full path") from exc


def shipped(packaged: str, in_checkout: str) -> Path:
    """Return the file or directory *packaged* of the installed smtd, or *in_checkout* in a checkout."""
    package = Path(__file__).parent
    return found if (found := package / packaged).exists() else package.parent / in_checkout


def is_from_windows(name: str) -> bool:
    """Say whether *name* looks like a path of Windows."""
    return _WINDOWS.match(name) is not None
