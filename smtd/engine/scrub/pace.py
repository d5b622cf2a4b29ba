"""What is read again next, and when: so that each record has its turn in the time asked for. Pure.

A server has two records a second read again, the newest first. Both stores of a pair are compared a slice at
a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from math import ceil
from typing import NamedTuple

from smtd.journal.scrub_log import ScrubProgress
from smtd.journal.values import Rotation
from smtd.records.record import Key

#: So many records a second of a server are read again at the most, unless a person asks.
RATE = 2.0
#: Within so many seconds the newest are, if there are two looks in that time.
WITHIN = 60.0
#: One read in so many is kept for records that are not among the newest; fewer reads are not made at all.
SHARE = 20
#: Seconds since the last look, if nobody knows when that was.
UNKNOWN = 30.0

#: Records of a slice at the least, and slices of a round at the most: a shelf is read whole for each.
SMALLEST, MOST = 50, 100


def slice_size(total: int) -> int:
    """Return how many of *total* records a slice has."""
    return max(SMALLEST, -(-total // MOST))


def next_slice(now: ScrubProgress, total: int, within: float) -> float:
    """Return when the next slice is due, in seconds since 1970; never, if there is nothing to verify.

    Slices are spread evenly over the time, each at the end of its share: what was just agreed on was just
    read.
    """
    if not total or not within:
        return float("inf")
    slices = -(-total // slice_size(total))
    return now.began + within * min(1.0, (now.counted // slice_size(total) + 1) / slices)


def advanced(now: ScrubProgress, verified: list[Key], count: int, moment: float) -> ScrubProgress:
    """Return the round after the next *count* records, or as many as there were, were *verified*."""
    if len(verified) < count:
        return ScrubProgress(moment, before=now.began)
    return now._replace(after=verified[-1], counted=now.counted + len(verified))


class ServerTurn(NamedTuple):
    """The *keys* of a server to read now; then the turn is at *rotation*, and the last read was *looked*."""

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
    """Return which of the sorted *keys* of a server to read again, of which some were last read *looked*.

    With the *newest* comes when each was read. Others have their turn *within* seconds, if `RATE` allows it.
    *everything*: a person asks, so all of the newest are read, without a bound.
    """
    elapsed = UNKNOWN if looked is None or looked > now else now - looked
    most = len(keys) if everything else int(RATE * elapsed)
    if most < SHARE and not everything:
        most = 0  # the time goes on adding up
    wanted = set(keys)
    known = {key: at for key, at in newest.items() if key in wanted}
    first = [*known] if everything else waited_longest(known, now, elapsed)[: most - most // SHARE]
    others = [key for key in keys if key not in newest]
    due, turned = next_turn(others, rotation, now, within, most - len(first))
    return ServerTurn(due.union(first), turned, now if most else looked)


def waited_longest(newest: Mapping[Key, float | None], now: float, elapsed: float) -> list[Key]:
    """Return those of the *newest* that wait longest, the newest first, to have read all in `WITHIN` seconds.

    Looks are expected to be *elapsed* seconds apart. A moment to come is of a clock that was wrong.
    """
    waited = {key: -1.0 if read is None or read > now else read for key, read in newest.items()}
    looks = max(1, int(WITHIN / max(1.0, elapsed)))
    return sorted(waited, key=lambda key: waited[key])[: ceil(len(newest) / looks)]


def next_turn(
    keys: list[Key], rotation: Rotation | None, now: float, within: float, most: int
) -> tuple[frozenset[Key], Rotation]:
    """Return which of the sorted *keys* are to be read anew, and how far the turn has come then.

    After *within* seconds every key has been read, unless *most* are too few for that. What was read for the
    first time just now needs no second look.
    """
    if rotation is None:
        return frozenset(), Rotation(None, now)
    elapsed = max(0.0, now - rotation.at)
    count = len(keys) if elapsed >= within else int(len(keys) * elapsed / within)
    count = min(count, most)
    if not count:
        # The time goes on adding up until it is worth one key.
        return frozenset(), rotation if keys else Rotation(None, now)
    start = 0 if rotation.after is None else bisect_right(keys, rotation.after)
    turn = (keys[start:] + keys[:start])[:count]
    return frozenset(turn), Rotation(turn[-1], now)
