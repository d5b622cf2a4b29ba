"""The operations of a transaction of the one writer: records, whose changes it numbers, projects, rights."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.record import BAD_VALUE, Key, Record, bad_value
from smtd.server import change_log
from smtd.server.accounts.rights import Right
from smtd.server.backend import Tables
from smtd.server.change_log import ChangeNumbers, Content
from smtd.server.memory import MOST_VIEWS, STALE_RIGHT, ProjectInfo, SeenView, find_project, seen_view
from smtd.stores.django import rows
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.reader import DecodedRow, key_of
from smtd.stores.django.record_rows import RowChange, record_of
from smtd.stores.django.rows import Columns


class Current(NamedTuple):
    """The rows of a key at one time, and the content that they hold."""

    key: Key
    rows: Sequence[DecodedRow]
    content: Content

    @property
    def record(self) -> Record | None:
        """The record, if there is one. Raises RecordUnusable if it cannot be read."""
        if self.content.problem:
            raise RecordUnusable(self.content.problem)
        return record_of(self.rows[0]) if self.rows else None


class Put(NamedTuple):
    """A *record* for the place of *current*, as `columns` gives it, and its *digest*."""

    current: Current
    record: Record
    columns: Columns
    digest: str

    @property
    def content(self) -> Content:
        """What the key then holds."""
        return Content(self.digest, "", rows.moment(self.record.timestamp))


def columns(record: Record) -> Columns:
    """Return *record* as the tables hold it. Raises RecordUnusable for one that Sumatra could not read back.

    It takes as long as writing the record: to check one, call it before the transaction.
    """
    try:
        return rows.columns(record)
    except BAD_VALUE as exc:
        raise bad_value(exc) from exc


def current_of(key: Key, found: Sequence[DecodedRow]) -> Current:
    """Return what *key* holds, which has the rows *found*."""
    return Current(key, found, change_log.content_of(found))


def _read_back(put: Put, found: Sequence[DecodedRow]) -> Current:
    """Return what the rows *found* hold, without computing the digest of *put* again."""
    is_one = len(found) == 1 and isinstance(found[0].record, Record)
    if is_one and canonical.identical(record_of(found[0]), put.record):
        return Current(put.current.key, found, put.content)
    return current_of(put.current.key, found)


class WriteTransaction:
    """One transaction, in which several jobs run one after the other.

    `after_commit` has the functions to call after the commit, which update what the server keeps in memory.
    """

    def __init__(self, db: DatabaseConnection, tables: Tables, numbers: ChangeNumbers) -> None:
        self.numbers = numbers
        self.after_commit: list[Callable[[], None]] = []
        self.has_written = False
        #: More than records has changed: what other processes have in memory of this database is void.
        self.changes_access = False
        #: The record of each key that was put, as the job gave it, or entered.
        self.written: dict[Key, Record] = {}
        self._db = db
        self._tables = tables
        self._records = tables.records

    async def current(self, key: Key) -> Current:
        """Return what *key* holds now."""
        return (await self.all_current([key]))[key]

    async def all_current(self, keys: Collection[Key]) -> dict[Key, Current]:
        """Return what each of *keys* holds now."""
        held = await self._records.held(self._db, keys, lock=self._db.for_share)
        return {key: current_of(key, held.get(key, ())) for key in keys}

    async def put(self, current: Current, record: Record) -> Content:
        """Put *record* in the place of *current*; return the new content.

        Raises RecordUnusable if Sumatra could not read *record* back, if the database cannot hold it, or if
        *current* is unreadable.
        """
        put = Put(current, record, columns(record), change_log.digest(record))
        return (await self.put_all([put]))[current.key]

    async def put_all(self, puts: Sequence[Put]) -> dict[Key, Content]:
        """Make *puts*, which have different keys; return what each key then holds, as it is read back.

        The log has that, too: a trigger of somebody else may have changed it. Raises RecordUnusable as `put`
        does.
        """
        new = [put.current.key for put in puts if not put.current.rows]
        for why in (await self._tables.collisions(self._db, new)).values():
            raise RecordUnusable(why)
        as_stored = [self._tables.as_stored(put.current.key, put.columns) for put in puts]
        self.has_written = True
        changes = [
            RowChange(put.current.key, put.record, columns, put.current.rows)
            for put, columns in zip(puts, as_stored, strict=True)
        ]
        await self._records.change(self._db, changes)
        back = await self._all_read_back(puts)
        await self.numbers.log_all([(key, current.content) for key, current in back.items()])
        self._note_written(back)
        return {key: current.content for key, current in back.items()}

    async def _all_read_back(self, puts: Sequence[Put]) -> dict[Key, Current]:
        """Return what the keys of *puts*, which were made, hold now."""
        keys = [put.current.key for put in puts]
        held = await self._records.held(self._db, keys, lock=self._db.for_share)
        return {put.current.key: _read_back(put, held.get(put.current.key, ())) for put in puts}

    def _note_written(self, found: Mapping[Key, Current]) -> None:
        """Note the record of each key of *found*, as listeners get it."""
        for key, current in found.items():
            self.written.pop(key, None)
            with suppress(RecordUnusable):
                if (there := current.record) is not None:
                    self.written[key] = there

    async def delete(self, current: Current) -> None:
        """Delete *current*, readable or not."""
        self.has_written = True
        await self._records.change(self._db, [RowChange(current.key, None, None, current.rows)])
        self.written.pop(current.key, None)
        await self.numbers.log(current.key, change_log.NOTHING)

    async def log_current(self, key: Key) -> None:
        """Enter into the log, with a new number, what *key* holds now, if the log differs from it.

        What other programs commit during this transaction may not be entered: it has a note of its own, or
        the next comparison finds it.
        """
        seen = await self._records.seen(self._db, [key])
        current = current_of(key, seen.get(key, ()))
        row = await change_log.row_of(self._db, key)
        before = change_log.NOTHING if row is None else row.content
        if (before.digest, before.problem) == (current.content.digest, current.content.problem):
            return
        await self.numbers.log(key, current.content)
        self._note_written({key: current})

    async def delete_notes(self, numbers: Sequence[int]) -> None:
        """Delete the notes of the triggers with these *numbers*: the log has what they say."""
        await self._tables.delete_notes(self._db, numbers)

    async def repair_triggers(self) -> None:
        """Recreate the triggers, and note that the log may lack what other programs wrote without them."""
        await self._tables.repair_triggers(self._db)
        await self.set_incomplete()

    async def set_complete(self, form: str) -> bool:
        """Note that the log has every record, with digests in the canonical form of this smtd.

        *form*: the `change_log.form` before all records were compared with the log. Return False, and note
        nothing, if the log may lack records all the same: triggers are missing, or were until somebody, maybe
        another process, repaired them since.
        """
        if await change_log.form(self._db) != form:
            return False
        if self._tables.is_own and not await self._tables.has_triggers(self._db):
            return False
        self.changes_access = True
        await self._db.run("UPDATE smtd_head SET form = ?", (change_log.DIGEST_PREFIX,))
        return True

    async def set_incomplete(self) -> None:
        """Note that the log may lack records."""
        self.changes_access = True
        await change_log.set_incomplete(self._db)

    async def check_duty(self, term: str) -> None:
        """Raise DutyLost unless this process has the duty for *term* until the end of this transaction."""
        await self._tables.check_duty(self._db, term)

    async def begin_duty(self) -> None:
        """Let other processes rely on the duty of this one."""
        await self._tables.begin_duty(self._db)

    def announce_access(self) -> None:
        """Have all processes read the projects and rights again: another program has changed some."""
        self.changes_access = True

    async def project(self, name: str) -> ProjectInfo | None:
        """Return the name and description of the project whose id is *name*; None if there is none."""
        return await find_project(self._db, name)

    async def last_number(self, project: str) -> int:
        """Return the number of the last change in *project*, as `ServedDatabase.listing` does."""
        return await change_log.last_number(self._db, project)

    async def put_project(self, name: str, info: ProjectInfo) -> None:
        """Create the project whose id is *name*, or change its name and description to *info*."""
        self.has_written = self.changes_access = True
        # Not by an upsert: some replace the row, to which other rows refer.
        change = "UPDATE django_store_project SET name = ?, description = ? WHERE id = ?"
        if await self.project(name) is None:
            change = "INSERT INTO django_store_project (name, description, id) VALUES (?, ?, ?)"
        await self._db.run(change, (info.name, info.description, name))

    async def delete_project(self, name: str) -> None:
        """Delete the project *name*, and all rights in it. Raises RecordUnusable if it still has a record."""
        query = "SELECT count(*) FROM django_store_record WHERE project_id = ?"
        if left := await self._db.value(query, (name,)):
            raise RecordUnusable(
                f"project {name} has {left} records whose labels are not text; delete them in the database"
            )
        self.has_written = self.changes_access = True
        await self._db.run("DELETE FROM smtd_right WHERE project = ?", (name,))
        await self._db.run("DELETE FROM django_store_project WHERE id = ?", (name,))

    async def delete_stale_rights(self) -> None:
        """Delete all rights in projects that are gone: a user who recreates one is then its only owner."""
        self.changes_access = True
        await self._db.run(f"DELETE FROM smtd_right WHERE {STALE_RIGHT}")

    async def right(self, project: str, username: str) -> Right:
        """Return the right that a user has in *project* itself at this point of the transaction."""
        query = "SELECT level FROM smtd_right WHERE project = ? AND username = ?"
        found = await self._db.fetch(query, (project, username))
        return Right.of(str(found[0][0])) if found else Right.NONE

    async def set_right(self, project: str, username: str, right: Right) -> None:
        """Set the right of a user in *project*; Right.NONE removes it."""
        self.has_written = self.changes_access = True
        await self._db.run("DELETE FROM smtd_right WHERE project = ? AND username = ?", (project, username))
        if right is not Right.NONE:
            await self._db.run(
                "INSERT INTO smtd_right (project, username, level) VALUES (?, ?, ?)",
                (project, username, right.word),
            )

    async def update_view(self, username: str, fingerprint: str, limit: int) -> SeenView:
        """Note that a user sees the projects of the view with *fingerprint*; return this view.

        Each view of a user has a number of its own, for as long as it is among the last MOST_VIEWS. The first
        number is a random one below *limit*: one user's number is not to continue where another's ended.
        """
        query = "SELECT mark, number FROM smtd_seen WHERE username = ?"
        known = dict(
            seen_view(str(stored), int(number)) for stored, number in await self._db.fetch(query, (username,))
        )
        if fingerprint in known:
            return known[fingerprint]
        numbers = [each.number for each in known.values()]
        view = SeenView(max(numbers) + 1 if numbers else secrets.randbelow(limit), self.numbers.head)
        self.has_written = self.changes_access = True
        row = (username, view.stored(fingerprint), view.number)
        await self._db.run("INSERT INTO smtd_seen (username, mark, number) VALUES (?, ?, ?)", row)
        await self._db.run(
            "DELETE FROM smtd_seen WHERE username = ? AND number <= ?", (username, view.number - MOST_VIEWS)
        )
        return view

    async def labels(self, project: str, limit: int) -> list[str]:
        """Return the labels of up to *limit* records in *project*, each once, as their keys have them."""
        query = f"SELECT db_id, label FROM django_store_record WHERE project_id = ? LIMIT {limit}"
        found = [key_of(row_id, project, label) for row_id, label in await self._db.fetch(query, (project,))]
        return list(dict.fromkeys(key.label for key in found))

    async def tagged_labels(self, project: str, tags: Sequence[str]) -> list[str]:
        """Return the labels of the records in *project* that have one of *tags*."""
        held = [tag for tag in tags if self._tables.can_hold(tag)]
        return await tagged_labels(self._db, project, held) if held else []


async def tagged_labels(db: DatabaseConnection, project: str, tags: Sequence[str]) -> list[str]:
    """Return the labels of the records in *project* that have one of *tags*, exactly as it is spelled."""
    places = ", ".join("?" * len(tags))
    query = (
        "SELECT DISTINCT r.db_id, r.label, n.name FROM django_store_tag n"
        " JOIN django_store_taggeditem t ON t.tag_id = n.id"
        " JOIN django_content_type c ON c.id = t.content_type_id"
        " AND c.app_label = 'django_store' AND c.model = 'record'"
        " JOIN django_store_record r ON r.db_id = t.object_id"
        f" WHERE n.name IN ({places}) AND r.project_id = ?"
    )
    found = await db.fetch(query, (*tags, project))
    # A database may take tags for equal that differ in case.
    return sorted({key_of(row_id, project, label).label for row_id, label, tag in found if tag in tags})
