"""The notes that triggers make of the writes of other programs (`tables.py`); deleted once in the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from smtd.records.record import Key
from smtd.server import tables
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.reader import key_of

#: Notes that one statement deletes.
_CHUNK = 500


class Notes(NamedTuple):
    """The ids of all notes, in order: by *touched* key, of rows that many records share, and *ignored*.

    *ignored* notes concern rows in no project, which no client sees.
    """

    touched: Mapping[Key, Sequence[int]]
    shared: Sequence[int]
    ignored: Sequence[int]


async def read(db: DatabaseConnection) -> Notes:
    """Return all notes that are not deleted yet."""
    touched: dict[Key, list[int]] = defaultdict(list)
    shared, ignored = [], []
    query = "SELECT id, record, project, label FROM smtd_dirty ORDER BY id"
    for note_id, record, project, label in await db.fetch(query):
        if record is None and project is None:
            shared.append(note_id)
        elif record is None or project is None:
            ignored.append(note_id)
        else:
            touched[key_of(record, project, label)].append(note_id)
    return Notes(touched, shared, ignored)


async def touched_rows(db: DatabaseConnection) -> list[tuple[int, Key]]:
    """Return the id of each row that other programs touched, with each key that it has or had."""
    query = (
        "SELECT DISTINCT record, project, label FROM smtd_dirty"
        " WHERE record IS NOT NULL AND project IS NOT NULL"
    )
    return [(record, key_of(record, project, label)) for record, project, label in await db.fetch(query)]


async def delete(db: DatabaseConnection, note_ids: Sequence[int]) -> None:
    """Delete the notes that have *note_ids*."""
    for start in range(0, len(note_ids), _CHUNK):
        some = note_ids[start : start + _CHUNK]
        await db.run(f"DELETE FROM smtd_dirty WHERE id IN ({', '.join('?' * len(some))})", some)


async def are_triggers_intact(db: DatabaseConnection) -> bool:
    """Say whether the triggers are those of `tables.py`, unchanged, and their table is there."""
    return await _existing_triggers(db) == tables.triggers() and bool(
        await db.value("SELECT count(*) FROM sqlite_master WHERE name = 'smtd_dirty'")
    )


async def repair_triggers(db: DatabaseConnection) -> None:
    """Recreate the triggers; writes made without them have no notes. Call it inside a transaction."""
    for name in await _existing_triggers(db):
        quoted = name.replace('"', '""')
        await db.run(f'DROP TRIGGER "{quoted}"')
    await db.run(tables.CREATE_NOTES)
    for statement in tables.triggers().values():
        await db.run(statement)


async def _existing_triggers(db: DatabaseConnection) -> dict[str, str]:
    found = await db.fetch("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {str(name): str(sql) for name, sql in found if str(name).startswith("smtd_dirty_")}
