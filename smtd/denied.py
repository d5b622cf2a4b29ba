"""Messages for files that the system does not let smtd use."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from smtd import regular
from smtd.text import shown


def why(exc: OSError) -> str:
    """Return the reason of *exc*; if permission is denied, also the path and the next step."""
    if exc.errno != errno.EACCES:
        return exc.strerror or str(exc)
    return _denied("" if exc.filename is None else f" at {shown(os.fsdecode(exc.filename))}")


def unread(exc: OSError) -> str:
    """Return why a file that a user should have written cannot be read, with the next step."""
    if exc.errno == errno.ENOENT:
        return "it does not exist; create it, or name another file"
    if exc.errno == errno.EACCES:
        step = "allow this user to read it and to enter the directories above it, or name another file"
        return f"permission denied; {step}"
    if isinstance(exc, regular.NotRegular):
        return why(exc)
    return f"{why(exc)}; fix this, or name another file"


def at(path: Path) -> str:
    """Return the message that permission is denied, with the next step, if *path* may not be read; else "".

    Blocks.
    """
    try:
        path.stat()
    except PermissionError as exc:
        return why(exc)
    except OSError:
        return ""
    # Not opened: SQLite's locks on a file end when any handle of it is closed (fcntl(2)).
    return "" if os.access(path, os.R_OK) else _denied(f" at {shown(str(path))}")


def _denied(where: str) -> str:
    return (
        f"permission denied{where}; allow this user to read and write it and to enter the directories above"
        " it (chmod), or run smtd as its owner"
    )
