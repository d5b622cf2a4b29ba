"""The log of changes. The server numbers each in the transaction that writes the record.

A change by another program gets its number when the server enters it. The log has one row per key: its last
change. Numbers only grow, and none is used twice, not even after a backup was restored: each start of the
server opens an *era*, which begins above all numbers in the log, at a random place after the time in
microseconds (`open_era`).
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.reader import DecodedRow
from smtd.stores.django.record_rows import record_of
from smtd.stores.django.rows import moment
from smtd.text import encodable

#: Seconds after which a start of the server drops a deletion from the log. A client that has not asked for
#: that long may have to start again from 0.
TOMBSTONE_AGE = 90 * 86_400.0
#: An era begins up to this many numbers later than necessary, at random. If a backup was restored and the
#: clock set back, two eras could otherwise begin at the same number, and the second would reuse numbers.
_RANDOM_OFFSET = 10**10
#: Keys of one query.
_CHUNK = 250
#: The columns of a row of `smtd_change`, and those of its key.
COLUMNS, KEY = ("project", "label", "seq", "digest", "problem", "moment", "noted"), ("project", "label")
_COLUMNS = ", ".join(COLUMNS[:-1])
#: Whether a row is of a key that has a record.
_HAS_RECORD = "(digest IS NOT NULL OR problem != '')"
#: The end of a statement that inserts such a row.
INTO = f"smtd_change ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
#: The prefix of digests. Digests with another prefix are of another canonical form.
DIGEST_PREFIX = f"{canonical.VERSION}-"


class Content(NamedTuple):
    """The content of a key: the *digest* of a record, the *problem* of an unreadable one, or nothing.

    *moment*: when the record was run, as the tables store it; empty without a digest.
    """

    digest: str | None = None
    problem: str = ""
    moment: str = ""

    @property
    def has_record(self) -> bool:
        """Whether there is a record, readable or not."""
        return self.digest is not None or bool(self.problem)

    @property
    def validator(self) -> str | None:
        """A text that differs for each content, as ETags use it; None if there is no record."""
        if self.digest is None and self.problem:
            # Opaque to all clients, but not None, which would mean a deletion.
            return f"0-{blake2b(self.problem.encode(), digest_size=16).hexdigest()}"
        return self.digest


NOTHING = Content()


class LogRow(NamedTuple):
    """The last change of *key*: its number *seq*, and the *content* since then."""

    key: Key
    seq: int
    content: Content


@dataclass(frozen=True, slots=True)
class Eras:
    """The numbers that may have been given: *spans* from the start of each era to its end.

    The last era is still open: its end is None. An earlier one without an end was put there by a restore, and
    where it ended is unknown. *expired*: the log has dropped deletions up to this number.
    """

    spans: tuple[tuple[int, int | None], ...]
    expired: int = 0

    @property
    def newest(self) -> int:
        """The start of the newest era."""
        return self.spans[-1][0]

    def can_continue(self, cursor: int, head: int) -> bool:
        """Say whether a client that has all changes up to *cursor* finds all later ones in the log."""
        if cursor == 0:
            return True
        return cursor >= self.expired and any(
            start <= cursor <= (self._end_of_open(start, head) if ended is None else ended)
            for start, ended in self.spans
        )

    def _end_of_open(self, start: int, head: int) -> int:
        return head if start == self.newest else start - 1


def digest(record: Record) -> str:
    """Return the digest of *record* as clients see it. Raises RecordUnusable."""
    return DIGEST_PREFIX + canonical.digest(record).hex()


def content_of(rows: Sequence[DecodedRow]) -> Content:
    """Return the content of a key that has these *rows*."""
    if not rows:
        return NOTHING
    try:
        records = [record_of(found) for found in rows]
        digests = {digest(record) for record in records}
        if len(digests) > 1:
            return Content(problem="two different records have this label; delete one of them")
    except RecordUnusable as exc:
        return Content(problem=encodable(str(exc)) or "it cannot be read")
    return Content(digests.pop(), "", moment(records[0].timestamp))


async def open_era(db: DatabaseConnection, now: float) -> tuple[int, Eras]:
    """Open an era; return the number at which it starts, and all eras. Call it inside a transaction.

    An older era that is still open was put there by a restore: where it ended is lost.
    """
    seq, expired = (await db.fetch("SELECT seq, expired FROM smtd_head"))[0]
    await _drop_old_deletions(db, now, int(expired))
    start = max(seq + 1, int(now * 1e6)) + secrets.randbelow(_RANDOM_OFFSET)
    newest = await db.value("SELECT max(start) FROM smtd_era")
    await db.run("UPDATE smtd_era SET ended = start - 1 WHERE ended IS NULL AND start != ?", (newest,))
    await db.run("UPDATE smtd_era SET ended = ? WHERE ended IS NULL", (seq,))
    await db.run("INSERT INTO smtd_era (start, began) VALUES (?, ?)", (start, now))
    await db.run("UPDATE smtd_head SET seq = ?", (start,))
    return start, await all_eras(db)


async def form(db: DatabaseConnection) -> str:
    """Return `DIGEST_PREFIX` if the log has every record; else a text that each loss of one changes."""
    return str(await db.value("SELECT form FROM smtd_head"))


async def set_incomplete(db: DatabaseConnection) -> None:
    """Note that the log may lack records. Call it inside a transaction."""
    await db.run("UPDATE smtd_head SET form = ?", (f"?{secrets.token_hex(4)}",))


async def all_eras(db: DatabaseConnection) -> Eras:
    """Return all eras. Call it inside a transaction."""
    spans = await db.fetch("SELECT start, ended FROM smtd_era ORDER BY start")
    expired = await db.value("SELECT expired FROM smtd_head")
    return Eras(tuple((first, last) for first, last in spans), int(expired))


async def _drop_old_deletions(db: DatabaseConnection, now: float, expired: int) -> None:
    """Drop old deletions, and eras from whose numbers no client can continue any more."""
    old = "digest IS NULL AND problem = '' AND noted < ?"
    last = await db.value(f"SELECT max(seq) FROM smtd_change WHERE {old}", (now - TOMBSTONE_AGE,))
    if last is not None:
        await db.run(f"DELETE FROM smtd_change WHERE {old}", (now - TOMBSTONE_AGE,))
        expired = max(expired, int(last))
        await db.run("UPDATE smtd_head SET expired = ?", (expired,))
        await db.run("DELETE FROM smtd_era WHERE ended < ?", (expired,))


class ChangeNumbers:
    """Numbers the changes of one transaction, beginning after *head*; `logged` lists them in order.

    *log_change*: as `Tables.log_change`. The caller must store the final `head` in the
    database.
    """

    def __init__(self, db: DatabaseConnection, head: int, log_change: str) -> None:
        self.logged: list[LogRow] = []
        self._db = db
        self._log_change = log_change
        self.head = head

    async def log(self, key: Key, content: Content) -> int:
        """Log that *key* now has *content*; return the number of this change."""
        await self.log_all([(key, content)])
        return self.head

    async def log_all(self, changes: Sequence[tuple[Key, Content]]) -> None:
        """Log what each key of *changes* now has, in this order."""
        logged = [LogRow(key, seq, content) for seq, (key, content) in enumerate(changes, self.head + 1)]
        self.head += len(logged)
        self.logged += logged
        now = time.time()
        await self._db.run_many(self._log_change, [(*row.key, row.seq, *row.content, now) for row in logged])

    def savepoint(self) -> tuple[int, int]:
        """Return the current state, for `roll_back`."""
        return len(self.logged), self.head

    def roll_back(self, savepoint: tuple[int, int]) -> None:
        """Take back the numbers given since *savepoint*, because their changes were rolled back."""
        count, self.head = savepoint
        del self.logged[count:]


async def row_of(db: DatabaseConnection, key: Key) -> LogRow | None:
    """Return the last change of *key*, or None if the log has none."""
    query = f"SELECT {_COLUMNS} FROM smtd_change WHERE project = ? AND label = ?"
    return next(map(_row, await db.fetch(query, key)), None)


async def rows_of(db: DatabaseConnection, keys: Collection[Key]) -> dict[Key, LogRow]:
    """Return the last change of each of *keys* that is in the log."""
    found: dict[Key, LogRow] = {}
    labels: dict[str, list[str]] = defaultdict(list)
    for project, label in keys:
        labels[project].append(label)
    for project, todo in labels.items():
        for start in range(0, len(todo), _CHUNK):
            some = todo[start : start + _CHUNK]
            places = ", ".join("?" * len(some))
            query = f"SELECT {_COLUMNS} FROM smtd_change WHERE project = ? AND label IN ({places})"
            for row in map(_row, await db.fetch(query, (project, *some))):
                found[row.key] = row
    return found


async def changes_since(
    db: DatabaseConnection, cursor: int, limit: int, project: str | None = None
) -> list[LogRow]:
    """Return up to *limit* changes after *cursor*, oldest first, of one *project* (None: of all)."""
    chosen, values = ("", ()) if project is None else ("AND project = ?", (project,))
    query = f"SELECT {_COLUMNS} FROM smtd_change WHERE seq > ? {chosen} ORDER BY seq LIMIT {limit}"
    return list(map(_row, await db.fetch(query, (cursor, *values))))


async def moments_and_labels(db: DatabaseConnection, project: str) -> list[tuple[str, str]]:
    """Return the moment and label of each record in *project*."""
    query = f"SELECT moment, label FROM smtd_change WHERE project = ? AND {_HAS_RECORD}"
    return [(moment, label) for moment, label in await db.fetch(query, (project,))]


async def current_keys(db: DatabaseConnection, after: Key, limit: int) -> list[Key]:
    """Return up to *limit* keys that have a record, in order, beginning after the key *after*."""
    query = (
        f"SELECT project, label FROM smtd_change WHERE {{}} AND {_HAS_RECORD}"
        " ORDER BY project, label LIMIT {}"
    )
    # Not (project, label) > (?, ?): for that, MySQL would read all keys up to there each time.
    found = await db.fetch(query.format("project = ? AND label > ?", limit), after)
    if len(found) < limit:
        found += await db.fetch(query.format("project > ?", limit - len(found)), after[:1])
    return [Key(*row) for row in found]


class ProjectTotals(NamedTuple):
    """How many *records* a project has, and the moment of the newest one, as the tables store it."""

    records: int = 0
    newest: str = ""


async def totals(db: DatabaseConnection) -> dict[str, ProjectTotals]:
    """Return the totals of each project that has records."""
    query = f"SELECT project, count(*), max(moment) FROM smtd_change WHERE {_HAS_RECORD} GROUP BY project"
    return {project: ProjectTotals(*found) for project, *found in await db.fetch(query)}


async def last_number(db: DatabaseConnection, project: str) -> int:
    """Return the number of the last change in *project*, or a higher one; it never decreases.

    The log may have dropped the last change, a deletion. So the result is at least `Eras.expired`.
    """
    last = "SELECT coalesce(max(seq), 0) FROM smtd_change WHERE project = ?"
    ((seq, expired),) = await db.fetch(f"SELECT ({last}), expired FROM smtd_head", (project,))
    return max(int(seq), int(expired))


def _row(found: Sequence[object]) -> LogRow:
    project, label, seq, digest, problem, when = found
    return LogRow(Key(str(project), str(label)), int(str(seq)), Content(digest, str(problem), str(when)))  # type: ignore[arg-type]
