"""Carry out a plan in batches: log the intents, write, read back, advance the journal.

A crash at any point leaves intents behind, from which the next cycle recovers. A record that fails is
reported, and does not stop the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

import msgspec

from smtd.batches import batches
from smtd.engine import lost_updates
from smtd.engine.actions import Action, ActionKind, Plan, merge
from smtd.engine.pair import Pair
from smtd.engine.report import PairReport, Progress, failure
from smtd.engine.side_writer import Arrived, SideWriter, digest_of
from smtd.errors import RecordUnusable
from smtd.journal.pair import Refusal
from smtd.journal.transaction import Baseline, Transaction
from smtd.merge.reasons import Code, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, encode
from smtd.records.run_status import is_final
from smtd.stores.index import ABSENT, readable

#: Records in one batch of baselines or merges.
BATCH = 1000


class Executor:
    """Carries out the plan of one cycle and enters the results in *report*."""

    def __init__(self, pair: Pair, cycle: int, report: PairReport, progress: Progress) -> None:
        self._pair = pair
        self._report = report
        self._progress = progress
        self._done = 0
        self._total = 0
        self._writer = SideWriter(pair, cycle, report)
        #: Keys that another program changed since the scan: the caller scans again.
        self.stale = self._writer.stale
        #: Keys that this cycle has brought in sync, unless they are stale.
        self.synced: set[Key] = set()

    @property
    def refused(self) -> Sequence[Refusal]:
        """The writes that the stores refused, or accepted but did not keep."""
        return self._writer.refused

    async def run(self, plan: Plan) -> None:
        """Carry out every action of *plan*, and remove them from it."""
        await self._writer.prepare(plan)
        actions, plan.actions = plan.actions, []
        self._total = len(actions)
        by_kind: dict[ActionKind, list[Action]] = {kind: [] for kind in ActionKind}
        # Writes are freed as they are done: there may be as many actions as records.
        one_way: dict[Side, deque[Write]] = {side: deque() for side in SIDES}
        for action in actions:
            if action.kind in (ActionKind.COPY, ActionKind.DELETE):
                one_way[action.writes[0].side].append(action.writes[0])
            else:
                by_kind[action.kind].append(action)
        actions.clear()
        await self._forget(by_kind[ActionKind.FORGET])
        await self._agree(by_kind[ActionKind.AGREE])
        for side in SIDES:
            await self._transfer(side, one_way[side])
        for batch in batches(by_kind[ActionKind.MERGE], BATCH):
            await self._merge(batch)
        await self._split(by_kind[ActionKind.SPLIT])

    async def _forget(self, forgets: Sequence[Action]) -> None:
        if not forgets:
            return  # each mark of a server costs a request
        keys = [action.key for action in forgets]
        await self._pair.flush()
        marks = await self._marks()
        async with self._pair.journal.transaction() as tx:
            tx.drop_baselines(keys)
            tx.finish(keys)
            tx.set_store_marks(marks)
        self.synced.update(keys)
        self._advance(len(keys))

    async def _agree(self, agrees: Sequence[Action]) -> None:
        for batch in batches(agrees, BATCH):
            records = await self._pair.stores.left.read([action.key for action in batch])
            baselines = []
            for action in batch:
                record = records.get(action.key)
                assert action.seen is not None
                if record is None or canonical.digest(record) != action.seen.left:
                    self.stale.add(action.key)
                    continue
                try:
                    baselines.append(Baseline(action.key, action.seen, record, encode(record)))
                except RecordUnusable as exc:
                    why = because(Code.UNUSABLE, None, str(exc))
                    self._report.failed.append(failure(action.key, Side.LEFT, why))
            await self._pair.flush()
            marks = await self._marks()
            async with self._pair.journal.transaction() as tx:
                tx.set_baselines(baselines)
                tx.finish([each.key for each in baselines])
                tx.set_store_marks(marks)
            self.synced.update(each.key for each in baselines)
            self._report.in_sync += len(baselines)
            self._advance(len(batch))

    async def _transfer(self, side: Side, writes: deque[Write]) -> None:
        while writes:
            # Read each time: the limit of a store that smtd has just created is higher.
            size = self._pair.stores[side].capabilities.batch or len(writes)
            batch = [writes.popleft() for _ in range(min(size, len(writes)))]
            await self._write([await self._load_missing(side, batch)])
            self._advance(len(batch))

    async def _load_missing(self, side: Side, batch: Sequence[Write]) -> list[Write]:
        """Return the writes with the records to write and to overwrite, as the stores hold them now.

        Keys that have changed become stale instead. Before a deletion the other side is read, too, as the
        record must really be absent there: a listing may be outdated. Writes whose records the plan has
        already read are returned as they are.
        """
        stores = self._pair.stores
        missing = [write for write in batch if write.record is None]
        sources = await stores[side.other].read([write.key for write in missing])
        befores = await stores[side].read([write.key for write in missing if write.expect is not None])
        loaded = []
        for write in batch:
            if write.record is not None:
                loaded.append(write)
                continue
            record, before = sources.get(write.key), befores.get(write.key)
            if digest_of(record) != write.digest or digest_of(before) != write.expect:
                self.stale.add(write.key)
                continue
            loaded.append(msgspec.structs.replace(write, record=record, before=before))
        return loaded

    async def _merge(self, batch: Sequence[Action]) -> None:
        writes = [write for action in batch for write in action.writes]
        await self._write([[write for write in writes if write.side is side] for side in SIDES])
        self._advance(len(batch))

    async def _split(self, splits: Sequence[Action]) -> None:
        """Keep one record of each split under its alias; the next scan decides the keys themselves."""
        merges = []
        for split in splits:
            record = await self._pair.read(split.aliased, split.key)
            self.stale.add(split.key)
            assert split.seen is not None
            if record is not None and canonical.digest(record) == split.seen[split.aliased]:
                kept = msgspec.structs.replace(record, label=split.alias)
                why = because(Code.KEPT_BESIDE, None, split.key.label)
                merges.append(merge(Key(split.key.project, split.alias), kept, Both(None, None), why))
        await self._merge(merges)

    async def _write(self, sides: Sequence[list[Write]]) -> None:
        """Write to one side, or to both (a merge), and commit to the journal what has arrived."""
        writes = self._writer.recordable([write for side in sides for write in side])
        if writes:
            made = await self._writer.write(writes)
            await self._pair.flush()
            await self._commit(made, writes)

    async def put_back(self, writes: Sequence[Write], common: bool) -> None:
        """Write to one or both sides of a key, which need not be equal afterwards.

        If *common*, the written record becomes the baseline: the other side's record is an edit of it. If
        only one of two writes arrives, its record becomes the baseline, too, so that the side which another
        program has just changed prevails.
        """
        ready = self._writer.recordable(writes)
        if not ready:
            return
        made = await self._writer.write(ready)
        arrived = made.digests
        await self._pair.flush()
        for write in arrived:
            self._count(write)
        key, whole = ready[0].key, len(arrived) == len(writes)
        baselines = [
            Baseline(key, Both(write.digest, write.digest), write.record)
            for write in arrived
            if write.record is not None and write.digest is not None and (common or not whole)
        ]
        marks = await self._marks()
        async with self._pair.journal.transaction() as tx:
            tx.set_baselines(baselines)
            tx.drop_baselines([key] if whole and not baselines else [])
            self._log(tx, made)
            tx.finish([key])
            tx.set_landed(made.entries)
            tx.set_store_marks(marks)
            self._note(tx, arrived)
            tx.reopen([key])

    async def _commit(self, made: Arrived, writes: Sequence[Write]) -> None:
        """Commit to the journal what has arrived, and end the intents of all *writes*.

        The digest of each side is that of what it really holds. If only one half of a merge arrived, the
        baseline becomes the record that the other side held before.
        """
        arrived, unsure = made.digests, made.unsure
        digests = {(write.key, write.side): digest for write, digest in arrived.items()}
        baselines: dict[Key, Baseline] = {}
        for write in arrived:
            self._count(write)
            if write.key in unsure and write.origin is not None:
                digest = canonical.digest(write.origin)
                baselines[write.key] = Baseline(write.key, Both(digest, digest), write.origin)
            elif write.record is not None and write.digest is not None:
                left, right = (digests.get((write.key, side)) or write.digest for side in SIDES)
                baselines[write.key] = Baseline(write.key, Both(left, right), write.record, write.encoded)
        marks = await self._marks()
        async with self._pair.journal.transaction() as tx:
            tx.set_baselines(list(baselines.values()))
            tx.drop_baselines([write.key for write in arrived if write.record is None])
            self._log(tx, made, unsure)
            tx.finish([write.key for write in writes])
            tx.set_landed(made.entries)
            tx.end_decisions([write.key for write in arrived])
            tx.set_store_marks(marks)
            self._note(tx, arrived)
        equal = {
            key
            for key, each in baselines.items()
            if each.digests.left == each.digests.right and key not in unsure
        }
        self._report.in_sync += len(equal)
        self.synced |= equal.union(write.key for write in arrived if write.record is None)

    def _note(self, tx: Transaction, arrived: Mapping[Write, Digest | None]) -> None:
        """Enter in the indexes what was read back of the writes that *arrived*, with the baselines."""
        for side in SIDES:
            found = {
                write.key: ABSENT
                if write.record is None or digest is None
                else readable(digest, final=is_final(write.record))
                for write, digest in arrived.items()
                if write.side is side
            }
            if found:
                tx.note(side, found)

    async def _marks(self) -> Both[str]:
        """Return the marks of the stores, which the journal saves together with the baselines.

        If they were saved only at the end of the cycle, a power cut before that could undo writes that the
        journal has as a baseline, and smtd would not notice.
        """
        return await self._pair.marks(Both(*[self._report.side(side).written > 0 for side in SIDES]))

    def _log(self, tx: Transaction, made: Arrived, alone: Collection[Key] = ()) -> None:
        """Log the writes that may get lost later, or may show later, in the order in which they were sent.

        Those to the keys *alone* did not reach the other side.
        """
        noted = [*made.unseen]
        for write in made.digests:
            record = write.record if write.key in alone else None
            noted += lost_updates.logged(self._pair, write, record=record)
        tx.log_writes(made.interrupted)
        tx.log_writes(noted)

    def _count(self, write: Write) -> None:
        side = self._report.side(write.side)
        if write.record is None:
            side.deleted += 1
        elif write.before is None:
            side.created += 1
        else:
            side.updated += 1

    def _advance(self, count: int) -> None:
        self._done += count
        if count:  # a cycle with nothing to do reports no progress
            self._progress("applying", self._done, self._total)
