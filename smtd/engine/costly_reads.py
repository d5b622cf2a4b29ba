"""Choose which records to read in a store where each read costs a request, so that edits show.

A server lists its records, but does not say whether they were edited. Reading all of them in every cycle
would cost as much as the store holds, so each cycle reads some again. Most edits are of runs that changed
lately: the newest records are read again within a minute. All others take turns in the order of their keys,
as many as the time since the last cycle asks for. Together that is at most two requests a second, however
many pairs share the server.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Collection, Mapping
from math import ceil
from typing import NamedTuple, cast

from smtd.engine.pair import Pair
from smtd.journal.checkpoint import Rotation
from smtd.merge.sides import Side
from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.stores.base import CostlyReadStore, Scan, Store
from smtd.stores.index import Entry

#: Records of a server that are read again per second at most, unless a user asks.
RATE = 2.0
#: Seconds within which the newest records are read again, if there are two looks in that time.
WITHIN = 60.0
#: One read in this many is kept for records that are not among the newest; a look makes no fewer reads.
SHARE = 20
#: Seconds assumed since the last look, if its time is not known.
UNKNOWN = 30.0


class Trusted(NamedTuple):
    """The *entries* that need not be read at *moment*.

    Once all others are read, the rereading has come as far as *rotation*, and the last such read was at
    *reread_at*. The keys *again* are to be read now whether they have an entry or not.
    """

    entries: dict[Key, Entry]
    rotation: Rotation
    moment: float
    reread_at: float | None
    again: Collection[Key]


async def trusted(pair: Pair, side: Side, entries: Mapping[Key, Entry], unsure: Collection[Key]) -> Trusted:
    """Return which *entries* of *side* need not be read now.

    These must be read: *unsure* keys, those that smtd wrote lately (`reread_times`), the newest that were
    not read lately, and those whose turn it is. If a user asks, all of the newest, without a bound.
    """
    moment, index, policy = time.time(), pair.journal.indexes[side], pair.policy
    again = {*unsure, *(write.key for write in await pair.journal.begun())}
    again |= {
        key
        for key, writes in (await pair.journal.write_log.all(side)).items()
        if writes[-1].due is not None and writes[-1].due <= moment
    }
    keys = sorted(key for key, each in entries.items() if each.is_readable and key not in again)
    newest, reread_at = await index.newest(policy.projects), await index.reread_at()
    rotation = await pair.journal.checkpoints.rotation(side)
    turn = server_turn(
        keys, newest, rotation, moment, reread_at, policy.verify_within, everything=policy.force_retry
    )
    believed = {key: entries[key] for key in keys if key not in turn.keys}
    return Trusted(believed, turn.rotation, moment, turn.reread_at, again)


async def trusting_scan(
    store: Store, projects: Collection[str] | None, trusted: Mapping[Key, Digest]
) -> Scan:
    """Scan *projects* of *store*; where each read costs a request, do not read the records *trusted*."""
    if not store.capabilities.costly_reads:
        return await store.scan(projects)
    return await cast(CostlyReadStore, store).scan(projects, known=trusted)


class ServerTurn(NamedTuple):
    """The *keys* of a server to read now; *rotation*, and the last read (*reread_at*), after that."""

    keys: Collection[Key]
    rotation: Rotation
    reread_at: float | None


def server_turn(
    keys: list[Key],
    newest: Mapping[Key, float | None],
    rotation: Rotation | None,
    now: float,
    reread_at: float | None,
    within: float,
    *,
    everything: bool,
) -> ServerTurn:
    """Return which of the sorted *keys* of a server to read again; the last such read was at *reread_at*.

    *newest* has the newest keys, with the time when each was read (None: unknown). All other keys are read
    within *within* seconds, if `RATE` allows that. *everything*: a user asks, so all of the newest are read,
    without a bound.
    """
    elapsed = UNKNOWN if reread_at is None or reread_at > now else now - reread_at
    most = len(keys) if everything else int(RATE * elapsed)
    if most < SHARE and not everything:
        most = 0  # until more time has passed
    wanted = set(keys)
    known = {key: at for key, at in newest.items() if key in wanted}
    first = [*known] if everything else waited_longest(known, now, elapsed)[: most - most // SHARE]
    others = [key for key in keys if key not in newest]
    due, turned = next_turn(others, rotation, now, within, most - len(first))
    return ServerTurn(due.union(first), turned, now if most else reread_at)


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
