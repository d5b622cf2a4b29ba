"""Create files and directories that only smtd's user can access, from the start and whatever the umask is."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import re
import stat
from pathlib import Path
from tempfile import mkdtemp

from smtd import durable

#: The permission bits of all users but the owner.
_OTHERS = 0o077
#: How the names of directories for sockets begin, and all that `mkdtemp` makes of that.
_SCRATCH = ".smtd-"
_MADE = re.compile(rf"{re.escape(_SCRATCH)}[a-z0-9_]{{8}}")


def make_directory(path: Path) -> None:
    """Create *path* and each missing directory above it, with mode 0700. Raises OSError."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def make_scratch(parent: Path) -> tuple[Path, int]:
    """Make a new directory in *parent* for a socket that is not ready; return it and its lock.

    Pass both to `remove_scratch`. Also remove the directories that killed processes left: their locks
    are free. Blocks. Raises OSError.
    """
    for found in parent.glob(f"{_SCRATCH}*"):
        _remove_unlocked(found)
    while True:
        path = Path(mkdtemp(prefix=_SCRATCH, dir=parent))
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a file system without locks, where no process removes it either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)  # another process was quicker than the lock, and has removed it


def remove_scratch(path: Path, handle: int) -> None:
    """Remove the directory *path*, which has the lock *handle*. Blocks. Raises OSError."""
    try:
        _remove_with_sockets(path)
    finally:
        os.close(handle)


def _remove_unlocked(path: Path) -> None:
    """Remove the directory *path* if `make_scratch` of this user made it, and no process has its lock."""
    if not _MADE.fullmatch(path.name):
        return
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(handle).st_uid == os.getuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_with_sockets(path)
        finally:
            os.close(handle)


def _remove_with_sockets(path: Path) -> None:
    """Remove the directory *path* and sockets in it. Raises OSError, and leaves all, if there is more."""
    found = list(path.iterdir())
    if all(stat.S_ISSOCK(each.lstat().st_mode) for each in found):
        for each in found:
            each.unlink()
    path.rmdir()


def create(path: Path) -> int:
    """Create the file *path* with mode 0600, and return a handle for writing. Raises FileExistsError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def ensure(path: Path) -> None:
    """Create *path* as an empty file if it is missing; else remove the access of other users.

    If smtd may not change its mode, that stays. Raises OSError if the file can be neither found nor created.
    """
    with contextlib.suppress(FileExistsError):
        os.close(create(path))
        return
    mode = path.stat().st_mode
    if mode & _OTHERS:
        with contextlib.suppress(PermissionError):
            path.chmod(mode & 0o7777 & ~_OTHERS)


def other_writers(found: os.stat_result) -> str:
    """Return who besides its owner and root can write to a file with the status *found* (empty: none).

    As in ssh, the owner's private group, which many systems give to each user, does not count. Blocks.
    """
    if found.st_mode & stat.S_IWOTH:
        return "everyone"
    if not found.st_mode & stat.S_IWGRP or found.st_gid == 0:
        return ""
    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return f"all members of group {found.st_gid}"
    own = owner.pw_gid == group.gr_gid and owner.pw_name == group.gr_name
    return "" if own and set(group.gr_mem) <= {owner.pw_name} else f"all members of group {group.gr_name}"


def replace(path: Path, data: bytes) -> None:
    """Replace *path* by a private file with *data*, durably and in one step. Raises OSError.

    Its owner stays the same.
    """
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # a process that was killed left it
    with os.fdopen(create(new), "wb") as file:
        file.write(data)
        with contextlib.suppress(OSError):  # root, in the directory of another user
            found = path.stat()
            os.fchown(file.fileno(), found.st_uid, found.st_gid)
    durable.replace(new, path)
