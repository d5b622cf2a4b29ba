"""Read a store that is dear to read: what is new, and again what is known, so that edits show.

A server tells what records it has, not whether they were edited. Reading every one of them in every
cycle would cost what the store holds; so each cycle reads some again. Most edits are of runs that changed
lately: the newest records are read again within a minute. All others have their turn, in order of their
keys, as many as the time since the last cycle asks for. Together that takes no more than two requests a
second, whatever pairs have the server in common.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Collection, Mapping
from math import ceil
from typing import NamedTuple

from smtd.engine.pair import Pair
from smtd.journal.values import Rotation
from smtd.merge.sides import Side
from smtd.records.record import Key
from smtd.stores.index import Entry

#: So many records a second of a server are read again at the most, unless a person asks.
RATE = 2.0
#: Within so many seconds the newest are, if there are two looks in that time.
WITHIN = 60.0
#: One in so many is none of the newest, which would leave nothing to the others. Nothing is read for fewer.
SHARE = 20
#: Seconds since the last look, if nobody knows when that was.
UNKNOWN = 30.0


class Trusted(NamedTuple):
    """What need not be read at *moment*: the *entries* that are believed.

    Then the turn has come as far as *rotation*, and records were read again *looked* last. The keys *again*
    are to be looked at now whether they have an entry or not.
    """

    entries: dict[Key, Entry]
    rotation: Rotation
    moment: float
    looked: float | None
    again: Collection[Key]


async def trusted(pair: Pair, side: Side, entries: Mapping[Key, Entry], unsure: Collection[Key]) -> Trusted:
    """Return those *entries* of *side* that need not be read now.

    To be read are *unsure* keys, those that smtd wrote lately (`rereads`), the newest that were not read
    lately, and those whose turn it is. A person who asks has all of the newest read, and no bound.
    """
    moment, index, policy = time.time(), pair.journal.indexes[side], pair.policy
    again = {*unsure, *(write.key for write in await pair.journal.begun())}
    again |= {
        key
        for key, writes in (await pair.journal.write_log.all(side)).items()
        if writes[-1].due is not None and writes[-1].due <= moment
    }
    keys = sorted(key for key, each in entries.items() if each.is_readable and key not in again)
    newest, looked = await index.newest(policy.projects), await index.looked()
    elapsed = UNKNOWN if looked is None or looked > moment else moment - looked
    most = len(keys) if policy.force_retry else int(RATE * elapsed)
    if most < SHARE and not policy.force_retry:
        most = 0  # the time goes on adding up
    wanted = set(keys)
    known = {key: at for key, at in newest.items() if key in wanted}
    first = [*known] if policy.force_retry else longest(known, moment, elapsed)[: most - most // SHARE]
    others = [key for key in keys if key not in newest]
    rotation = await pair.journal.rotation(side)
    now_due, turned = due(others, rotation, moment, policy.verify_within, most - len(first))
    read = now_due.union(first)
    believed = {key: entries[key] for key in keys if key not in read}
    return Trusted(believed, turned, moment, moment if most else looked, again)


def longest(newest: Mapping[Key, float | None], now: float, elapsed: float) -> list[Key]:
    """Return those of the *newest* that wait longest, the newest first, to have read all in `WITHIN` seconds.

    Looks are expected to be *elapsed* seconds apart. A moment to come is of a clock that was wrong.
    """
    waited = {key: -1.0 if read is None or read > now else read for key, read in newest.items()}
    looks = max(1, int(WITHIN / max(1.0, elapsed)))
    return sorted(waited, key=lambda key: waited[key])[: ceil(len(newest) / looks)]


def due(
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
