"""Make files durable, so that a power cut cannot undo what the journal has as baselines."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

#: The directory of this process's own handles; on Linux a link to /proc/self/fd.
_HANDLES = "/dev/fd"
#: The errors of file systems that cannot sync a directory, or a file that was opened for reading.
_CANNOT = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.EACCES, errno.EPERM})


def sync(paths: Iterable[Path]) -> None:
    """Make the content, the names and the absence of the files at *paths* durable. Blocks.

    Raises OSError if the disk fails. A file or directory that cannot be synced at all is skipped: its
    durability is up to the file system.
    """
    files = list(paths)
    for path in files:
        with suppress(FileNotFoundError):
            _sync(path)
    for directory in sorted({Path(os.path.realpath(path)).parent for path in files}):
        with suppress(FileNotFoundError):
            _sync(directory)


def replace(new: Path, place: Path) -> None:
    """Replace the file *place* by the file *new*, durably and in one step. Blocks."""
    _sync(new)
    new.replace(place)
    _sync(place.parent)


def sync_open(path: Path) -> None:
    """Make the content of the file at *path*, which this process has open, durable. Blocks.

    It uses an open handle: SQLite's locks on a file end when this process closes any handle of it (fcntl(2)).
    """
    for handle in own_handles(path):
        try:
            os.fsync(handle)
        except OSError as exc:
            if exc.errno == errno.EBADF:
                continue  # another connection was closed just now
            if exc.errno not in _CANNOT:
                raise
        return
    os.sync()  # this system does not list the handles of a process


#: A handle that this process had on each file: if it still has it, it need not search all others.
_last_handles: dict[Path, int] = {}


def own_handles(path: Path) -> Iterator[int]:
    """Yield the handles that this process has on the file at *path*; any may be closed at any moment."""
    with suppress(OSError):
        file = os.stat(path)
        if (last := _last_handles.get(path)) is not None and _is_of(last, file):
            yield last
        for handle in map(int, os.listdir(_HANDLES)):
            if _is_of(handle, file):
                _last_handles[path] = handle
                yield handle
        _last_handles.pop(path, None)


def _is_of(handle: int, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file)
    except OSError:
        return False


def _sync(path: Path) -> None:
    if not (path.is_dir() or path.is_file()):
        return  # absent, or a special file, which must not be opened
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno in _CANNOT:
            return
        raise
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno not in _CANNOT:
            raise
    finally:
        os.close(handle)
