"""Choose which records to read in a store where each read costs a request, so that edits show.

A server lists its records, but does not say whether they were edited. Reading all of them in every cycle
would cost as much as the store holds, so each cycle reads some again. Most edits are of runs that changed
lately: the newest records are read again within a minute. All others take turns in the order of their keys,
as many as the time since the last cycle asks for. Together that is at most two requests a second, however
many pairs share the server.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

from smtd.engine.pair import Pair
from smtd.engine.scrub import pace
from smtd.journal.scrub_log import Rotation
from smtd.merge.sides import Side
from smtd.records.record import Key
from smtd.stores.index import Entry


class Trusted(NamedTuple):
    """The *entries* that need not be read at *moment*.

    Once all others are read, the verification has come as far as *rotation*, and the last such read was at
    *looked*. The keys *again* are to be read now whether they have an entry or not.
    """

    entries: dict[Key, Entry]
    rotation: Rotation
    moment: float
    looked: float | None
    again: Collection[Key]


async def trusted(pair: Pair, side: Side, entries: Mapping[Key, Entry], unsure: Collection[Key]) -> Trusted:
    """Return which *entries* of *side* need not be read now.

    These must be read: *unsure* keys, those that smtd wrote lately (`rereads`), the newest that were not read
    lately, and those whose turn it is. If a user asks, all of the newest, without a bound.
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
