"""Read a store that is dear to read: what is new, and in turn what is known, so that edits show.

A server tells what records it has, not whether they were edited. Reading every one of them in every
cycle would cost what the store holds; so each cycle reads anew as many of the known ones as the time
since the last cycle asks for, in order of their keys, and after a while has read them all.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Collection, Mapping

from smtd.engine.pair import Pair
from smtd.journal.knowledge import Rotation
from smtd.merge.sides import Side
from smtd.records.record import Key
from smtd.stores.index import Entry


async def trusted(
    pair: Pair, side: Side, entries: Mapping[Key, Entry], unsure: Collection[Key]
) -> tuple[dict[Key, Entry], Rotation]:
    """Return those *entries* of *side* that need not be read now, and how far the turn has come then.

    To be read are *unsure* keys, those that smtd wrote lately (`rereads`), and those whose turn it is.
    """
    moment = time.time()
    again = {*unsure, *(write.key for write in await pair.journal.begun())}
    again |= {
        key
        for key, writes in (await pair.journal.write_log.all(side)).items()
        if writes[-1].due is not None and writes[-1].due <= moment
    }
    keys = sorted(key for key, each in entries.items() if each.is_readable and key not in again)
    now_due, turned = due(keys, await pair.journal.rotation(side), moment, pair.policy.verify_within)
    return {key: entries[key] for key in keys if key not in now_due}, turned


def due(
    keys: list[Key], rotation: Rotation | None, now: float, within: float
) -> tuple[frozenset[Key], Rotation]:
    """Return which of the sorted *keys* are to be read anew, and how far the turn has come then.

    After *within* seconds every key has been read. What was read for the first time just now needs
    no second look.
    """
    if rotation is None:
        return frozenset(), Rotation(None, now)
    elapsed = max(0.0, now - rotation.at)
    count = len(keys) if elapsed >= within else int(len(keys) * elapsed / within)
    if not count:
        # The time goes on adding up until it is worth one key.
        return frozenset(), rotation if keys else Rotation(None, now)
    start = 0 if rotation.after is None else bisect_right(keys, rotation.after)
    turn = (keys[start:] + keys[:start])[:count]
    return frozenset(turn), Rotation(turn[-1], now)
