"""Messages for files that the system does not let smtd use."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from smtd import regular
from smtd.text import shown

#: The errors of a system that denies a permission. The second also has files with the flag *immutable*.
_DENIALS = frozenset((errno.EACCES, errno.EPERM))


def is_denial(exc: OSError) -> bool:
    """Say whether *exc* means that this user lacks a permission."""
    return exc.errno in _DENIALS


def why(exc: OSError) -> str:
    """Return the reason of *exc*; if permission is denied, also the path and the next step."""
    if not is_denial(exc):
        return exc.strerror or str(exc)
    return _denied("" if exc.filename is None else f" at {shown(os.fsdecode(exc.filename))}")


def unread(exc: OSError) -> str:
    """Return why a file that a user should have written cannot be read, with the next step."""
    if exc.errno == errno.ENOENT:
        return "it does not exist; create it, or name another file"
    if is_denial(exc):
        step = "allow this user to read it and to enter the directories above it, or name another file"
        return f"permission denied; {step}"
    if isinstance(exc, regular.NotRegular):
        return why(exc)
    return f"{why(exc)}; fix this, or name another file"


def unwritten(exc: OSError) -> str:
    """Return why a file cannot be created or replaced, with the next step if permission is denied."""
    if not is_denial(exc):
        return why(exc)
    where = "" if exc.filename is None else f" at {shown(os.fsdecode(exc.filename))}"
    return f"permission denied{where}; allow this user to write to its directory, or name another place"


def unrun(exc: OSError) -> str:
    """Return why a program cannot be run, with the next step if permission is denied."""
    if not is_denial(exc):
        return exc.strerror or str(exc)
    return "permission denied; allow this user to run it (chmod +x)"


def at(path: Path, *, write: bool = False) -> str:
    """Return the message that permission is denied, with the next step, if *path* may not be read; else "".

    With *write*, also if it may not be written. Blocks.
    """
    try:
        path.stat()
    except PermissionError as exc:
        return why(exc)
    except OSError:
        return ""
    # Not opened: SQLite's locks on a file end when any handle of it is closed (fcntl(2)).
    if os.access(path, os.R_OK | (os.W_OK if write else 0)):
        return ""
    return is_on_read_only(path) or _denied(f" at {shown(str(path))}")


def in_directory(path: Path) -> str:
    """Return why this user can create no file in the directory *path*, with the next step (empty: it can).

    Blocks.
    """
    if not os.path.isdir(path):
        is_there = os.path.lexists(path)
        return (
            f"{shown(str(path))} is not a directory"
            if is_there
            else f"there is no directory {shown(str(path))}"
        )
    if os.access(path, os.W_OK | os.X_OK):
        return ""
    return is_on_read_only(path) or (
        f"permission denied at {shown(str(path))}; allow this user to create files in this directory"
        " (chmod), or run smtd as its owner"
    )


def is_on_read_only(path: Path) -> str:
    """Return that the file system of *path* is mounted read-only, with the next step (empty: it is not)."""
    try:
        is_read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return ""
    return "its file system is mounted read-only; mount it writable" if is_read_only else ""


def _denied(where: str) -> str:
    return (
        f"permission denied{where}; allow this user to read and write it and to enter the directories above"
        " it (chmod), or run smtd as its owner"
    )
