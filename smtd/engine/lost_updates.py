"""Detect smtd's writes that another program has undone or saved over without having seen them.

The journal must record them before smtd writes to that side again. A later write that is still there would
look as if the other program had seen the lost one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from smtd.engine import reread_times
from smtd.engine.pair import Pair
from smtd.journal.write_log import Landed, Reread
from smtd.merge import lost_updates as detection
from smtd.merge.decide import Mode
from smtd.merge.fields import Merged, contains_all, is_built_on, merge
from smtd.merge.lost_updates import LoggedWrite
from smtd.merge.sides import Both, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.records.run_status import is_final
from smtd.stores.base import Scan

#: How often smtd repeats a lost write before it asks a user, in stores where programs save single records.
TRIES = 3
#: Seconds: the longest that a program is assumed to take between reading and saving a record in a database,
#: and a request of smtd's that broke off to arrive.
UNSEEN = 120.0

_Writes: TypeAlias = Mapping[Key, Sequence[LoggedWrite]]


class OvertakenWrite(NamedTuple):
    """A record that was saved from a copy read before smtd's last writes, edited or not.

    *rebased* is the record as it would be if the program had seen them. *again*: smtd has restored lost
    writes of this key before, often enough, so a user must decide.
    """

    rebased: Record
    again: bool


class RevertedWrite(NamedTuple):
    """A write that was undone. *after*: the digest to restore. *again*: smtd has restored it often enough."""

    after: Digest | None
    again: bool


@dataclass(frozen=True, slots=True)
class LostUpdates:
    """What other programs, or late requests of smtd's own, undid on one side.

    *reverted* has the keys that show the state from before one of smtd's writes, or are gone, each with the
    last write. *overtaken* has the keys whose state must be merged with smtd's writes: a program edited the
    state from before them, or the other side cannot supply what was lost.

    *late* are writes that the store did not show at first, and shows now; *moved* the keys that changed
    during the check.
    """

    reverted: Mapping[Key, RevertedWrite] = field(default_factory=dict)
    overtaken: Mapping[Key, OvertakenWrite] = field(default_factory=dict)
    late: Mapping[Key, Digest] = field(default_factory=dict)
    moved: Collection[Key] = ()
    #: What `note` records: the undone writes, by key and number (None: as recorded before), and the rereads.
    flags: Collection[tuple[Key, int]] | None = None
    rereads: Sequence[Reread] = ()


async def detect(
    pair: Pair,
    side: Side,
    log: _Writes,
    scan: Scan,
    baselines: Mapping[Key, Both[Digest]],
    keys: Collection[Key] | None = None,
) -> LostUpdates:
    """Return what was undone on *side* according to *scan*; `note` records it in the journal.

    *log* has smtd's last writes there. *keys* (None: all) limits the search in a store without a lock where
    programs save single records; for other stores it is ignored.
    """
    store = pair.stores[side].capabilities
    if store.exclusive_writes and not store.saves_records:
        return LostUpdates()
    search = _Search(pair, side, scan, baselines)
    written = {key: writes for key, writes in log.items() if pair.policy.covers(key)}
    if store.exclusive_writes:
        return await search.edited(written)
    if store.saves_records:
        return await search.by_record(
            {key: writes for key, writes in written.items() if keys is None or key in keys}
        )
    return await search.by_project(written, _flagged(log))


async def note(pair: Pair, side: Side, found: LostUpdates) -> None:
    """Record in the journal what was *found* on *side*; call it before smtd writes there again."""
    if found.flags is not None:
        await pair.journal.write_log.flag(side, found.flags)
    if found.rereads:
        await pair.journal.write_log.note_rereads(side, found.rereads)
    if found.late:
        await pair.journal.write_log.set_seen(side, found.late.items())


class _Search:
    """Searches *side* for what was undone there, according to *scan*; given the *baselines*."""

    def __init__(self, pair: Pair, side: Side, scan: Scan, baselines: Mapping[Key, Both[Digest]]) -> None:
        self._pair = pair
        self._side = side
        self._scan = scan
        self._now = scan.digests
        self._baselines = baselines
        self._by_record = pair.stores[side].capabilities.saves_records

    async def by_project(self, written: _Writes, flagged: Collection[tuple[Key, int]]) -> LostUpdates:
        """Find what was undone where programs save whole projects; *flagged* are the flags in the journal."""
        undone = detection.reverted(written, self._now)
        overtaken, _ = await self._overtaken(written, undone)
        found = _rows(undone) | {(key, written[key][-1].number) for key in overtaken.keys() - undone.keys()}
        found |= {(key, number) for key, number in flagged if not self._pair.policy.covers(key)}
        flags = found if found != flagged else None
        return LostUpdates({key: _lost(written[key][-1]) for key in undone}, overtaken, flags=flags)

    async def by_record(self, written: _Writes) -> LostUpdates:
        """Find what was undone where programs save single records: each record is judged alone.

        A record that has the digest of its baseline has not changed since both sides agreed on it.
        """
        now, baselines, side = self._now, self._baselines, self._side
        moved = {
            key: writes
            for key, writes in written.items()
            if key in baselines and key not in self._scan.unreadable and now.get(key) != baselines[key][side]
        }
        gone, back = await self._taken_back(moved)
        edits = {
            key: [write for write in writes if write.after is not None]
            for key, writes in written.items()
            if key not in gone and key not in back
        }
        late = {
            key: now[key]
            for key, writes in edits.items()
            if key in now
            and (key not in baselines or now[key] != baselines[key][side])
            and any(write.after == now[key] for write in _not_shown(writes))
        }
        # No program can have read a record before smtd created it: a creation matters only if it shows late.
        edits = {key: [each for each in writes if each.before is not None] for key, writes in edits.items()}
        moved = {key: writes for key, writes in edits.items() if writes and key in moved.keys() - late.keys()}
        undone = detection.reverted(moved, now, by_record=True)
        overtaken, changed = await self._overtaken(moved, undone)
        reverted = {key: _lost(moved[key][-1], TRIES) for key in undone}
        found = LostUpdates(gone | reverted, back | overtaken, late, changed)
        shown = {key: writes for key, writes in written.items() if key not in self._scan.believed}
        return replace(found, rereads=_rereads(shown, now, found))

    async def _taken_back(
        self, written: _Writes
    ) -> tuple[dict[Key, RevertedWrite], dict[Key, OvertakenWrite]]:
        """Return the keys that late requests of smtd's own, which had broken off, deleted or overwrote.

        Both sides had agreed on another state before the request arrived. smtd writes that state again, or,
        in a one-way mode, what the source has.
        """
        mode, now, side = self._pair.policy.mode, self._now, self._side
        if side not in mode.targets:
            return {}, {}
        baselines = {key: each[side] for key, each in self._baselines.items()}
        late = detection.arrived_late(written, now, baselines, time.time() - UNSEEN)
        gone = late if mode is not Mode.TWO_WAY else {key for key in late if key not in now}
        reverted = {key: RevertedWrite(baselines[key], again=False) for key in gone}
        ancestors = {key: await self._pair.journal.baseline_record(key) for key in late - gone}
        found = {
            key: OvertakenWrite(each, again=False) for key, each in ancestors.items() if each is not None
        }
        return reverted, found

    async def edited(self, written: _Writes) -> LostUpdates:
        """Find smtd's writes to a database that a program saved over with a record it had read before.

        smtd's transaction cannot prevent that: the program reads before it and saves after it. Only writes of
        the last `UNSEEN` seconds are checked, and none that already restored a lost write: any other change
        counts as an edit. `note` drops the older writes from the log. But until a run is over, its program
        saves the record again and again, and never reads it: all writes to it are checked.
        """
        begin = time.time() - UNSEEN
        running = {
            key
            for key, writes in written.items()
            if (writes[-1].at < begin or writes[-1].rebased) and await self._is_running(key)
        }
        checked = {
            key: writes
            for key, writes in written.items()
            if key in self._baselines
            and key in self._now
            and (key in running or (writes[-1].at >= begin and not writes[-1].rebased))
        }
        overtaken, changed = await self._overtaken(checked, ())
        old = [key for key, writes in written.items() if writes[-1].at < begin and key not in running]
        rereads = [Reread(key, False, None) for key in old]
        return LostUpdates(overtaken=overtaken, moved=changed, rereads=rereads)

    async def _is_running(self, key: Key) -> bool:
        """Say whether the run was not over in the state on which both sides last agreed."""
        baseline = await self._pair.journal.baseline_record(key)
        return baseline is not None and not is_final(baseline)

    async def _overtaken(
        self, written: _Writes, undone: Collection[Key]
    ) -> tuple[dict[Key, OvertakenWrite], set[Key]]:
        """Return the records saved by programs that had not seen smtd's writes, and changed keys.

        Such a program read the store before smtd wrote, and saved its own edit of that state. So its edit
        must be merged with smtd's write. The keys *undone* were saved without an edit: smtd copies them again
        from the other side. They are returned only if the other side may not have smtd's write either.
        """
        pair, side, now, baselines = self._pair, self._side, self._now, self._baselines
        if pair.policy.mode is not Mode.TWO_WAY:
            return {}, set()
        both_lockless = not pair.stores[side.other].capabilities.exclusive_writes
        reverted = {
            key
            for key in undone
            if key in now
            and key in baselines
            and (both_lockless or baselines[key][side] != written[key][-1].after)
        }
        edited = detection.possibly_unseen(written, now, by_record=self._by_record).keys() & baselines.keys()
        records = await pair.stores[side].read(reverted | edited) if reverted or edited else {}
        found, moved = {}, {key for key in reverted | edited if key not in records}
        for key, record in records.items():
            if canonical.digest(record) != now[key]:
                moved.add(key)
                continue
            rebased = await self._rebased(key, record, written[key])
            if rebased is not None:
                last = written[key][-1]
                if self._by_record:  # other programs save records often: a lost race is retried a few times
                    again = key in reverted and last.reapplied >= TRIES
                else:
                    again = last.rebased or (key in reverted and last.reapplied > 0)
                found[key] = OvertakenWrite(rebased, again)
        return found, moved

    async def _rebased(self, key: Key, current: Record, writes: Sequence[LoggedWrite]) -> Record | None:
        """Return *current* merged with the last of *writes*, on the base of what its program had read.

        None: the program had seen that write, they cannot be merged, or the journal lacks a version for it.
        """
        if self._baselines[key][self._side] == writes[-1].after:
            after = await self._pair.journal.baseline_record(key)
        else:  # a merge reached one side only, or a program that had seen the write has edited it since
            after = await self._pair.journal.write_log.record(self._side, key)
        before = None if after is None else await self._base_read(key, current, after, writes)
        if before is None or after is None:
            return None
        result = merge(before, current, after)
        return result.record if isinstance(result, Merged) else None

    async def _base_read(
        self, key: Key, current: Record, after: Record, writes: Sequence[LoggedWrite]
    ) -> Record | None:
        """Return the version of *key* that a program had read before it saved *current*.

        *after* is what the last of *writes* left. None: the program had seen that write, or the journal no
        longer has the version. Where programs save single records, several smtd may restore the same text, so
        *current* may have part of a write through another smtd: there only a whole write counts as seen.
        """
        had_seen = contains_all if self._by_record else is_built_on
        base = None
        for write in reversed(writes):
            if write.before is None:
                break
            before = await self._pair.journal.history.replaced(key, write.before)
            if before is None or had_seen(current, after, before):
                break
            base = after = before
        return base


def _not_shown(writes: Sequence[LoggedWrite]) -> Iterable[LoggedWrite]:
    """Return the latest *writes* of one key, newest first, back to the last that the store has shown."""
    return takewhile(lambda write: not write.seen, reversed(writes))


def _rereads(written: _Writes, now: Mapping[Key, Digest], found: LostUpdates) -> list[Reread]:
    """Return what reading the keys *written* has shown, and when each is next due; skip those not yet due."""
    rereads, moment = [], time.time()
    for key, writes in written.items():
        last = writes[-1]
        if last.due is not None and last.due > moment:
            continue
        if key in found.reverted or key in found.overtaken or key in found.moved:
            rereads.append(Reread(key, False, reread_times.put_off(moment)))
        else:
            rereads.append(Reread(key, now.get(key) == last.after, reread_times.following(last.at, moment)))
    return rereads


def _lost(write: LoggedWrite, tries: int = 1) -> RevertedWrite:
    return RevertedWrite(write.after, write.reapplied >= tries or (tries == 1 and write.rebased))


async def flag_suspects(pair: Pair, side: Side) -> None:
    """Flag the writes to *side* that may have been undone, before the journal records new writes there.

    `detect` examines them later, and clears the flags that were wrong.
    """
    if pair.stores[side].capabilities.saves_records:
        return  # a program that saves another record proves nothing about this one
    written = await pair.journal.write_log.all(side)
    now = await pair.digests(side, list(written))
    may = _rows(detection.reverted(written, now))
    may |= {(key, write.number) for key, write in detection.possibly_unseen(written, now).items()}
    may = {(key, number) for key, number in may if pair.policy.covers(key)}
    if not may <= (known := _flagged(written)):
        await pair.journal.write_log.flag(side, may | known)


def logged(pair: Pair, write: Write, *, seen: bool = True, record: Record | None = None) -> list[Landed]:
    """Return the log entry for *write*; none if no program can undo it without seeing it.

    Where programs save single records, no program can have read a record before smtd created it. So the
    entry for a creation only removes earlier ones (`Landed.begins`). See `Landed` for *seen* and *record*.
    """
    store = pair.stores[write.side].capabilities
    if write.digest is None and seen:
        return []
    rebased = write.rebased and seen
    landed = Landed(write.key, write.side, write.expect, write.digest, rebased, record, seen)
    if store.exclusive_writes:
        return [landed] if store.saves_records and write.expect is not None and seen else []
    if not store.saves_records:
        return [landed] if seen else []
    return [replace(landed, due=reread_times.first(time.time()), begins=write.expect is None and seen)]


def sent(pair: Pair, write: Write) -> list[Landed]:
    """Return the log entry for *write*, a request that does not show yet, if it may show later."""
    return logged(pair, write, seen=False, record=write.record)


async def recheck(pair: Pair, side: Side) -> None:
    """Flag what was undone since the scan; call it after a write to *side*, before the journal records that.

    It reads the store only if another program may have written there since.
    """
    store = pair.stores[side]
    if store.capabilities.exclusive_writes or store.capabilities.saves_records:
        return
    if await store.token() is None:
        await flag_suspects(pair, side)


def _rows(writes: _Writes) -> set[tuple[Key, int]]:
    return {(key, write.number) for key, each in writes.items() for write in each}


def _flagged(writes: _Writes) -> set[tuple[Key, int]]:
    return _rows({key: [write for write in each if write.reverted] for key, each in writes.items()})
