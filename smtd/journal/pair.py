"""The part of the journal that belongs to one pair."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from smtd.batches import batches
from smtd.journal import checkpoint
from smtd.journal.checkpoint import Checkpoints
from smtd.journal.decisions import Decisions
from smtd.journal.entries import ASKED, wanted
from smtd.journal.events import now
from smtd.journal.figures import FigureLog
from smtd.journal.history import History, append
from smtd.journal.index import StoreIndex
from smtd.journal.orientation import STRAIGHT, Orientation, PairPart
from smtd.journal.record_codec import archived, pack_any, unpack, unpack_any
from smtd.journal.scrub_log import ScrubLog
from smtd.journal.transaction import Transaction
from smtd.journal.write_log import WriteLog
from smtd.merge.reasons import Code, Reason
from smtd.merge.sides import SIDES, Both, Side
from smtd.merge.write import Write
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.sqlite import Connection, at_once

T = TypeVar("T")

#: The tables that are cleared when a pair is adopted anew, in an order in which that is possible.
KNOWLEDGE = (
    *("agreed", "ancestor", "intent", "written", "checkpoint", "out_of_sync", "rotation", "refused"),
    *("decision", "proof", "finding"),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record with *digest* that *side* refused *attempts* times; smtd retries the write at *until*.

    The digest of a deletion is empty. *pause*: the seconds before the first retry.
    """

    key: Key
    side: Side
    digest: Digest
    attempts: int
    until: float  # seconds since 1970
    reason: Reason
    pause: float = 60.0


class PairJournal(PairPart):
    """What the journal has about one pair; *sides* names its sides. Every method is one transaction."""

    def __init__(
        self,
        db: Connection,
        number: int,
        sides: Orientation = STRAIGHT,
        stores: Both[str] = Both("", ""),  # noqa: B008
    ) -> None:
        super().__init__(db, number, sides)
        self._cycle: int | None = None
        self.decisions = Decisions(db, number, sides)
        self.history = History(db, number, sides)
        self.scrub_log = ScrubLog(db, number, sides)
        self.figures = FigureLog(db, number, sides)
        self.write_log = WriteLog(db, number, sides)
        self.checkpoints = Checkpoints(db, number, sides)
        #: The indexes of both stores, which other pairs may share.
        self.indexes = stores.map(lambda identity: StoreIndex(db, identity))

    @at_once
    async def begin(self) -> None:
        """Create the indexes that do not exist yet."""
        for side in SIDES:
            await self.indexes[side].begin()

    @property
    def number(self) -> int:
        """The number of the pair in the journal."""
        return self._pair

    @property
    def order(self) -> tuple[Side, Side]:
        """The sides in the order in which a merge is written to them, however the caller names them.

        Recovery relies on this order, and the next cycle may name the sides the other way round.
        """
        return self._sides.side("left"), self._sides.side("right")

    async def set_name(self, name: str) -> None:
        """Remember that the configuration calls the pair *name*."""
        await self._db.run(
            "UPDATE pair SET name = ? WHERE id = ? AND name IS NOT ?", (name, self._pair, name)
        )

    async def baselines(self, projects: Collection[str] | None) -> dict[Key, Both[Digest]]:
        """Return the digests of the baselines in *projects* (None: in all)."""
        return {
            Key(project, label): self._sides.both(left, right)
            for project, label, left, right in await self._db.fetch(
                "SELECT project, label, left_digest, right_digest FROM agreed WHERE pair = ?", (self._pair,)
            )
            if projects is None or project in projects
        }

    @at_once
    async def baselines_of(self, keys: Collection[Key]) -> dict[Key, Both[Digest]]:
        """Return the digests of the baselines of *keys*."""
        found: dict[Key, Both[Digest]] = {}
        for chunk in batches(list(keys), ASKED):
            begin, given = wanted(chunk)
            query = (
                f"{begin} SELECT a.project, a.label, a.left_digest, a.right_digest"
                " FROM wanted w CROSS JOIN agreed a"
                " ON a.pair = ? AND a.project = w.project AND a.label = w.label"
            )
            for project, label, left, right in await self._db.fetch(query, (*given, self._pair)):
                found[Key(project, label)] = self._sides.both(left, right)
        return found

    async def baseline_counts(self, projects: Collection[str] | None) -> dict[str, int]:
        """Return the number of baselines in each of *projects* (None: in each project)."""
        rows = await self._db.fetch(
            "SELECT project, count(*) FROM agreed WHERE pair = ? GROUP BY project", (self._pair,)
        )
        return {project: count for project, count in rows if projects is None or project in projects}

    async def baseline_count(self, projects: Collection[str] | None) -> int:
        """Return the number of baselines in *projects* (None: in all)."""
        return sum((await self.baseline_counts(projects)).values())

    async def made_by_others(self, side: Side) -> set[str]:
        """Return the projects with baselines of records that smtd did not create on *side*.

        Those from before the history begins are left out, as it cannot say who created them.
        """
        rows = await self._db.fetch(
            "SELECT DISTINCT a.project FROM agreed a WHERE a.pair = ?"
            " AND a.cycle >= (SELECT ifnull(min(cycle), 0) FROM history) AND NOT EXISTS"
            " (SELECT 1 FROM history h JOIN cycle c ON c.id = h.cycle WHERE h.label = a.label"
            " AND h.project = a.project AND h.side = ? AND h.action = 'create' AND c.pair = a.pair)",
            (self._pair, self._sides.word(side)),
        )
        return {project for (project,) in rows}

    async def knows_of(self, key: Key, digest: Digest) -> bool:
        """Say whether smtd ever gave *key* that *digest*, for any pair."""
        found = await self._db.value(
            "SELECT 1 FROM history WHERE project = ? AND label = ? AND after = ? LIMIT 1", (*key, digest)
        )
        return found is not None

    async def baseline_at(self, key: Key) -> str | None:
        """Return when the baseline of *key* was recorded, ISO 8601 in UTC (None: not known)."""
        found = await self._db.value(
            "SELECT c.started FROM agreed a JOIN cycle c ON c.id = a.cycle"
            " WHERE a.pair = ? AND a.project = ? AND a.label = ?",
            (self._pair, *key),
        )
        return None if found is None else str(found)

    async def began_at(self) -> str | None:
        """Return when the first cycle of the pair began, ISO 8601 in UTC (None: there was none)."""
        found = await self._db.value("SELECT min(started) FROM cycle WHERE pair = ?", (self._pair,))
        return None if found is None else str(found)

    async def has_baselines(self) -> bool:
        """Say whether any key has a baseline."""
        found = await self._db.value("SELECT 1 FROM agreed WHERE pair = ? LIMIT 1", (self._pair,))
        return found is not None

    async def baseline_record(self, key: Key) -> Record | None:
        """Return the record of the baseline of *key* (None: there is none)."""
        found = await self._db.value(
            "SELECT record FROM ancestor WHERE pair = ? AND project = ? AND label = ?", (self._pair, *key)
        )
        return None if found is None else unpack(found)

    async def refused(self) -> dict[tuple[Key, Side], Refusal]:
        """Return the writes that a side refused and has not accepted since."""
        return {
            (Key(project, label), self._sides.side(side)): Refusal(
                Key(project, label), self._sides.side(side), digest, attempts, until, self._sides.reason(text)
            )
            for side, project, label, digest, attempts, until, text in await self._db.fetch(
                "SELECT side, project, label, digest, attempts, until, reason FROM refused WHERE pair = ?",
                (self._pair,),
            )
        }

    @at_once
    async def set_refused(self, refusals: Iterable[Refusal]) -> None:
        """Store *refusals*, and delete all others."""
        async with self._db.transaction():
            await self._db.run("DELETE FROM refused WHERE pair = ?", (self._pair,))
            await self._db.run_many(
                "INSERT INTO refused (pair, side, project, label, digest, attempts, until, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        self._pair,
                        self._sides.word(each.side),
                        *each.key,
                        each.digest,
                        each.attempts,
                        each.until,
                        self._sides.text(each.reason),
                    )
                    for each in refusals
                ],
            )

    async def store_marks(self) -> Both[str]:
        """Return the marks of the stores at the last baseline (empty: none)."""
        rows = await self._db.fetch("SELECT left_file, right_file FROM files WHERE pair = ?", (self._pair,))
        return self._sides.both(*rows[0]) if rows else Both("", "")

    @at_once
    async def set_store_marks(self, marks: Both[str]) -> None:
        """Store the marks of the stores."""
        if marks != await self.store_marks():
            async with self.transaction() as tx:
                tx.set_store_marks(marks)

    @at_once
    async def begin_cycle(self) -> int:
        """Return the number of a new cycle; the cycles of all pairs share one sequence of numbers."""
        async with self._db.transaction():
            await checkpoint.reopen(self._db, self._pair)
            self._cycle = await self._db.run(
                "INSERT INTO cycle (pair, started) VALUES (?, ?)", (self._pair, now())
            )
        return self._cycle

    @at_once
    async def intend(self, cycle: int, writes: Sequence[Write]) -> int:
        """Make durable the *writes* that are about to be made, and all that they will overwrite.

        Returns the number of their first entry in the history; the others follow in order.
        """
        moment = now()
        async with self._db.transaction():
            first = await append(
                self._db,
                [
                    (
                        cycle,
                        moment,
                        self._sides.word(write.side),
                        *write.key,
                        _action(write),
                        self._sides.text(write.why),
                        None if write.before is None else archived(write.before),
                        write.expect,
                        write.digest,
                    )
                    for write in writes
                ],
            )
            await self._db.run_many(
                "INSERT OR REPLACE INTO intent"
                " (pair, project, label, side, expect, result, before, wanted, origin, history)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        self._pair,
                        *write.key,
                        self._sides.word(write.side),
                        write.expect,
                        write.digest,
                        # A record that this side lacks is not stored: the other side has it.
                        *map(
                            pack_any,
                            (write.before, write.record if write.before is not None else None, write.origin),
                        ),
                        entry,
                    )
                    for entry, write in enumerate(writes, first)
                ],
            )
        return first

    async def at_one_moment(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of *work*, all of whose reads are of one moment; it awaits only this journal."""

        async def read() -> T:
            async with self._db.reading():
                return await work()

        return await self._db.at_once(read)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Yield a transaction that is written when the block ends; its facts are durable in the stores."""
        notes = Transaction(self._db, self._pair, self._sides, self._cycle, self.indexes)
        yield notes
        await self._write(notes)

    @at_once
    async def _write(self, notes: Transaction) -> None:
        await notes.write()

    async def begun(self) -> list[Write]:
        """Return the writes that a crash left open; one that creates a record comes without that record."""
        rows = await self._db.fetch(
            "SELECT i.project, i.label, i.side, i.expect, i.result, h.reason, i.wanted, i.before, i.origin,"
            " i.history FROM intent i LEFT JOIN history h ON h.id = i.history WHERE i.pair = ?",
            (self._pair,),
        )
        return [
            Write(
                Key(project, label),
                self._sides.side(side),
                expect,
                digest,
                Reason(Code.TEXT) if why is None else self._sides.reason(why),
                *(unpack_any(record), unpack_any(before), unpack_any(origin)),
                entry=entry,
            )
            for project, label, side, expect, digest, why, record, before, origin, entry in rows
        ]

    @at_once
    async def forget_all(self, canonical_version: int) -> None:
        """Delete the baselines, but not the history: the pair is then adopted anew."""
        async with self._db.transaction():
            for table in KNOWLEDGE:
                await self._db.run(f"DELETE FROM {table} WHERE pair = ?", (self._pair,))
            await self._db.run(
                "UPDATE pair SET canonical_version = ? WHERE id = ?", (canonical_version, self._pair)
            )


def _action(write: Write) -> str:
    if write.digest is None:
        return "delete"
    return "create" if write.expect is None else "update"
