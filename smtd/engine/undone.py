"""Find the writes to a store without a lock that another program has undone, while that can be told.

The journal remembers them before anything else is written there: what was written later, and is there,
would look as if whoever undid them had seen them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    found |= {(key, number) for key, number in _flagged(all_written) if not pair.policy.covers(key)}
    if found != _flagged(all_written) and not dry_run:
        await pair.journal.set_undone(side, found)
    return {key: written[key][-1] for key in undone}


def _rows(writes: Mapping[Key, Sequence[Written]]) -> set[tuple[Key, int]]:
    return {(key, write.number) for key, each in writes.items() for write in each}


def _flagged(writes: Mapping[Key, Sequence[Written]]) -> set[tuple[Key, int]]:
    return _rows({key: [write for write in each if write.undone] for key, each in writes.items()})


async def overtaken(
    pair: Pair, side: Side, now: Mapping[Key, Digest], agreed: Mapping[Key, Both[Digest]]
) -> dict[Key, Record]:
    """Return the keys that another program edited as they were before smtd's last write, with what they were.

    It had read the store before that write, and saved its own edit without what smtd had brought. That is
    no edit of what smtd wrote, but another one of what was there before: both are to be merged. It is
    believed once: after such a merge the next edit is what a person wants.
    """
    if pair.stores[side].capabilities.exclusive_writes or pair.policy.mode is not Mode.TWO_WAY:
        return {}
    written = await pair.journal.written(side)
    late = guards.unseen(written, now)
    found = {}
    for key, write in late.items():
        if key not in agreed or agreed[key][side] != write.after or write.before is None or write.restored:
            continue
        before = await pair.journal.history.replaced(pair.journal.number, key, write.before)
        wanted = await pair.journal.ancestor(key)
        held = (await pair.stores[side].read([key])).get(key)
        if before and wanted and held and not is_built_on(held, wanted, before):
            found[key] = before
    return found


async def look_again(pair: Pair, side: Side) -> None:
    """Find what was undone since the scan, after a write to *side* and before the journal knows of that.

    Nothing is to be found unless another program wrote there meanwhile.
    """
    store = pair.stores[side]
    if store.capabilities.exclusive_writes or await store.token() is not None:
        return
    held = await store.read(list(await pair.journal.written(side)))
    await find(pair, side, {key: canonical.digest(record) for key, record in held.items()}, dry_run=False)
