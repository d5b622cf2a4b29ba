"""Find the writes to a store without a lock that another program has undone, while that can be told.

The journal remembers them before anything else is written there: what was written later, and is there,
would look as if whoever undid them had seen them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from smtd.engine.pair import Pair
from smtd.merge import guards
from smtd.merge.decide import Mode
from smtd.merge.fields import Merged, is_built_on, merge
from smtd.merge.guards import Written
from smtd.merge.sides import Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record

_Writes: TypeAlias = Mapping[Key, Sequence[Written]]


class Overtaken(NamedTuple):
    """A record that a program saved as it had read it before smtd's last writes, edited or not.

    *rejoined* is what would be there if that program had seen them. *again*: smtd's last write was one that
    brought back what had been taken away like this.
    """

    rejoined: Record
    again: bool


@dataclass(frozen=True, slots=True)
class Undone:
    """What other programs undid on one side: *lost*, the last write under each key that is as it was before
    one, and *overtaken*, the keys that they edited as they were before, or that have no other remedy."""

    lost: Mapping[Key, Written] = field(default_factory=dict)
    overtaken: Mapping[Key, Overtaken] = field(default_factory=dict)


async def find(
    pair: Pair,
    side: Side,
    now: Mapping[Key, Digest],
    agreed: Mapping[Key, Both[Digest]],
    *,
    dry_run: bool,
) -> Undone:
    """Return what was undone on *side*, which holds *now*, and remember it, but with *dry_run*."""
    if pair.stores[side].capabilities.exclusive_writes:
        return Undone()
    everything = await pair.journal.written(side)
    written = {key: writes for key, writes in everything.items() if pair.policy.covers(key)}
    undone = guards.undone(written, now)
    overtaken = await _overtaken(pair, side, written, now, agreed)
    found = _rows(undone) | {(key, written[key][-1].number) for key in overtaken.keys() - undone.keys()}
    others = {(key, number) for key, number in _flagged(everything) if not pair.policy.covers(key)}
    if found | others != _flagged(everything) and not dry_run:
        await pair.journal.set_undone(side, found | others)
    return Undone({key: written[key][-1] for key in undone}, overtaken)


async def foresee(pair: Pair, side: Side, now: Mapping[Key, Digest]) -> None:
    """Remember what may have been undone on *side*, which holds *now*, before the journal learns of writes.

    `find` looks closer, and forgets what was not.
    """
    written = await pair.journal.written(side)
    may = _rows(guards.undone(written, now))
    may |= {(key, write.number) for key, write in guards.unseen(written, now).items()}
    may = {(key, number) for key, number in may if pair.policy.covers(key)}
    if not may <= (known := _flagged(written)):
        await pair.journal.set_undone(side, may | known)


async def look_again(pair: Pair, side: Side) -> None:
    """Find what was undone since the scan, after a write to *side* and before the journal knows of that.

    Nothing is to be found unless another program wrote there meanwhile.
    """
    store = pair.stores[side]
    if store.capabilities.exclusive_writes or await store.token() is not None:
        return
    held = await store.read(list(await pair.journal.written(side)))
    await foresee(pair, side, {key: canonical.digest(record) for key, record in held.items()})


async def _overtaken(
    pair: Pair, side: Side, written: _Writes, now: Mapping[Key, Digest], agreed: Mapping[Key, Both[Digest]]
) -> dict[Key, Overtaken]:
    """Return what other programs saved on *side* without having seen smtd's writes.

    They had read the store before, and saved their own edit without what smtd had brought. That is no edit
    of what smtd wrote, but another one of what was there before. What they put back as it was is written
    anew from the other side, unless that side does not have it either.
    """
    if pair.policy.mode is not Mode.TWO_WAY:
        return {}
    both_lockless = not pair.stores[side.other].capabilities.exclusive_writes
    reverted = {
        key
        for key in guards.undone(written, now)
        if key in now and key in agreed and (both_lockless or agreed[key][side] != written[key][-1].after)
    }
    edited = guards.unseen(written, now).keys() & agreed.keys()
    held = await pair.stores[side].read(reverted | edited) if reverted or edited else {}
    found = {}
    for key, record in held.items():
        rejoined = await _rejoined(pair, side, key, record, agreed[key][side], written[key])
        if rejoined is not None:
            last = written[key][-1]
            found[key] = Overtaken(rejoined, last.merged or (key in reverted and last.restored > 0))
    return found


async def _rejoined(
    pair: Pair, side: Side, key: Key, held: Record, agreed: Digest, writes: Sequence[Written]
) -> Record | None:
    """Return what *held* and the last of *writes* make together, whose common ancestor a program had read.

    None: it had seen them, they cannot be merged, or not all of that is kept.
    """
    if agreed == writes[-1].after:
        after = await pair.journal.ancestor(key)
    else:  # by a merge that came to one side only, or somebody who had seen the write edited it since
        after = await pair.journal.written_record(side, key)
    before = None if after is None else await _read_by(pair, key, held, after, writes)
    if before is None or after is None:
        return None
    result = merge(before, held, after)
    return result.record if isinstance(result, Merged) else None


async def _read_by(
    pair: Pair, key: Key, held: Record, after: Record, writes: Sequence[Written]
) -> Record | None:
    """Return what a program had read that saved *held*, which has nothing of the last *writes* of *key*.

    The last of them left *after*. None: it had seen them, or that is not kept any more.
    """
    base = None
    for write in reversed(writes):
        if write.before is None:
            break
        before = await pair.journal.history.replaced(pair.journal.number, key, write.before)
        if before is None or is_built_on(held, after, before):
            break
        base = after = before
    return base


def _rows(writes: _Writes) -> set[tuple[Key, int]]:
    return {(key, write.number) for key, each in writes.items() for write in each}


def _flagged(writes: _Writes) -> set[tuple[Key, int]]:
    return _rows({key: [write for write in each if write.undone] for key, each in writes.items()})
