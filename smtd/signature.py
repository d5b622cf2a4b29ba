"""What files look like from outside: enough to tell whether anybody has written to them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias, TypeVar

from smtd.errors import StoreUnreachable

Signature: TypeAlias = tuple[tuple[int, ...] | None, ...]
T = TypeVar("T")

#: Kernels stamp files with a clock that ticks every few milliseconds: a file younger than this
#: may be written again without a visible difference. Seconds.
CLOCK_TICK = 0.02

#: A store is trusted once nobody has written to it for this long (measured: with 50 ms no torn
#: read of a shelf was accepted in 173). Seconds.
SETTLE = 0.05

#: A store that does not fit together and that nobody has written to for this long is damaged.
#: Seconds.
LONG = 2.0


class NotSettled(Exception):
    """What was read does not fit together: somebody is writing."""


def signature(paths: Iterable[Path]) -> Signature:
    """Return device, inode, size and the two change times of each of *paths* (None: absent).

    What cannot be looked at, as a link that leads to itself, has a signature too: reading it tells why.

    `ctime` is included because no tool that restores a file can set it.
    """
    return tuple(_look(path) for path in paths)


def _look(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        return (-1, exc.errno or 0, 0, 0, 0)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def size(seen: Signature) -> int:
    """Return the bytes of all files together."""
    return sum(look[2] for look in seen if look is not None)


def age(seen: Signature) -> float:
    """Return the seconds since the youngest of the files was written (infinite: no file)."""
    changes = [max(look[3], look[4]) for look in seen if look is not None]
    return time.time() - max(changes) / 1e9 if changes else float("inf")


def read_settled(
    paths: Iterable[Path], read: Callable[[], T], *, what: str, patience: float = 10.0
) -> tuple[T, Signature]:
    """Call *read* until the files are the same before and after it and have settled.

    Returns what it read and the signature that goes with it. Blocks; call it in a thread.
    *read* may raise NotSettled for content that does not fit together. Raises
    StoreUnreachable, naming *what*, if there is no quiet moment within *patience* seconds.
    """
    files = list(paths)
    deadline = time.monotonic() + patience
    reason = "it is being written all the time"
    while True:
        before = signature(files)
        # A clock that was set back must not make us wait for the future.
        if not 0 <= (wait := SETTLE - age(before)) <= SETTLE:
            try:
                found = read()
            except (NotSettled, FileNotFoundError) as exc:
                reason = str(exc)
                if isinstance(exc, FileNotFoundError):
                    reason = f"its file {Path(exc.filename).name} is missing"
                # Nobody has been writing for long: it is damaged, not half written.
                if age(before) > LONG and signature(files) == before:
                    deadline = 0.0
            else:
                if signature(files) == before:
                    return found, before
            wait = SETTLE
        if time.monotonic() > deadline:
            raise StoreUnreachable(
                f"{what} cannot be read: {reason}; try again when nobody writes to it, or else restore it"
            )
        time.sleep(wait)
