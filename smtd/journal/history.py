"""Everything that smtd wrote or began to write to a store, with what was there before; sealed.

An entry is added before its write, and flagged as landed once the store shows it; others stay, too.

Rows are only added, batch by batch, and each batch is sealed by a hash of its rows and of the previous seal.
The oldest seal is an anchor: its rows were deleted because they were too old.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from smtd.errors import JournalError
from smtd.journal.orientation import STRAIGHT, Orientation
from smtd.journal.record_codec import unpack_any
from smtd.merge.reasons import Code, Reason
from smtd.merge.sides import Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.sqlite import Connection, Row

#: The sealed columns: all but `landed`, which is known later.
_SEALED = "cycle, at, side, project, label, action, reason, record, before, after"
_ENTRY = (
    "h.id, c.pair, h.cycle, h.at, h.side, h.project, h.label, h.action, h.reason, h.before, h.after, h.landed"
)
#: `ends` has the entries at which no cycle is unfinished: the history may be cut there.
_ENDS = """
WITH cycles AS (SELECT id, max(id) OVER (PARTITION BY cycle) AS last FROM history),
    begun AS (SELECT id, max(last) OVER (ORDER BY id) AS last FROM cycles),
    ends AS (SELECT id FROM begun WHERE id = last)
"""
#: Records what is no longer known once the entries up to one are deleted.
_FORGET = """
INSERT INTO forgotten
    SELECT c.pair, max(h.cycle), max(h.at) FROM history h JOIN cycle c ON c.id = h.cycle
    WHERE h.id <= ? GROUP BY c.pair
    ON CONFLICT (pair) DO UPDATE SET cycle = max(cycle, excluded.cycle), at = max(at, excluded.at)
"""
#: What smtd deleted on a side of a pair since a time, and what did not come back. The history is read from
#: its end; a time far in the future is of a clock that was wrong.
_DELETED = """
SELECT h.project, h.label, h.reason FROM history h JOIN cycle c ON c.id = h.cycle
    WHERE h.id > ifnull((SELECT id FROM history WHERE at < ?1 ORDER BY id DESC LIMIT 1), 0)
        AND h.at BETWEEN ?1 AND ?2 AND h.landed AND h.action = 'delete' AND h.side = ?3 AND c.pair = ?4
        AND NOT EXISTS
            (SELECT 1 FROM agreed a WHERE a.pair = ?4 AND a.project = h.project AND a.label = h.label)
"""
#: Rows to check at a time.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One write: *action* is create, update or delete; *before* and *after* are digests (None: absent).

    It *landed* if it was seen in the store afterwards. Times are ISO 8601 in UTC.
    """

    id: int
    pair: int
    cycle: int
    at: str
    side: Side
    key: Key
    action: str
    reason: Reason
    before: Digest | None
    after: Digest | None
    landed: bool


class SideCounts(NamedTuple):
    """How many records were written on a side."""

    created: int = 0
    updated: int = 0
    deleted: int = 0


class CycleSummary(NamedTuple):
    """What a cycle of *pair* wrote, from the time *at* to the time *until* (ISO 8601 in UTC)."""

    cycle: int
    pair: int
    at: str
    until: str
    left: SideCounts
    right: SideCounts


@dataclass(frozen=True, slots=True)
class Seal:
    """The result of a check: the number of entries, and the last seal as hex."""

    entries: int
    head: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the history of a pair has lost: *cycle*, or a part of it, and all before, up to the time *at*."""

    cycle: int
    at: str


class History:
    """The history of one *pair* in a journal, whose sides *sides* names, or of all pairs (None)."""

    def __init__(self, db: Connection, pair: int | None = None, sides: Orientation = STRAIGHT) -> None:
        self._db = db
        self._pair = pair
        self._sides = sides

    def of(self, pair: int | None) -> History:
        """Return the history of *pair* (None: of all pairs), with the sides as the journal names them."""
        return History(self._db, pair)

    async def entries(
        self,
        *,
        cycle: int | None = None,
        key: Key | None = None,
        label: str | None = None,
        before: int | None = None,
        limit: int = 1000,
    ) -> list[HistoryEntry]:
        """Return the newest *limit* writes that landed, newest first, of a cycle, key or label glob.

        With *before* only those with smaller ids.
        """
        wanted = {
            "c.pair = ?": self._pair,
            "h.cycle = ?": cycle,
            "h.label GLOB ?": label,
            "h.id < ?": before,
            "h.project = ?": None if key is None else key.project,
            "h.label = ?": None if key is None else key.label,
        }
        chosen = {clause: value for clause, value in wanted.items() if value is not None}
        where = " AND ".join(["h.landed", *chosen])
        rows = await self._db.fetch(
            f"SELECT {_ENTRY} FROM history h JOIN cycle c ON c.id = h.cycle WHERE {where}"
            " ORDER BY h.id DESC LIMIT ?",
            (*chosen.values(), limit),
        )
        return [self._entry(row) for row in rows]

    def _entry(self, row: Row) -> HistoryEntry:
        number, pair, cycle, at, word, project, label, action, text, before, after, landed = row
        side, reason = self._sides.side(word), self._sides.reason(text)
        key = Key(project, label)
        return HistoryEntry(number, pair, cycle, at, side, key, action, reason, before, after, bool(landed))

    async def cycles(
        self, *, before: int | None = None, limit: int = 100
    ) -> tuple[list[CycleSummary], int | None]:
        """Return cycles that wrote, newest first, and the *before* for the next ones (None: no more).

        *before*: only cycles with smaller numbers. *limit*: the most cycles, from 1 to 500.
        """
        chosen = {"h.cycle < ?": before, "c.pair = ?": self._pair}
        given = {clause: value for clause, value in chosen.items() if value is not None}
        rows = await self._db.fetch(
            "SELECT DISTINCT h.cycle FROM history h JOIN cycle c ON c.id = h.cycle"
            f" WHERE {' AND '.join(['1', *given])} ORDER BY h.cycle DESC LIMIT ?",
            (*given.values(), limit + 1),
        )
        numbers = [number for (number,) in rows[:limit]]
        counts = await self._db.fetch(
            "SELECT h.cycle, c.pair, h.side, h.action, count(*), min(h.at), max(h.at)"
            " FROM history h JOIN cycle c ON c.id = h.cycle WHERE h.landed AND h.cycle IN"
            f" ({', '.join('?' * len(numbers))}) GROUP BY h.cycle, h.side, h.action ORDER BY h.cycle DESC",
            numbers,
        )
        found = [_summary(list(group)) for _, group in groupby(counts, key=itemgetter(0))]
        return found, numbers[-1] if len(rows) > len(numbers) else None

    async def image(self, entry: int) -> Record | None:
        """Return the record that was there before the write *entry* (None: there was none)."""
        data = await self._db.value("SELECT record FROM history WHERE id = ?", (entry,))
        try:
            return unpack_any(data)
        except JournalError as exc:  # its advice, to start a new journal, would lose the rest
            raise JournalError(
                f"the record in entry {entry} of the history is damaged: {exc.__cause__}"
            ) from exc.__cause__

    async def ever_had(self, key: Key, digest: Digest) -> bool:
        """Say whether *key* of the pair had *digest* before or after a write that landed."""
        found = await self._db.value(
            "SELECT 1 FROM history h JOIN cycle c ON c.id = h.cycle WHERE h.landed AND c.pair = ?"
            " AND h.project = ? AND h.label = ? AND ? IN (h.before, h.after) LIMIT 1",
            (self._pair, *key, digest),
        )
        return found is not None

    async def deleted(self, side: Side, moment: float, period: float) -> int:
        """Return how many records smtd deleted on *side* of the pair in *period* seconds before *moment*.

        Only records count that the other side had deleted and that did not come back, and not those that a
        user decided to delete. *moment* is in seconds since 1970.
        """
        since, until = (_iso(moment - period), _iso(moment + period))
        rows = await self._db.fetch(_DELETED, (since, until, self._sides.word(side), self._pair))
        return len({Key(*row[:2]) for row in rows if self._sides.reason(row[2]).code is Code.DELETED})

    async def edited(self) -> list[Key]:
        """Return the keys of the pair whose records were edited by writes that landed, the newest first."""
        rows = await self._db.fetch(
            "SELECT h.project, h.label FROM history h JOIN cycle c ON c.id = h.cycle"
            " WHERE h.landed AND c.pair = ? AND h.action = 'update'"
            " GROUP BY h.project, h.label ORDER BY max(h.id) DESC",
            (self._pair,),
        )
        return [Key(*row) for row in rows]

    async def replaced(self, key: Key, digest: Digest) -> Record | None:
        """Return the record of *key* with *digest* that smtd overwrote last (None: the history lacks it)."""
        entry = await self._db.value(
            "SELECT h.id FROM history h JOIN cycle c ON c.id = h.cycle WHERE c.pair = ?"
            " AND h.project = ? AND h.label = ? AND h.before = ? AND h.record IS NOT NULL"
            " ORDER BY h.id DESC LIMIT 1",
            (self._pair, *key, digest),
        )
        with suppress(JournalError):
            return None if entry is None else await self.image(entry)
        return None

    async def check(self) -> Seal:
        """Recompute every seal. Raises JournalError that names the first entries that were altered."""
        seals = await self._db.fetch("SELECT last, hash FROM seal ORDER BY last")
        entries = 0
        for (first, before), (last, expected) in pairwise(seals):
            found, count = await self.sealed(first, last, before)
            entries += count
            if found != expected:
                raise JournalError(
                    f"the history was altered among its entries {first + 1} to {last}; everything before"
                    " them is intact"
                )
        end = seals[-1][0] if seals else 0
        beyond = await self._db.value("SELECT min(id) FROM history WHERE id > ?", (end,))
        if beyond is not None:
            raise JournalError(f"the history was altered: entry {beyond} was added to it")
        return Seal(entries, seals[-1][1].hex() if seals else "")

    async def sealed(self, first: int, last: int, before: bytes) -> tuple[bytes, int]:
        """Return the seal after *before* of the entries after *first* up to *last*, and their number."""
        rows: list[Row] = []
        while page := await self._db.fetch(
            f"SELECT id, {_SEALED} FROM history WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (first, last, _PAGE),
        ):
            rows += [row[1:] for row in page]
            first = page[-1][0]
        return _hash(before, rows), len(rows)

    async def forgotten(self) -> Forgotten | None:
        """Return what the history of the pair has lost (None: nothing)."""
        rows = await self._db.fetch("SELECT cycle, at FROM forgotten WHERE pair = ?", (self._pair,))
        return Forgotten(*rows[0]) if rows else None

    async def pair_of(self, cycle: int) -> int | None:
        """Return the pair of *cycle* (None: there is no such cycle), even if its entries were pruned."""
        found = await self._db.value("SELECT pair FROM cycle WHERE id = ?", (cycle,))
        return None if found is None else int(found)

    async def prune(self, age: timedelta, size: int) -> int:
        """Delete cycles older than *age*, and the oldest ones while all take more than *size* bytes.

        Only whole cycles are deleted. The seal of the last one stays as the anchor, and `forgotten` records
        the loss. Returns how many entries were deleted.
        """
        oldest = (datetime.now(timezone.utc) - age).isoformat(timespec="milliseconds")
        async with self._db.transaction():
            # Stop at the first young entry: those after it were written later, whatever the clock said.
            young = await self._db.value("SELECT min(id) FROM history WHERE at >= ?", (oldest,))
            # The newest entry that takes too much together with all after it.
            large = await self._db.value(
                "SELECT max(id) FROM (SELECT id, sum(length(record)) OVER (ORDER BY id DESC) AS taken"
                " FROM history) WHERE taken > ?",
                (size,),
            )
            old = await self._db.value(
                f"{_ENDS} SELECT max(id) FROM ends WHERE id < ifnull(?, id + 1)", (young,)
            )
            whole = await self._db.value(f"{_ENDS} SELECT min(id) FROM ends WHERE id >= ?", (large,))
            anchor = max(old or 0, whole or 0)
            if not anchor:
                return 0
            await self._db.run(_FORGET, (anchor,))
            gone = int(await self._db.value("SELECT count(*) FROM history WHERE id <= ?", (anchor,)))
            await self._db.run("DELETE FROM history WHERE id <= ?", (anchor,))
            await self._db.run("DELETE FROM seal WHERE last < ?", (anchor,))
        return gone


def _summary(rows: Sequence[Row]) -> CycleSummary:
    """Return the summary of one cycle; *rows* have its pair, sides, actions, counts and times."""
    counts: dict[str, dict[str, int]] = {"left": {}, "right": {}}
    for _, _, side, action, count, _, _ in rows:
        counts[side][f"{action}d"] = count
    left, right = (SideCounts(**counts[side]) for side in ("left", "right"))
    cycle, pair = rows[0][:2]
    return CycleSummary(cycle, pair, min(row[5] for row in rows), max(row[6] for row in rows), left, right)


async def append(db: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """Add *rows* to the history and seal them, within the open transaction; return the id of the first.

    A row has the columns of `_SEALED`, in that order.
    """
    if not rows:
        return 0
    await db.run_many(f"INSERT INTO history ({_SEALED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    last = int(await db.value("SELECT max(id) FROM history"))
    before = await db.value("SELECT hash FROM seal ORDER BY last DESC LIMIT 1")
    await db.run("INSERT INTO seal VALUES (?, ?)", (last, _hash(before or b"", rows)))
    return last - len(rows) + 1


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


def _hash(before: bytes, rows: Sequence[Row]) -> bytes:
    found = hashlib.blake2b(before, digest_size=32)
    for row in rows:
        found.update(msgspec.msgpack.encode(row))
    return found.digest()
