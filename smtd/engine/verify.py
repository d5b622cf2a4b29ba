"""Read a store that is dear to read: what is new, and in turn what is known, so that edits show.

A server tells what records it has, not whether they were edited. Reading every one of them in every
cycle would cost what the store holds; so each cycle reads anew as many of the known ones as the time
since the last cycle asks for, in order of their keys, and after a while has read them all.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import replace
from typing import cast

from smtd.engine.pair import Pair
from smtd.journal.knowledge import Rotation
from smtd.merge.sides import Side
from smtd.records.record import Key
from smtd.stores.base import DearStore, Scan


async def scan(pair: Pair, side: Side, doubtful: Collection[Key]) -> tuple[Scan, Rotation | None]:
    """Scan one side; a store that is dear to read is trusted with what was agreed and is not due.

    *doubtful* keys are read in any case, and those that smtd wrote lately (`rereads`). Returns also how far
    the turn has come then, if there is one.
    """
    store = pair.stores[side]
    if not store.capabilities.dear_reads:
        return await store.scan(pair.policy.projects), None
    agreed = await pair.journal.agreed(pair.policy.projects)
    unsure = {write.key for write in await pair.journal.begun()}
    # An edit that the other side has refused is still there, unless a look says otherwise.
    unsure |= {key for key, target in await pair.journal.refused() if target is side.other}
    moment = time.time()
    unsure |= {
        key
        for key, writes in (await pair.journal.write_log.all(side)).items()
        if writes[-1].due is not None and writes[-1].due <= moment
    }
    decisions = await pair.journal.decisions.all()
    keys = sorted(agreed.keys() - unsure - set(doubtful))
    rotation = await pair.journal.rotation(side)
    now_due, turned = due(keys, rotation, moment, pair.policy.verify_within)
    known = {key: agreed[key][side] for key in keys if key not in now_due}
    # Trusted, a record that a person has decided on would look like another one.
    seen = {key: decision.digests[side] for key, decision in decisions.items()}
    known = {key: digest for key, digest in known.items() if seen.get(key, digest) == digest}
    found = await cast(DearStore, store).scan(pair.policy.projects, known=known)
    return replace(found, believed=known.keys() & found.digests.keys()), turned


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
