"""SQLite files in places where SQLite cannot write: how to read them, and why some cannot be read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smtd import denied

_MOUNTS = Path("/proc/self/mountinfo")
#: Local file systems: no program can write to one that is read-only here. To one on a network, other machines
#: may.
_LOCAL = frozenset(
    (
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "squashfs", "erofs"),
        *("iso9660", "udf", "vfat", "exfat", "ntfs3", "hfsplus"),
    )
)
#: The position of the journal mode in the header of a database, and the value for a write-ahead log.
_VERSION, _WAL = 18, 2
#: Parts of SQLite's errors if it cannot create a file, or may not write.
_SAID = ("unable to open", "readonly")
#: The endings of the files that SQLite keeps beside a database.
_BESIDE = ("-wal", "-shm", "-journal")


class Obstructed(sqlite3.OperationalError):
    """SQLite lacks a permission or a place to write; the text says which, and what to do next."""


def address(path: Path) -> str:
    """Return the URI by which SQLite must open the database at *path* if that `is_frozen`."""
    return f"{path.absolute().as_uri()}?immutable=1"


def is_frozen(path: Path) -> bool:
    """Say whether no program can write to the database at *path*, and its file has all commits.

    Only then may SQLite read it without a lock. Blocks.
    """
    beside = [Path(f"{path}{ending}") for ending in ("-wal", "-journal")]
    return _is_unwritable(path) and not any(map(_has_content, beside))


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Translate SQLite's errors for the database at *path*; see `explained`."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        raise explained(path, exc) from exc.__cause__


def explained(path: Path, exc: sqlite3.OperationalError) -> sqlite3.OperationalError:
    """Return Obstructed if that is why SQLite raised *exc* for the database at *path*, else *exc*. Blocks."""
    if isinstance(exc, Obstructed) or not (why := obstacle(path, exc)):
        return exc
    return Obstructed(why)


def obstacle(path: Path, exc: Exception) -> str:
    """Return why SQLite raised *exc* for the database at *path*, with the next step (empty: another reason).

    Blocks.
    """
    if not any(said in str(exc) for said in _SAID):
        return ""
    path = Path(os.path.realpath(path))  # SQLite keeps its files beside the one that a link leads to
    if reason := denied.at(path):
        return reason
    has_directory = os.access(path.parent, os.W_OK) or not path.is_file()
    if not has_directory and (reason := _without_directory(path)):
        return reason
    files = [path] if "readonly" in str(exc) else []
    for file in (*files, *(Path(f"{path}{ending}") for ending in _BESIDE)):
        if reason := denied.at(file, write=True):
            return reason
    return "" if has_directory else denied.in_directory(path.parent)


def _without_directory(path: Path) -> str:
    """Return why the database at *path* cannot be read where SQLite can create no file (empty: it can)."""
    with suppress(OSError), open(path, "rb") as file:
        if file.read(_VERSION + 1)[_VERSION:] != bytes([_WAL]):
            return _cut_off(path)
        return (
            "it is in WAL mode, and SQLite cannot create files beside it here; mount it writable, or run"
            " PRAGMA journal_mode = DELETE where it is writable"
        )
    return ""


def _cut_off(path: Path) -> str:
    if not _has_content(Path(f"{path}-journal")):
        return ""
    return (
        "a program was interrupted while writing to it, and SQLite cannot roll that back here; mount it"
        " writable and list it once"
    )


def _is_unwritable(path: Path) -> bool:
    """Say whether the file system of *path* is local, and read-only wherever it is mounted."""
    with suppress(OSError, ValueError):
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            device = os.stat(path).st_dev
            number = f"{os.major(device)}:{os.minor(device)}"
            for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
                mount, _, system = line.partition(" - ")
                if mount.split()[2] == number:
                    kind, _, options = system.split(" ", 2)
                    return kind in _LOCAL and "ro" in options.split(",")
    return False


def _has_content(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_size > 0
    return False
