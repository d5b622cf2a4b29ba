"""Write to the sides of a pair, read back what each holds, and determine the outcome of each write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from smtd.engine import lost_updates, rejections
from smtd.engine.actions import ActionKind, Plan
from smtd.engine.pair import Pair
from smtd.engine.report import PairReport, failure
from smtd.errors import RecordUnusable
from smtd.journal.pair import Refusal
from smtd.journal.write_log import Landed
from smtd.merge.fields import PROVENANCE
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import SIDES, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record, encode
from smtd.stores.base import Change, Kept, Outcome, Result, Store

#: By store, the projects with records that smtd did not create, as the history had them when this process
#: first asked. The store itself notices what other clients create later.
_made_by_others: WeakKeyDictionary[Store, Collection[str]] = WeakKeyDictionary()


class Arrived(NamedTuple):
    """Which writes arrived, with the digests read back, and their *entries* in the history.

    *unsure* has the keys of which at least one write did not arrive, or may not have. The caller logs the
    repeated requests that broke off and may still arrive (*interrupted*), and, after them, the writes that a
    store accepted and may still show later (*unseen*).
    """

    digests: dict[Write, Digest | None]
    unsure: set[Key]
    entries: list[int]
    interrupted: list[Landed]
    unseen: list[Landed]


class SideWriter:
    """Makes the writes of one cycle, and enters those that fail in *report*."""

    def __init__(self, pair: Pair, cycle: int, report: PairReport) -> None:
        self._pair = pair
        self._cycle = cycle
        self._report = report
        #: Keys that another program changed since the scan: the caller scans again.
        self.stale: set[Key] = set()
        #: The writes that the stores refused, or accepted but did not keep.
        self.refused: list[Refusal] = []
        #: For `Arrived`.
        self._interrupted: list[Landed] = []
        self._unseen: list[Landed] = []
        #: By side, the projects in which other clients may create the same records at the same time.
        self._contested: dict[Side, Collection[str]] = dict.fromkeys(SIDES, ())

    async def prepare(self, plan: Plan) -> None:
        """Find out where other clients may create the records of *plan* at the same time."""
        for side in SIDES:
            self._contested[side] = await _contested(self._pair, side, plan)

    async def write(self, writes: Sequence[Write]) -> Arrived:
        """Make `recordable` writes: log the intents, then write to each side in turn and read it back."""
        self._interrupted, self._unseen = [], []
        first = await self._pair.journal.intend(self._cycle, writes)
        arrived: dict[Write, Digest | None] = {}
        unsure: set[Key] = set()
        for side in self._pair.journal.order:  # recovery relies on this order
            mine = [write for write in writes if write.side is side and write.key not in unsure]
            landed = await self._write_side(side, mine)
            if landed:
                await lost_updates.recheck(self._pair, side)
            unsure |= {write.key for write in mine if write not in landed}
            arrived |= landed
        entries = [entry for entry, write in enumerate(writes, first) if write in arrived]
        return Arrived(arrived, unsure, entries, self._interrupted, self._unseen)

    def recordable(self, writes: Sequence[Write]) -> list[Write]:
        """Return the writes whose records the journal can hold; the other keys fail on both sides.

        A record with another label than its key fails, too: smtd would write it over the record of that key.
        """
        ready, failed = [], set()
        for write in writes:
            try:
                _check_label(write)
                if write.before is not None:
                    encode(write.before)
                encoded = None if write.record is None else encode(write.record)
            except RecordUnusable as exc:
                self._fail(write, because(Code.UNUSABLE, None, str(exc)))
                failed.add(write.key)
            else:
                ready.append(msgspec.structs.replace(write, encoded=encoded))
        return [write for write in ready if write.key not in failed]

    async def _write_side(self, side: Side, writes: Sequence[Write]) -> dict[Write, Digest | None]:
        """Write to one side; return the writes that arrived, with the digests read back."""
        if not writes:
            return {}
        store = self._pair.stores[side]
        contested = self._contested[side]
        outcomes = await store.write(
            [
                Change(write.key, write.record, write.expect, write.key.project in contested)
                for write in writes
            ]
        )
        done = [
            write
            for write, outcome in zip(writes, outcomes, strict=True)
            if self._check_outcome(write, outcome)
        ]
        kept = {write: outcome.kept for write, outcome in zip(writes, outcomes, strict=True)}
        arrived = {write: write.digest for write in done if kept[write] == Kept(write.digest)}
        unread = [write for write in done if write not in arrived]
        back = await store.read([write.key for write in unread])
        for write in unread:
            found = back.get(write.key)
            if digest_of(found) == write.expect != write.digest:
                self._fail_ignored(write)
            elif (found is None) == (write.record is None):
                arrived[write] = self._check_read_back(write, found)
            else:
                self.stale.add(write.key)
        return arrived

    def _fail_ignored(self, write: Write) -> None:
        """Fail *write*, which the store reported as done although it still shows the previous state.

        That is not an edit. The baseline stays, and smtd repeats the write after a while. The write is logged
        in case the store shows it before that.
        """
        code = Code.STILL_AS_BEFORE
        if write.record is None:
            code = Code.STILL_THERE
        elif write.expect is None:
            code = Code.NOT_THERE
        why = because(code, write.side)
        self._fail(write, why)
        digest = rejections.NOTHING if write.digest is None else write.digest
        self.refused.append(Refusal(write.key, write.side, digest, 0, 0.0, why, rejections.IGNORED))
        self._unseen += lost_updates.sent(self._pair, write)

    def _check_outcome(self, write: Write, outcome: Outcome) -> bool:
        if outcome.resent:
            self._interrupted += lost_updates.sent(self._pair, write)
        if outcome.result is Result.STALE:
            self.stale.add(write.key)
        elif outcome.result is Result.REFUSED:
            why = because(Code.REFUSED, write.side, outcome.reason)
            self._fail(write, why)
            if write.digest is not None:
                self.refused.append(Refusal(write.key, write.side, write.digest, 0, 0.0, why))
        return outcome.result is Result.DONE

    def _check_read_back(self, write: Write, back: Record | None) -> Digest | None:
        """Return the digest that the side counts as holding after *write*, given what was read *back*.

        A store must hold exactly what it was given, or refuse it. So a different annotation is the edit of a
        user, made before the read-back; the next scan picks it up. Users do not edit provenance: if that
        differs, the store altered the record, and smtd reports it.
        """
        if write.record is None or back is None:
            return None
        digest = digest_of(back)
        if digest == write.digest:
            return digest
        changed = canonical.differences(write.record, back)
        if not set(changed) & set(PROVENANCE):
            self.stale.add(write.key)
            return write.digest
        self._fail(write, because(Code.ALTERED, write.side, *changed))
        return digest

    def _fail(self, write: Write, why: Reason) -> None:
        self._report.failed.append(failure(write.key, write.side, why))


async def _contested(pair: Pair, side: Side, plan: Plan) -> Collection[str]:
    """Return the projects of *side* to which other clients may be adding records.

    Where two clients can create a record twice at the same time, these are projects with records that smtd
    did not create according to the journal, and projects without any record, which another client may be
    about to fill, too. Empty if *plan* creates nothing on *side*, or if the store creates no duplicates.
    """
    store = pair.stores[side]
    made = [each for each in plan.actions if each.creates and each.copies_to(side)]
    if not store.capabilities.creates_duplicates or not made:
        return ()
    if store not in _made_by_others:
        _made_by_others[store] = await pair.journal.made_by_others(side)
    found = {*_made_by_others[store]} | {each.project for each in plan.conflicts}
    found |= {
        action.key.project
        for action in plan.actions
        if action.kind is ActionKind.AGREE or (action.creates and action.copies_to(side.other))
    }
    begun = await pair.journal.indexes[side].record_counts(None)
    return found | {action.key.project for action in made if action.key.project not in begun}


def digest_of(record: Record | None) -> Digest | None:
    try:
        return None if record is None else canonical.digest(record)
    except RecordUnusable:
        return b"unreadable"  # no record has this digest


def _check_label(write: Write) -> None:
    for record in (write.record, write.before, write.origin):
        if record is not None and record.label != write.key.label:
            raise RecordUnusable(f"a store returned {record.label} when asked for {write.key.label}")
