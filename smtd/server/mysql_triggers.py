"""The triggers that note what other programs write into a MySQL or MariaDB database that smtd serve made.

They run for each row, in the transaction of the writer, and with the rights of the user who made them, so
that a program that may write records needs no right to write notes. They note nothing on connections with
`SILENCE`. No trigger runs for TRUNCATE, nor for what a foreign key deletes (Sumatra's delete nothing): the
server notices a truncated table by the time at which it was made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from smtd.server.tables import is_used, shared_tables
from smtd.stores.django.connection import DatabaseConnection, Row
from smtd.stores.django.mapping import MEMBERSHIPS, OUTPUTS, PREFIX

_RECORD = f"{PREFIX}record"
_NOTE = "INSERT INTO smtd_dirty (record, project, label)"
_SHARED_NOTE = f"{_NOTE} VALUES (NULL, NULL, NULL);"
_ACCESS_NOTE = f"{_NOTE} VALUES (NULL, '', NULL);"
_SIDES = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}
_EXISTING = (
    "SELECT trigger_name, event_object_table, event_manipulation, action_statement, definer"
    " FROM information_schema.triggers WHERE trigger_schema = database()"
    " AND trigger_name LIKE 'smtd\\_dirty\\_%' ORDER BY trigger_name"
)


def triggers() -> dict[str, str]:
    """Return the statements that create the triggers, by their names.

    The triggers cover every column from which a record is read.
    """
    bodies: dict[tuple[str, str], list[str]] = defaultdict(list)
    for notes in (_record_notes(), _owned_notes(), _shared_notes(), _access_notes()):
        for table, event, note in notes:
            bodies[table, event].append(note)
    return dict(_trigger(table, event, " ".join(notes)) for (table, event), notes in bodies.items())


async def existing(db: DatabaseConnection) -> list[Row]:
    """Return name, table, event, body and definer of each trigger that is there."""
    return await db.fetch(_EXISTING)


def _record_notes() -> Iterator[tuple[str, str, str]]:
    for event, sides in _SIDES.items():
        for side in sides:
            yield _RECORD, event, f"{_NOTE} VALUES ({side}.db_id, {side}.project_id, {side}.label);"


def _owned_notes() -> Iterator[tuple[str, str, str]]:
    """Yield the notes of the tables in which each row belongs to one record."""
    owners = [(OUTPUTS.table, OUTPUTS.link), ("taggeditem", "object_id")]
    owners += [(each.through, "record_id") for each in MEMBERSHIPS]
    for name, owner in owners:
        for event, sides in _SIDES.items():
            for side in sides:
                row = f"SELECT db_id, project_id, label FROM {_RECORD} WHERE db_id = {side}.{owner}"
                yield f"{PREFIX}{name}", event, f"{_NOTE} {row};"


def _shared_notes() -> Iterator[tuple[str, str, str]]:
    """Yield the notes of the tables whose rows many records share, as `tables.py` has them."""
    for table, columns, referring in shared_tables():
        new, old = is_used("NEW.id", referring), is_used("OLD.id", referring)
        yield table, "INSERT", f"IF {new} THEN {_SHARED_NOTE} END IF;"
        yield table, "UPDATE", f"IF ({_differs(columns)}) AND ({old} OR {new}) THEN {_SHARED_NOTE} END IF;"
        yield table, "DELETE", f"IF {old} THEN {_SHARED_NOTE} END IF;"


def _access_notes() -> Iterator[tuple[str, str, str]]:
    tables: Mapping[str, list[str]] = {
        f"{PREFIX}project": ["id", "name", "description"],
        "smtd_right": ["project", "username", "level"],
    }
    for table, columns in tables.items():
        for event in _SIDES:
            differs = f"IF {_differs(columns)} THEN {_ACCESS_NOTE} END IF;"
            yield table, event, differs if event == "UPDATE" else _ACCESS_NOTE


def _differs(columns: list[str]) -> str:
    """Return the condition that an update changes one of *columns*, or only the case of a letter there."""
    return " OR ".join(
        f'NOT (CAST(OLD."{column}" AS BINARY) <=> CAST(NEW."{column}" AS BINARY))' for column in columns
    )


def _trigger(table: str, event: str, notes: str) -> tuple[str, str]:
    """Return the name of a trigger on *table*, and its statement."""
    name = f"smtd_dirty_{table.removeprefix(PREFIX)}_{event.lower()}"
    return name, (
        f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW"
        f" BEGIN IF @smtd_writes IS NULL THEN {notes} END IF; END"
    )
