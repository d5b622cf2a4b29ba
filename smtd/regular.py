"""Open regular files, and nothing else: opening or reading a FIFO, a device or a socket may never end.

smtd opens every file that a name leads to here, or checks it here before another library opens it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

#: The most bytes of a file that is read whole: more than any shelf has, less than a sparse file may claim.
LARGEST = 2 * 2**30
#: The same for files that smtd itself or a user writes: configuration, passwords, state.
SMALL = 64 * 2**20

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegular(OSError):
    """There is something else in the place of a file, or a file that is too large."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(errno.EINVAL, f"{path.name or path} {what}; put the file back", str(path))


def check(paths: Iterable[Path]) -> None:
    """Raise NotRegular if one of *paths* exists but is not a regular file, OSError if unknown. Blocks.

    A symbolic link counts as the file that it leads to.
    """
    for path in paths:
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            continue
        _check(path, mode)


def opened(path: Path, flags: int = os.O_RDONLY) -> BinaryIO:
    """Open the regular file *path* without ever hanging; unbuffered if *flags* allow writing.

    *flags*: those of os.open. Blocks. Raises NotRegular, or OSError.
    """
    check([path])
    # O_NONBLOCK, since another program may replace it after the check.
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    try:
        _check(path, os.fstat(handle).st_mode)
        if flags & (os.O_WRONLY | os.O_RDWR):
            return os.fdopen(handle, "r+b" if flags & os.O_RDWR else "wb", buffering=0)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def lock(path: Path) -> int:
    """Return a handle of the regular file *path*; create it, private, if it is missing. Blocks.

    Raises NotRegular, or OSError.
    """
    check([path])
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    try:
        _check(path, os.fstat(handle).st_mode)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read(path: Path, most: int = LARGEST) -> bytes:
    """Return the content of the regular file *path*. Blocks.

    Raises NotRegular, also for more than *most* bytes, or OSError.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise NotRegular(path, f"has {size:,} bytes, too many for such a file")
        return file.read()


def read_text(path: Path, encoding: str = "utf-8", most: int = LARGEST) -> str:
    """Return the text in the regular file *path*, as `read`. Raises UnicodeDecodeError, too."""
    return read(path, most).decode(encoding)


def _check(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegular(path, f"is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
