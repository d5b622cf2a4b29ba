"""Only one process serves a store: it locks a file beside the store, and notes there which file that is.

If a user puts another file in the store's place, the write-ahead log of the old file may remain. SQLite would
copy its pages into the new file, and damage it. By its note, smtd recognizes such a log.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from contextlib import suppress
from pathlib import Path

from smtd import denied, private, regular
from smtd.errors import StoreUnreachable, UsageError


def lock(path: Path, name: str) -> int:
    """Return a handle that holds the lock beside *path* until it is closed, or the process ends. Blocks.

    A symbolic link is another name of the same store, so the lock is beside the file that it leads to.
    Messages call the store *name*. Raises UsageError if another process has the lock, StoreUnreachable.
    """
    check_names(path, name)
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


def check_names(path: Path, name: str) -> None:
    """Raise StoreUnreachable if the file at *path* has another name, which is a hard link. Blocks.

    A program that uses the other name looks for SQLite's write-ahead log beside that name: it sees none of
    the latest records, and damages the file. It could also be another server.
    """
    with suppress(OSError):
        if (count := os.stat(path).st_nlink) > 1:
            raise StoreUnreachable(
                f"{name} cannot be served: the file has {count} names (hard links), and a program that uses"
                " another name, such as another smtd that serves it, would damage it; remove the other names"
                f" (find them with: find / -xdev -samefile {shlex.quote(str(path))}), or serve a copy (cp)"
            )


def note_file(handle: int, path: Path) -> None:
    """Note in the lock file *handle* which file is at *path*, and which is its write-ahead log. Blocks.

    Call it while the store is open.
    """
    _, log = _companions(path)
    try:
        file, logged = os.stat(path), os.stat(log)
    except OSError:
        content = b""  # there is no log
    else:
        content = b"%d %d %d\n" % (file.st_dev, file.st_ino, logged.st_ino)
    os.ftruncate(handle, 0)
    os.pwrite(handle, content, 0)


def set_aside_log(handle: int, path: Path) -> Path | None:
    """Rename the write-ahead log at *path* if it belongs to the noted file, and *path* is now another.

    Return its new name (None: it was not renamed). No process may have the file open. Blocks. Raises OSError.
    """
    shared, log = _companions(path)
    noted = os.pread(handle, 100, 0).split()
    try:
        now, logged = os.stat(path), os.stat(log)
    except FileNotFoundError:
        return None
    if len(noted) != 3 or [b"%d" % now.st_dev, b"%d" % now.st_ino] == noted[:2]:
        return None
    # A log that came with the new file may have the noted inode by chance, but is younger than the file.
    if b"%d" % logged.st_ino != noted[2] or logged.st_mtime_ns > now.st_ctime_ns:
        return None
    renamed = log.with_name(f"{log.name}.replaced")
    log.replace(renamed)
    shared.unlink(missing_ok=True)
    return renamed


def _companions(path: Path) -> tuple[Path, Path]:
    """Return where SQLite keeps the shared memory and the write-ahead log of *path*."""
    real = os.path.realpath(path)
    return Path(f"{real}-shm"), Path(f"{real}-wal")
