"""The status (stat) of files: enough to detect that a program has written to them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from smtd.errors import StoreUnreachable

Signature: TypeAlias = tuple[tuple[int, ...] | None, ...]
T = TypeVar("T")

#: Kernels stamp files with a clock that ticks every few milliseconds: a file younger than this
#: may be written again without a visible difference. Seconds.
CLOCK_TICK = 0.02
#: The same for file systems whose timestamps are whole seconds (ext3 with small inodes, Lustre, HFS+, many
#: NAS), or even seconds (FAT). Seconds.
COARSE_TICK = 2.1
#: The clock of a file server is assumed to be less wrong than this. Seconds.
_WRONG = 86400.0
#: Up to this age a coarse timestamp is compared with the time at which smtd first saw it. Seconds.
_RECENT = 10.0
#: The most coarse timestamps that `_first_seen` keeps.
_KEPT = 4096

#: A store is trusted once no program has written to it for this long (measured: with 50 ms no torn
#: read of a shelf was accepted in 173). Seconds.
SETTLE = 0.05

#: A store whose content is inconsistent, and to which no program has written for this long, is damaged.
#: Seconds.
DAMAGE_AFTER = 2.0


_YOUNG = b" young"
#: In nanoseconds.
_SECOND = 1_000_000_000
#: When this process first saw a file with this status, on the monotonic clock.
_first_seen: dict[tuple[int, ...], float] = {}


class NotSettled(Exception):
    """What was read is inconsistent: a program is writing."""


def signature(paths: Iterable[Path]) -> Signature:
    """Return device, inode, size, mtime and ctime of each of *paths* (None: absent). Blocks.

    A path whose status cannot be read, such as a link to itself, has a signature, too: reading the file gives
    the reason.

    `ctime` is included because no tool that restores a file can set it.
    """
    return tuple(_stat(path) for path in paths)


def identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of the file at *path* (None: it is absent or inaccessible). Blocks."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class StatCache(Generic[T]):
    """A cache of what was last found in files, valid while their status is the same; for *most* files."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._found: dict[str, tuple[object, T]] = {}

    def get(self, name: str, status: object) -> T | None:
        """Return what was found in the file *name* when its status was *status*; None if nothing was."""
        before, found = self._found.get(name, (None, None))
        return found if before == status else None

    def put(self, name: str, status: object, found: T) -> None:
        """Remember what was *found* in the file *name* when its status was *status*."""
        if len(self._found) >= self._most:
            self._found.clear()
        self._found[name] = status, found


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        return (-1, exc.errno or 0, 0, 0, 0)
    status = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if is_coarse(status):
        _note(status)
    return status


def is_coarse(status: tuple[int, ...]) -> bool:
    """Say whether the file system of a file may keep whole seconds only.

    Any program can set the mtime to a whole second, so that alone counts only if the ctime is not later.
    """
    written, changed = status[3:]
    return changed % _SECOND == 0 or (written % _SECOND == 0 and written >= changed)


def _note(status: tuple[int, ...]) -> None:
    """Remember when this process first saw a file with this status."""
    if status in _first_seen:
        return
    while len(_first_seen) >= _KEPT:
        with suppress(StopIteration, KeyError, RuntimeError):  # another thread changed it
            del _first_seen[next(iter(_first_seen))]
    _first_seen[status] = time.monotonic()


def is_young(seen: Signature, moment: float | None = None) -> bool:
    """Say whether a write after *moment* may leave files with the same status *seen*.

    *moment* is on the monotonic clock (None: now). Where timestamps are whole seconds, a file is young until
    the clock of its file system has advanced by one tick. That is measured from when this process first saw
    the file with this status, since the clock of a file server may be wrong. Callers must read young files
    again.
    """
    return any(_youth(status, moment) > 0 for status in seen if status is not None)


def status_token(seen: Signature, *, young: bool = False, holding: Iterable[bytes] = ()) -> bytes:
    """Return a token that identifies files with the status *seen*.

    The token of *young* files also contains a hash of *holding*, their content, and equals no token of files
    that are not young.
    """
    if not young:
        return repr(seen).encode()
    content = hashlib.blake2b(digest_size=16)
    for part in holding:
        content.update(b"%d:%b" % (len(part), part))
    return repr(seen).encode() + _YOUNG + content.digest()


def without_youth(token: bytes) -> bytes:
    """Return *token*, made by `status_token`, as it would be if the files had not been young."""
    return token.partition(_YOUNG)[0]


def seconds_until_old(seen: Signature) -> float:
    """Return the seconds until files with the status *seen* are no longer young; 0 if they are not."""
    return max((_youth(status, None) for status in seen if status is not None), default=0.0)


def _youth(status: tuple[int, ...], moment: float | None) -> float:
    if not is_coarse(status) or time.time() - max(status[3:]) / 1e9 > _WRONG:
        return 0.0
    now = time.monotonic() if moment is None else moment
    return max(0.0, _first_seen.get(status, now) + COARSE_TICK - now)


def size(seen: Signature) -> int:
    """Return the total size of the files in bytes."""
    return sum(status[2] for status in seen if status is not None)


def age(seen: Signature) -> float:
    """Return the seconds since the youngest of the files was written (infinite: no file)."""
    return min((_age(status) for status in seen if status is not None), default=float("inf"))


def _age(status: tuple[int, ...]) -> float:
    elapsed = time.time() - max(status[3:]) / 1e9
    if is_coarse(status) and 0 <= elapsed < _RECENT and (first := _first_seen.get(status)) is not None:
        return min(elapsed, time.monotonic() - first)
    return elapsed


def read_settled(
    paths: Iterable[Path], read: Callable[[], T], *, what: str, patience: float = 10.0
) -> tuple[T, Signature, bool]:
    """Call *read* until the files have settled and have the same status before and after it.

    Returns what it read, the signature that goes with it, and whether the files were young. Young files are
    read twice, since their status need not show that a program is writing. Blocks; call it in a thread.
    *read* may raise NotSettled for inconsistent content. Raises StoreUnreachable, naming *what*, if that does
    not succeed within *patience* seconds, or sooner if the files are damaged (`DAMAGE_AFTER`).
    """
    files = list(paths)
    deadline = time.monotonic() + patience
    reason = "a program keeps writing to it"
    while True:
        before = signature(files)
        # Do not wait for a file that seems to be from the future, because the clock was set back.
        if not 0 <= (wait := SETTLE - age(before)) <= SETTLE:
            try:
                young = is_young(before)
                found = read()
                if young:
                    time.sleep(SETTLE)
                    if read() != found:
                        raise NotSettled(reason)
            except (NotSettled, FileNotFoundError) as exc:
                reason = str(exc)
                if isinstance(exc, FileNotFoundError):
                    reason = f"its file {Path(exc.filename).name} is missing"
                # No program has been writing for a while: it is damaged, not half written.
                if age(before) > DAMAGE_AFTER and signature(files) == before:
                    deadline = 0.0
            else:
                if signature(files) == before:
                    return found, before, young
            wait = SETTLE
        if time.monotonic() > deadline:
            raise StoreUnreachable(
                f"{what} cannot be read: {reason}; try again when no program writes to it, or restore it"
                " from a backup"
            )
        time.sleep(wait)
