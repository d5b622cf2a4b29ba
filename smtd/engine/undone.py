"""Find the writes to a store without a lock that another program has undone, while that can be told.

The journal remembers them before anything else is written there: what was written later, and is there,
would look as if whoever undid them had seen them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from smtd.engine.pair import Pair
from smtd.merge import guards
from smtd.merge.decide import Mode
from smtd.merge.fields import is_built_on
from smtd.merge.guards import Written
from smtd.merge.sides import Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record


async def find(pair: Pair, side: Side, now: Mapping[Key, Digest], *, dry_run: bool) -> dict[Key, Written]:
    """Return the last write under each key of *side* whose write was undone, and remember which were.

    *now* is what the side holds. With *dry_run* nothing is remembered.
    """
    if pair.stores[side].capabilities.exclusive_writes:
        return {}
    all_written = await pair.journal.written(side)
    written = {key: writes for key, writes in all_written.items() if pair.policy.covers(key)}
    undone = guards.undone(written, now)
    found = _rows(undone)
    found |= {(key, write.number) for key, write in guards.unseen(written, now).items()}
    found |= {(key, number) for key, number in _flagged(all_written) if not pair.policy.covers(key)}
    if found != _flagged(all_written) and not dry_run:
        await pair.journal.set_undone(side, found)
    return {key: written[key][-1] for key in undone}


def _rows(writes: Mapping[Key, Sequence[Written]]) -> set[tuple[Key, int]]:
    return {(key, write.number) for key, each in writes.items() for write in each}


def _flagged(writes: Mapping[Key, Sequence[Written]]) -> set[tuple[Key, int]]:
    return _rows({key: [write for write in each if write.undone] for key, each in writes.items()})


class Overtaken(NamedTuple):
    """A key that another program edited as it was before smtd's last writes to *side*.

    *before* is what that program had read: what its edit and smtd's writes have in common. *again*: smtd's
    last write was one that brought back what such an edit had taken away.
    """

    side: Side
    before: Record
    again: bool


async def overtaken(
    pair: Pair, side: Side, now: Mapping[Key, Digest], agreed: Mapping[Key, Both[Digest]]
) -> dict[Key, Overtaken]:
    """Return what other programs edited on *side*, which holds *now*, without having seen smtd's writes.

    They had read the store before, and saved their own edit without what smtd had brought. That is no edit
    of what smtd wrote, but another one of what was there before.
    """
    if pair.stores[side].capabilities.exclusive_writes or pair.policy.mode is not Mode.TWO_WAY:
        return {}
    written = await pair.journal.written(side)
    found = {}
    for key, write in guards.unseen(written, now).items():
        if key in agreed and agreed[key][side] == write.after:
            before = await _read_by(pair, side, key, written[key])
            if before is not None:
                found[key] = Overtaken(side, before, write.merged)
    return found


async def _read_by(pair: Pair, side: Side, key: Key, writes: Sequence[Written]) -> Record | None:
    """Return what a program had read that left none of the last *writes* of *key*; None: it had seen them."""
    held = (await pair.stores[side].read([key])).get(key)
    after = await pair.journal.ancestor(key)
    base = None
    for write in reversed(writes):
        if held is None or after is None or write.before is None:
            break
        before = await pair.journal.history.replaced(pair.journal.number, key, write.before)
        if before is None or is_built_on(held, after, before):
            break
        base = after = before
    return base


async def look_again(pair: Pair, side: Side) -> None:
    """Find what was undone since the scan, after a write to *side* and before the journal knows of that.

    Nothing is to be found unless another program wrote there meanwhile.
    """
    store = pair.stores[side]
    if store.capabilities.exclusive_writes or await store.token() is not None:
        return
    held = await store.read(list(await pair.journal.written(side)))
    await find(pair, side, {key: canonical.digest(record) for key, record in held.items()}, dry_run=False)
