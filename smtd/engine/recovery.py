"""Finish the writes that a crash left open, before anything is planned: read, judge, commit.

A write that landed contains what the other side held when the write began. So this is what both sides have in
common, and the ancestor of all later edits. No write is repeated here: a plan does that. Where a
store writes in steps and the crash left some of them, the write is undone: a part of a record is removed, and
what was there before is restored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio

from smtd.engine import lost_updates
from smtd.engine.pair import Pair
from smtd.journal.decisions import Choice
from smtd.journal.transaction import Baseline
from smtd.journal.write_log import Landed
from smtd.merge.fields import contains_all
from smtd.merge.sides import SIDES, Both, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import DONE, Change

#: Seconds after which a half-written record that has not changed counts as abandoned by its writer.
ABANDONED_AFTER = 5.0


class _Moved(Exception):
    """A record changed after the look at it, and before it was read."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome of open intents, as both stores show it; the journal does not have it yet.

    *unseen* are writes that do not show: an interrupted request may still be on its way to a server.
    *moved* are keys that cannot be judged yet: they changed meanwhile, or must be repaired first.
    *interrupted* are writes of two steps that left their record deleted, *partial* those that left a part of
    it.
    """

    baselines: Sequence[Baseline] = ()
    forgotten: Sequence[Key] = ()
    landed: Sequence[Write] = ()
    unseen: Sequence[Write] = ()
    ended: Collection[Key] = ()
    moved: Collection[Key] = ()
    interrupted: Sequence[Write] = ()
    partial: Sequence[tuple[Write, Record]] = ()

    def baselines_after(self, noted: Mapping[Key, Both[Digest]]) -> Mapping[Key, Both[Digest]]:
        """Return the baselines once the journal has this outcome; *noted*: what it has so far."""
        if not (self.baselines or self.forgotten):
            return noted
        baselines = {**noted, **{each.key: each.digests for each in self.baselines}}
        for key in self.forgotten:
            baselines.pop(key, None)
        return baselines

    @property
    def ancestors(self) -> Mapping[Key, Record]:
        """The records of baselines that the journal may not have yet."""
        return {each.key: each.record for each in self.baselines}


class Finished(NamedTuple):
    """The *keys* of open intents, and those among them that cannot be judged yet (*moved*).

    Earlier reads of *keys* must not be trusted: read them again.
    """

    keys: Collection[Key] = ()
    moved: Collection[Key] = ()


async def finish_intents(pair: Pair) -> Finished:
    """Judge the intents that a crash left open, and commit their outcome to the journal."""
    begun = await _pending_intents(pair)
    if not begun:
        return Finished()
    now = await _read_digests(pair, begun)
    for side in SIDES:  # flag lost updates before these writes are logged, which would seem to follow them
        if not pair.stores[side].capabilities.exclusive_writes:
            await lost_updates.flag_suspects(pair, side)
    judged = await _judge(pair, begun, now)
    if judged.partial:
        await _remove_partial(pair, judged.partial)
    await _revert(pair, judged.interrupted)
    await pair.flush()  # a write may have been visible, but not durable, at the crash
    async with pair.journal.transaction() as tx:
        tx.set_baselines(judged.baselines)
        tx.drop_baselines(judged.forgotten)
        tx.log_writes([sent for write in judged.unseen for sent in lost_updates.sent(pair, write)])
        tx.log_writes(_unlocked_writes(pair, judged.landed, judged.baselines))
        tx.finish(judged.ended)
        tx.set_landed([write.entry for write in judged.landed if write.entry is not None])
        tx.end_decisions([write.key for write in judged.landed])
        tx.reopen(begun.keys())
    return Finished(begun.keys(), judged.moved)


async def judge_intents(pair: Pair) -> Judged:
    """Return what `finish_intents` would find; write nothing."""
    begun = await _pending_intents(pair)
    return await _judge(pair, begun, await _read_digests(pair, begun)) if begun else Judged()


async def _read_digests(pair: Pair, keys: Collection[Key]) -> Both[Mapping[Key, Digest]]:
    """Return the digests that both sides have under *keys* now."""
    return Both(await pair.digests(Side.LEFT, keys), await pair.digests(Side.RIGHT, keys))


async def _judge(pair: Pair, begun: Mapping[Key, Sequence[Write]], now: Both[Mapping[Key, Digest]]) -> Judged:
    """Return the outcome of the writes *begun*, by key, given the digests that both sides have *now*."""
    pinned = await _pinned(pair, now)
    landed: list[Write] = []
    unseen: list[Write] = []
    baselines: list[Baseline] = []
    forgotten: list[Key] = []
    interrupted: list[Write] = []
    partial = await _partial_writes(pair, [write for writes in begun.values() for write in writes], now)
    moved = {write.key for write, _ in partial}
    for key, writes in begun.items():
        if key in moved:
            continue
        if cut := [write for write in writes if _was_interrupted(pair, write, now)]:
            # Not a deletion: the store makes a change in two steps, and the crash was between them.
            interrupted += cut
            moved.add(key)
            continue
        try:
            done = await _landed(pair, writes, now)
            differ = now.left.get(key) != now.right.get(key)
            common = await _infer_base(pair, writes, done, now) if differ else None
        except _Moved:
            moved.add(key)
            continue
        landed += done
        unseen += [write for write in writes if write not in done]
        if key in pinned:
            forgotten.append(key)  # by an undo: both sides stay as they are, without a common ancestor
        elif common is not None:
            digest = canonical.digest(common)
            baselines.append(Baseline(key, Both(digest, digest), common))
    # A record that was deleted and exists again is new.
    forgotten += [write.key for write in landed if write.digest is None]
    return Judged(baselines, forgotten, landed, unseen, begun.keys() - moved, moved, interrupted, partial)


async def _pinned(pair: Pair, now: Both[Mapping[Key, Digest]]) -> set[Key]:
    """Return the keys that an undo pinned, and that have not changed since."""
    return {
        key
        for key, decision in (await pair.journal.decisions.all()).items()
        if decision.choice is Choice.REST and decision.digests == Both(now.left.get(key), now.right.get(key))
    }


async def _pending_intents(pair: Pair) -> dict[Key, list[Write]]:
    """Return the writes that a crash left open, by key, of the projects that the pair syncs."""
    begun: dict[Key, list[Write]] = defaultdict(list)
    for write in await pair.journal.begun():
        if pair.policy.covers(write.key):
            begun[write.key].append(write)
    return begun


async def _landed(pair: Pair, writes: Sequence[Write], now: Both[Mapping[Key, Digest]]) -> Sequence[Write]:
    """Return those among the *writes* of one key that landed. Raises _Moved."""
    done = [write for write in writes if await _has_landed(pair, write, now)]
    if any(write.side is pair.journal.order[1] for write in done):
        return writes  # the other side was written first: if it shows no write now, that was undone there
    return done


async def _partial_writes(
    pair: Pair, begun: Sequence[Write], now: Both[Mapping[Key, Digest]]
) -> list[tuple[Write, Record]]:
    """Return the parts of records that interrupted writes left, where a store writes a record in steps."""
    found: list[tuple[Write, Record]] = []
    for write in begun:
        current, other = now[write.side].get(write.key), write.side.other
        if (
            pair.stores[write.side].capabilities.atomic_updates
            or write.digest is None
            or current in (None, write.digest, write.expect)
        ):
            continue
        wanted = write.record
        if wanted is None and now[other].get(write.key) == write.digest:
            wanted = await pair.read(other, write.key)
        part = await pair.read(write.side, write.key)
        if wanted is not None and part is not None and canonical.is_part(part, wanted):
            found.append((write, part))
    return found


async def _remove_partial(pair: Pair, partial: Sequence[tuple[Write, Record]]) -> None:
    """Remove abandoned parts of records, and restore the records that were there before."""
    await anyio.sleep(ABANDONED_AFTER)
    for write, part in partial:
        store = pair.stores[write.side]
        (outcome,) = await store.write([Change(write.key, None, canonical.digest(part))])
        if outcome == DONE and write.before is not None:
            await _revert(pair, [write])


async def _has_landed(pair: Pair, write: Write, now: Both[Mapping[Key, Digest]]) -> bool:
    """Say whether *write* reached its store, even if a program edited the record since. Raises _Moved."""
    current = now[write.side].get(write.key)
    if current == write.digest:
        return True
    if current is None or write.digest is None or current == write.expect:
        return False
    wanted = write.record
    if wanted is None and now[write.side.other].get(write.key) == write.digest:
        wanted = await _read(pair, write.side.other, write.key, write.digest)
    if wanted is None:
        return False
    record = await _read(pair, write.side, write.key, current)
    # Another client may have made the same record, or a part of the same change: all of it must be there.
    return contains_all(record, wanted, write.before)


def _was_interrupted(pair: Pair, write: Write, now: Both[Mapping[Key, Digest]]) -> bool:
    """Say whether a change that its store makes in two steps has left the record deleted."""
    return (
        not pair.stores[write.side].capabilities.atomic_updates
        and write.before is not None
        and write.digest is not None
        and write.key not in now[write.side]
    )


async def _revert(pair: Pair, cut: Sequence[Write]) -> None:
    """Restore what the writes *cut* deleted; the next look decides as if they had never begun."""
    for write in cut:
        await pair.stores[write.side].write([Change(write.key, write.before, None)])


async def _infer_base(
    pair: Pair, begun: Sequence[Write], landed: Sequence[Write], now: Both[Mapping[Key, Digest]]
) -> Record | None:
    """Return what both sides have in common after the *landed* writes of one key (None: nothing)."""
    first, last = pair.journal.order
    for write in sorted(landed, key=lambda each: each.side is first):
        if write.digest is None:
            continue
        if write.side is first and any(each.side is last and each.digest == write.digest for each in begun):
            return write.origin  # the last side was not written yet, and holds this (None: nothing)
        if write.record is not None:
            return write.record
        sides = [side for side in SIDES if now[side].get(write.key) == write.digest]
        return await _read(pair, sides[0], write.key, write.digest) if sides else None
    return None


async def _read(pair: Pair, side: Side, key: Key, digest: Digest) -> Record:
    """Return the record with *digest*. Raises _Moved if it is no longer there."""
    record = await pair.read(side, key)
    if record is None or canonical.digest(record) != digest:
        raise _Moved(key)
    return record


def _unlocked_writes(pair: Pair, landed: Sequence[Write], baselines: Sequence[Baseline]) -> list[Landed]:
    """Return the log entries of the *landed* writes to stores without a lock."""
    digests = {each.key: each.digests for each in baselines}
    found = []
    for write in landed:
        alone = write.key in digests and digests[write.key].left != write.digest
        found += lost_updates.logged(pair, write, record=write.record if alone else None)
    return found
