"""Find the writes to a store without a lock that another program has undone, while that can be told.

The journal remembers them before anything else is written there: what was written later, and is there,
would look as if the program that undid them had seen them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from smtd.engine.pair import Pair
from smtd.engine.scrub import rereads
from smtd.journal.values import Landed
from smtd.journal.write_log import Reread
from smtd.merge import lost_updates as detection
from smtd.merge.decide import Mode
from smtd.merge.fields import Merged, holds_all, is_built_on, merge
from smtd.merge.lost_updates import LoggedWrite
from smtd.merge.sides import Both, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import Scan

#: How often a write is repeated where programs save single records, before a person is asked.
TRIES = 3
#: Seconds for which a program may take to save a record that it has read in a database.
UNSEEN = 120.0

_Writes: TypeAlias = Mapping[Key, Sequence[LoggedWrite]]


class OvertakenWrite(NamedTuple):
    """A record that a program saved as it had read it before smtd's last writes, edited or not.

    *rebased* is what would be there if that program had seen them. *again*: smtd's last write was one that
    brought back what had been taken away like this.
    """

    rebased: Record
    again: bool


class RevertedWrite(NamedTuple):
    """A write that was undone: *after* is what it left. *again*: it was written anew before, often enough."""

    after: Digest | None
    again: bool


@dataclass(frozen=True, slots=True)
class LostUpdates:
    """What other programs undid on one side.

    *reverted* has the last write of each key that is again as it was before that write. *overtaken* has the
    keys that were edited as they were before the write, or that nothing else can repair.

    *late* are writes that the store did not show at first, and shows now; *moved* the keys that changed while
    they were looked at.
    """

    reverted: Mapping[Key, RevertedWrite] = field(default_factory=dict)
    overtaken: Mapping[Key, OvertakenWrite] = field(default_factory=dict)
    late: Mapping[Key, Digest] = field(default_factory=dict)
    moved: Collection[Key] = ()
    #: What of this is to be noted: which writes are undone (None: nothing new), and what a look has shown.
    marks: Collection[tuple[Key, int]] | None = None
    looks: Sequence[Reread] = ()


async def detect(
    pair: Pair,
    side: Side,
    log: _Writes,
    scan: Scan,
    agreed: Mapping[Key, Both[Digest]],
    keys: Collection[Key] | None = None,
) -> LostUpdates:
    """Return what was undone on *side*, as *scan* has it of *keys* (None: of all); `note` writes it down.

    *log* has the last writes there. Only where programs save single records are there *keys*.
    """
    store = pair.stores[side].capabilities
    if store.exclusive_writes and not store.saves_records:
        return LostUpdates()
    written = {key: writes for key, writes in log.items() if pair.policy.covers(key)}
    if store.exclusive_writes:
        return await _find_edited(pair, side, written, scan, agreed)
    if store.saves_records:
        written = {key: writes for key, writes in written.items() if keys is None or key in keys}
        return await _find_by_record(pair, side, written, scan, agreed)
    now = scan.digests
    undone = detection.reverted(written, now)
    overtaken, _ = await _overtaken_writes(pair, side, written, now, agreed, undone)
    found = _rows(undone) | {(key, written[key][-1].number) for key in overtaken.keys() - undone.keys()}
    others = {(key, number) for key, number in _flagged(log) if not pair.policy.covers(key)}
    marks = found | others if found | others != _flagged(log) else None
    return LostUpdates({key: _lost(written[key][-1]) for key in undone}, overtaken, marks=marks)


async def note(pair: Pair, side: Side, found: LostUpdates) -> None:
    """Write down what was *found* on *side*, before anything else is written there."""
    if found.marks is not None:
        await pair.journal.write_log.flag(side, found.marks)
    if found.looks:
        await pair.journal.write_log.look(side, found.looks)
    if found.late:
        await pair.journal.write_log.set_seen(side, found.late.items())


async def _find_by_record(
    pair: Pair,
    side: Side,
    written: _Writes,
    scan: Scan,
    agreed: Mapping[Key, Both[Digest]],
) -> LostUpdates:
    """Find what was undone where programs save single records: each record is judged alone.

    What the store holds as was agreed on nobody has touched since.
    """
    now, unreadable = scan.digests, scan.unreadable
    moved = {
        key: writes
        for key, writes in written.items()
        if key in agreed and key not in unreadable and now.get(key) != agreed[key][side]
    }
    gone, back = await _taken_back(pair, side, moved, now, agreed)
    edits = {
        key: [write for write in writes if write.after is not None]
        for key, writes in written.items()
        if key not in gone and key not in back
    }
    late = {
        key: now[key]
        for key, writes in edits.items()
        if key in now
        and (key not in agreed or now[key] != agreed[key][side])
        and any(write.after == now[key] for write in _not_shown(writes))
    }
    # Nobody can have read what was not there: what was to be made is only known if it shows late.
    edits = {key: [write for write in writes if write.before is not None] for key, writes in edits.items()}
    moved = {key: writes for key, writes in edits.items() if writes and key in moved.keys() - late.keys()}
    undone = detection.reverted(moved, now, by_record=True)
    overtaken, changed = await _overtaken_writes(pair, side, moved, now, agreed, undone)
    reverted = {key: _lost(moved[key][-1], TRIES) for key in undone}
    found = LostUpdates(gone | reverted, back | overtaken, late, changed)
    looked = {key: writes for key, writes in written.items() if key not in scan.believed}
    return replace(found, looks=_looks(looked, now, found))


async def _taken_back(
    pair: Pair, side: Side, written: _Writes, now: Mapping[Key, Digest], agreed: Mapping[Key, Both[Digest]]
) -> tuple[dict[Key, RevertedWrite], dict[Key, OvertakenWrite]]:
    """Return the keys that smtd's own requests, which had broken off, deleted or saved over long after that.

    Both sides had agreed on something else since: that is written once more. A side that only takes is given
    what the other one has.
    """
    mode = pair.policy.mode
    if side not in mode.targets:
        return {}, {}
    of_side = {key: each[side] for key, each in agreed.items()}
    late = detection.arrived_late(written, now, of_side, time.time() - UNSEEN)
    gone = late if mode is not Mode.TWO_WAY else {key for key in late if key not in now}
    reverted = {key: RevertedWrite(agreed[key][side], again=False) for key in gone}
    ancestors = {key: await pair.journal.ancestor(key) for key in late - gone}
    found = {key: OvertakenWrite(each, again=False) for key, each in ancestors.items() if each is not None}
    return reverted, found


async def _find_edited(
    pair: Pair, side: Side, written: _Writes, scan: Scan, agreed: Mapping[Key, Both[Digest]]
) -> LostUpdates:
    """Find what was saved over in a database by programs that had read a record before smtd wrote it.

    The transaction in which smtd writes does not keep them from saving what they have read. After
    `UNSEEN` seconds an edit is an edit, and so is one of what was brought back before.
    """
    begin = time.time() - UNSEEN
    fresh = {
        key: writes
        for key, writes in written.items()
        if key in agreed and key in scan.digests and writes[-1].at >= begin and not writes[-1].rebased
    }
    overtaken, changed = await _overtaken_writes(pair, side, fresh, scan.digests, agreed, ())
    old = [Reread(key, False, None) for key, writes in written.items() if writes[-1].at < begin]
    return LostUpdates(overtaken=overtaken, moved=changed, looks=old)


def _not_shown(writes: Sequence[LoggedWrite]) -> Iterable[LoggedWrite]:
    """Return those of the *writes* of one key which the store has not shown, as it has nothing later."""
    return takewhile(lambda write: not write.seen, reversed(writes))


def _looks(written: _Writes, now: Mapping[Key, Digest], found: LostUpdates) -> list[Reread]:
    """Return what a look at the keys *written* has shown, and when each is looked at again."""
    looks, moment = [], time.time()
    for key, writes in written.items():
        last = writes[-1]
        if last.due is not None and last.due > moment:
            continue
        if key in found.reverted or key in found.overtaken or key in found.moved:
            looks.append(Reread(key, False, rereads.put_off(moment)))
        else:
            looks.append(Reread(key, now.get(key) == last.after, rereads.following(last.at, moment)))
    return looks


def _lost(write: LoggedWrite, tries: int = 1) -> RevertedWrite:
    return RevertedWrite(write.after, write.reapplied >= tries or (tries == 1 and write.rebased))


async def flag_suspects(pair: Pair, side: Side) -> None:
    """Remember what may have been undone on *side* by now, before the journal learns of writes there.

    `detect` looks closer, and forgets what was not.
    """
    store = pair.stores[side]
    if store.capabilities.saves_records:
        return  # a program that saves another record proves nothing about this one
    written = await pair.journal.write_log.all(side)
    now = {key: canonical.digest(record) for key, record in (await store.read(list(written))).items()}
    may = _rows(detection.reverted(written, now))
    may |= {(key, write.number) for key, write in detection.possibly_unseen(written, now).items()}
    may = {(key, number) for key, number in may if pair.policy.covers(key)}
    if not may <= (known := _flagged(written)):
        await pair.journal.write_log.flag(side, may | known)


def logged(
    pair: Pair,
    key: Key,
    side: Side,
    before: Digest | None,
    after: Digest | None,
    *,
    rebased: bool = False,
    seen: bool = True,
    record: Record | None = None,
) -> Landed | None:
    """Return a write to *side* as the journal remembers it, if another program may undo it unseen.

    Nobody can have read what was not there: where programs save single records, a new one is not undone.
    See `Landed` for the rest.
    """
    store = pair.stores[side].capabilities
    if after is None and seen:
        return None
    if store.exclusive_writes:
        is_update = store.saves_records and before is not None and seen
        return Landed(key, side, before, after, rebased, record) if is_update else None
    if not store.saves_records:
        return Landed(key, side, before, after, rebased, record) if seen else None
    begins = before is None and seen
    return Landed(key, side, before, after, rebased, record, seen, rereads.first(time.time()), begins)


def sent(pair: Pair, write: Write) -> list[Landed]:
    """Return *write* as the journal remembers a request that does not show yet, if it may show later."""
    one = logged(pair, write.key, write.side, write.expect, write.digest, seen=False, record=write.record)
    return [] if one is None else [one]


async def recheck(pair: Pair, side: Side) -> None:
    """Find what was undone since the scan, after a write to *side* and before the journal knows of that.

    Nothing is to be found unless another program wrote there meanwhile.
    """
    store = pair.stores[side]
    if store.capabilities.exclusive_writes or store.capabilities.saves_records:
        return
    if await store.token() is None:
        await flag_suspects(pair, side)


async def _overtaken_writes(
    pair: Pair,
    side: Side,
    written: _Writes,
    now: Mapping[Key, Digest],
    agreed: Mapping[Key, Both[Digest]],
    undone: Collection[Key],
) -> tuple[dict[Key, OvertakenWrite], set[Key]]:
    """Return what other programs saved on *side* without having seen smtd's writes, and keys that moved on.

    They had read the store before, and saved their own edit without what smtd had brought. That is no edit
    of what smtd wrote, but another one of what was there before. What they put back as it was, the keys
    *undone*, is written anew from the other side, unless that side does not have it either.
    """
    if pair.policy.mode is not Mode.TWO_WAY:
        return {}, set()
    by_record = pair.stores[side].capabilities.saves_records
    both_lockless = not pair.stores[side.other].capabilities.exclusive_writes
    reverted = {
        key
        for key in undone
        if key in now and key in agreed and (both_lockless or agreed[key][side] != written[key][-1].after)
    }
    edited = detection.possibly_unseen(written, now, by_record=by_record).keys() & agreed.keys()
    held = await pair.stores[side].read(reverted | edited) if reverted or edited else {}
    found, moved = {}, {key for key in reverted | edited if key not in held}
    for key, record in held.items():
        if canonical.digest(record) != now[key]:
            moved.add(key)
            continue
        rebased = await _rebased(pair, side, key, record, agreed[key][side], written[key])
        if rebased is not None:
            last = written[key][-1]
            if by_record:  # others save it all the time: who loses a race runs it again
                again = key in reverted and last.reapplied >= TRIES
            else:
                again = last.rebased or (key in reverted and last.reapplied > 0)
            found[key] = OvertakenWrite(rebased, again)
    return found, moved


async def _rebased(
    pair: Pair, side: Side, key: Key, held: Record, agreed: Digest, writes: Sequence[LoggedWrite]
) -> Record | None:
    """Return what *held* and the last of *writes* make together, whose common ancestor a program had read.

    None: it had seen them, they cannot be merged, or not all of that is kept.
    """
    if agreed == writes[-1].after:
        after = await pair.journal.ancestor(key)
    else:  # by a merge that came to one side only, or somebody who had seen the write edited it since
        after = await pair.journal.write_log.record(side, key)
    before = None if after is None else await _base_read(pair, side, key, held, after, writes)
    if before is None or after is None:
        return None
    result = merge(before, held, after)
    return result.record if isinstance(result, Merged) else None


async def _base_read(
    pair: Pair, side: Side, key: Key, held: Record, after: Record, writes: Sequence[LoggedWrite]
) -> Record | None:
    """Return what a program had read that saved *held*, which has nothing of the last *writes* of *key*.

    The last of them left *after*. None: it had seen them, or that is not kept any more. Where several smtd
    may bring the same words back, *held* may have some of a write by another one of them.
    """
    had_seen = holds_all if pair.stores[side].capabilities.saves_records else is_built_on
    base = None
    for write in reversed(writes):
        if write.before is None:
            break
        before = await pair.journal.history.replaced(pair.journal.number, key, write.before)
        if before is None or had_seen(held, after, before):
            break
        base = after = before
    return base


def _rows(writes: _Writes) -> set[tuple[Key, int]]:
    return {(key, write.number) for key, each in writes.items() for write in each}


def _flagged(writes: _Writes) -> set[tuple[Key, int]]:
    return _rows({key: [write for write in each if write.reverted] for key, each in writes.items()})
