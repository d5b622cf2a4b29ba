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
    """The numbers of all notes, in order: by *touched* key, of rows that many records share, and *idle*.

    *idle* notes concern rows in no project, which no client sees.
    """

    touched: Mapping[Key, Sequence[int]]
    shared: Sequence[int]
    idle: Sequence[int]


async def notes(db: DatabaseConnection) -> Notes:
    """Return all notes that are not deleted yet."""
    touched: dict[Key, list[int]] = defaultdict(list)
    shared, idle = [], []
    asked = "SELECT id, record, project, label FROM smtd_dirty ORDER BY id"
    for number, record, project, label in await db.fetch(asked):
        if record is None and project is None:
            shared.append(number)
        elif record is None or project is None:
            idle.append(number)
        else:
            touched[key_of(record, project, label)].append(number)
    return Notes(touched, shared, idle)


async def rows(db: DatabaseConnection) -> list[tuple[int, Key]]:
    """Return the id of each row that other programs touched, with each key that it has or had."""
    asked = (
        "SELECT DISTINCT record, project, label FROM smtd_dirty"
        " WHERE record IS NOT NULL AND project IS NOT NULL"
    )
    return [(record, key_of(record, project, label)) for record, project, label in await db.fetch(asked)]


async def forget(db: DatabaseConnection, numbers: Sequence[int]) -> None:
    """Delete the notes with these *numbers*."""
    for start in range(0, len(numbers), _CHUNK):
        some = numbers[start : start + _CHUNK]
        await db.run(f"DELETE FROM smtd_dirty WHERE id IN ({', '.join('?' * len(some))})", some)


async def is_whole(db: DatabaseConnection) -> bool:
    """Say whether the triggers are those of `tables.py`, unchanged, and their table is there."""
    return await _found(db) == tables.triggers() and bool(
        await db.value("SELECT count(*) FROM sqlite_master WHERE name = 'smtd_dirty'")
    )


async def repair(db: DatabaseConnection) -> None:
    """Recreate the triggers; writes made without them have no notes. Call it inside a transaction."""
    for name in await _found(db):
        quoted = name.replace('"', '""')
        await db.run(f'DROP TRIGGER "{quoted}"')
    await db.run(tables.DIRTY)
    for statement in tables.triggers().values():
        await db.run(statement)


async def _found(db: DatabaseConnection) -> dict[str, str]:
    found = await db.fetch("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {str(name): str(sql) for name, sql in found if str(name).startswith("smtd_dirty_")}
