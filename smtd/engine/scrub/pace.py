"""Decide what is read again next, and when, so that each record is read within the configured time. Pure.

On a server, two records a second are read again, the newest first. Both stores of a pair are compared a slice
at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from math import ceil
from typing import NamedTuple

from smtd.journal.scrub_log import Rotation, ScrubProgress
from smtd.records.record import Key

#: Records of a server that are read again per second at most, unless a user asks.
RATE = 2.0
#: Seconds within which the newest records are read again, if there are two looks in that time.
WITHIN = 60.0
#: One read in this many is kept for records that are not among the newest; a look makes no fewer reads.
SHARE = 20
#: Seconds assumed since the last look, if its time is not known.
UNKNOWN = 30.0

#: Fewest records of a slice, and most slices of a round: each slice reads a shelf whole.
SMALLEST, MOST = 50, 100


def slice_size(total: int) -> int:
    """Return how many of *total* records one slice has."""
    return max(SMALLEST, -(-total // MOST))


def next_slice(now: ScrubProgress, total: int, within: float) -> float:
    """Return when the next slice is due, in seconds since 1970 (infinite: there is nothing to verify).

    Slices are spread evenly over *within* seconds, each at the end of its share: what was just agreed on was
    just read.
    """
    if not total or not within:
        return float("inf")
    slices = -(-total // slice_size(total))
    return now.began + within * min(1.0, (now.counted // slice_size(total) + 1) / slices)


def advanced(now: ScrubProgress, verified: list[Key], count: int, moment: float) -> ScrubProgress:
    """Return the progress after the keys *verified*; a new round begins if they are fewer than *count*."""
    if len(verified) < count:
        return ScrubProgress(moment, before=now.began)
    return now._replace(after=verified[-1], counted=now.counted + len(verified))


class ServerTurn(NamedTuple):
    """The *keys* of a server to read now; *rotation* and *looked* (the time of the last read) after that."""

    keys: Collection[Key]
    rotation: Rotation
    looked: float | None


def server_turn(
    keys: list[Key],
    newest: Mapping[Key, float | None],
    rotation: Rotation | None,
    now: float,
    looked: float | None,
    within: float,
    *,
    everything: bool,
) -> ServerTurn:
    """Return which of the sorted *keys* of a server to read again; the last such read was at *looked*.

    *newest* has the newest keys, with the time when each was read (None: unknown). All other keys are read
    within *within* seconds, if `RATE` allows that. *everything*: a user asks, so all of the newest are read,
    without a bound.
    """
    elapsed = UNKNOWN if looked is None or looked > now else now - looked
    most = len(keys) if everything else int(RATE * elapsed)
    if most < SHARE and not everything:
        most = 0  # until more time has passed
    wanted = set(keys)
    known = {key: at for key, at in newest.items() if key in wanted}
    first = [*known] if everything else waited_longest(known, now, elapsed)[: most - most // SHARE]
    others = [key for key in keys if key not in newest]
    due, turned = next_turn(others, rotation, now, within, most - len(first))
    return ServerTurn(due.union(first), turned, now if most else looked)


def waited_longest(newest: Mapping[Key, float | None], now: float, elapsed: float) -> list[Key]:
    """Return the *newest* keys that were not read for longest, enough to read all within `WITHIN` seconds.

    Keys that were never read come first, in their order. Looks are expected to be *elapsed* seconds apart. A
    time in the future is of a clock that was wrong, and counts as never.
    """
    waited = {key: -1.0 if read is None or read > now else read for key, read in newest.items()}
    looks = max(1, int(WITHIN / max(1.0, elapsed)))
    return sorted(waited, key=lambda key: waited[key])[: ceil(len(newest) / looks)]


def next_turn(
    keys: list[Key], rotation: Rotation | None, now: float, within: float, most: int
) -> tuple[frozenset[Key], Rotation]:
    """Return which of the sorted *keys* to read again, and the rotation after that.

    After *within* seconds every key has been read, unless *most* are too few for that. Without a *rotation*
    none is read: all were just read for the first time.
    """
    if rotation is None:
        return frozenset(), Rotation(None, now)
    elapsed = max(0.0, now - rotation.at)
    count = len(keys) if elapsed >= within else int(len(keys) * elapsed / within)
    count = min(count, most)
    if not count:
        # Keep the rotation until enough time has passed for one key.
        return frozenset(), rotation if keys else Rotation(None, now)
    start = 0 if rotation.after is None else bisect_right(keys, rotation.after)
    turn = (keys[start:] + keys[:start])[:count]
    return frozenset(turn), Rotation(turn[-1], now)
