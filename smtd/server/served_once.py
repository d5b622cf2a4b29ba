"""One process serves a store: the lock beside its file, which also notes what file it was.

If another file is in its place, a write-ahead log of the old one may still lie there: nobody but who has
served it can tell, and SQLite would add its pages to the new file, and damage it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from smtd import denied, private, regular
from smtd.errors import StoreUnreachable, UsageError


def lock(path: Path, name: str) -> int:
    """Return a handle that holds the lock beside *path* until it is closed, or the process ends. Blocks.

    It is beside the file itself: a symbolic link is another name of the same store. *name* is what people
    call it. Raises UsageError if another process has the lock, StoreUnreachable.
    """
    real = Path(os.path.realpath(path))
    try:
        private.make_directory(real.parent)
        handle = regular.lock(real.with_name(f".{real.name}.served"))
    except OSError as exc:
        raise StoreUnreachable(f"{name} cannot be served: {denied.why(exc)}") from exc
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UsageError(f"another smtd serves {name}; stop it first") from None
    return handle


def note(handle: int, path: Path) -> None:
    """Note, behind the lock *handle*, the file at *path* and its write-ahead log, which are open. Blocks."""
    _, log = _files(path)
    try:
        ours, logged = os.stat(path), os.stat(log)
    except OSError:
        words = b""  # it has no log
    else:
        words = b"%d %d %d\n" % (ours.st_dev, ours.st_ino, logged.st_ino)
    os.ftruncate(handle, 0)
    os.pwrite(handle, words, 0)


def set_aside_log(handle: int, path: Path) -> Path | None:
    """Rename a write-ahead log that is not of the file at *path*, but of the one that was noted there.

    Return its new name, if there was one. Nobody may have the file open yet. Blocks. Raises OSError.
    """
    shared, log = _files(path)
    noted = os.pread(handle, 100, 0).split()
    try:
        now, logged = os.stat(path), os.stat(log)
    except FileNotFoundError:
        return None
    if len(noted) != 3 or [b"%d" % now.st_dev, b"%d" % now.st_ino] == noted[:2]:
        return None
    # A log that was put there with its file has its number by chance, and is younger.
    if b"%d" % logged.st_ino != noted[2] or logged.st_mtime_ns > now.st_ctime_ns:
        return None
    aside = log.with_name(f"{log.name}.replaced")
    log.replace(aside)
    shared.unlink(missing_ok=True)
    return aside


def _files(path: Path) -> tuple[Path, Path]:
    """Return where SQLite keeps the shared memory and the write-ahead log of *path*."""
    real = os.path.realpath(path)
    return Path(f"{real}-shm"), Path(f"{real}-wal")
