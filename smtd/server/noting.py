"""What others touched, as triggers have noted it (`tables.py`): read, and forgotten once it is entered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from smtd.records.record import Key
from smtd.server import tables
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.reader import key_of

#: Notes that are forgotten by one statement.
_CHUNK = 500


class Notes(NamedTuple):
    """The numbers of all notes, in their order: of each key that was *touched*, of what many records share.

    *idle* ones are of no record that anybody sees.
    """

    touched: Mapping[Key, Sequence[int]]
    shared: Sequence[int]
    idle: Sequence[int]


async def notes(db: DatabaseConnection) -> Notes:
    """Return what is noted and not yet forgotten."""
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
    """Return the numbers of the rows that others touched, and each key that such a row bears or bore."""
    asked = (
        "SELECT DISTINCT record, project, label FROM smtd_dirty"
        " WHERE record IS NOT NULL AND project IS NOT NULL"
    )
    return [(record, key_of(record, project, label)) for record, project, label in await db.fetch(asked)]


async def forget(db: DatabaseConnection, numbers: Sequence[int]) -> None:
    """Forget the notes with these *numbers*."""
    for start in range(0, len(numbers), _CHUNK):
        some = numbers[start : start + _CHUNK]
        await db.run(f"DELETE FROM smtd_dirty WHERE id IN ({', '.join('?' * len(some))})", some)


async def is_whole(db: DatabaseConnection) -> bool:
    """Say whether all triggers are there, and none is another one."""
    return await _found(db) == tables.triggers() and bool(
        await db.value("SELECT count(*) FROM sqlite_master WHERE name = 'smtd_dirty'")
    )


async def repair(db: DatabaseConnection) -> None:
    """Make the triggers anew; what others wrote without them is not noted. Call it inside a transaction."""
    for name in await _found(db):
        quoted = name.replace('"', '""')
        await db.run(f'DROP TRIGGER "{quoted}"')
    await db.run(tables.DIRTY)
    for statement in tables.triggers().values():
        await db.run(statement)


async def _found(db: DatabaseConnection) -> dict[str, str]:
    found = await db.fetch("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {str(name): str(sql) for name, sql in found if str(name).startswith("smtd_dirty_")}
