"""Read a store that is dear to read: what is new, and again what is known, so that edits show.

A server tells what records it has, not whether they were edited. Reading every one of them in every
cycle would cost what the store holds; so each cycle reads some again. Most edits are of runs that changed
lately: the newest records are read again within a minute. All others have their turn, in order of their
keys, as many as the time since the last cycle asks for. Together that takes no more than two requests a
second, whatever pairs have the server in common.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

from smtd.engine.pair import Pair
from smtd.engine.scrub import pace
from smtd.journal.values import Rotation
from smtd.merge.sides import Side
from smtd.records.record import Key
from smtd.stores.index import Entry


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
    rotation = await pair.journal.scrub_log.rotation(side)
    turn = pace.server_turn(
        keys, newest, rotation, moment, looked, policy.verify_within, everything=policy.force_retry
    )
    believed = {key: entries[key] for key in keys if key not in turn.keys}
    return Trusted(believed, turn.rotation, moment, turn.looked, again)
