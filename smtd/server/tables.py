"""smtd's own tables in the database that it serves, and the triggers that note what other programs write.

Sumatra works as before: it reads and writes only its own tables, by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtd.server.accounts.rights import CREATE_RIGHTS
from smtd.stores.django.mapping import KNOWN, MEMBERSHIPS, OUTPUTS, PREFIX, REFERENCES, SHARED

#: One row per key, with the number of its last change. *digest* has the form that users and clients see
#: (`2-…`); it is null if the record was deleted, or cannot be read: then *problem* says why. *moment*: when
#: it was run. *noted*: when the change was numbered.
_CHANGE = """
CREATE TABLE smtd_change (
    project TEXT NOT NULL, label TEXT NOT NULL, seq INTEGER NOT NULL,
    digest TEXT, problem TEXT NOT NULL, moment TEXT NOT NULL, noted REAL NOT NULL,
    PRIMARY KEY (project, label)
) WITHOUT ROWID
"""
#: The numbers of the views that users had lately: of the projects that they saw as they asked for changes.
CREATE_SEEN = (
    "CREATE TABLE IF NOT EXISTS smtd_seen (username TEXT NOT NULL, mark TEXT NOT NULL,"
    " number INTEGER NOT NULL, PRIMARY KEY (username, mark)) WITHOUT ROWID"
)
TABLES = (
    # *made*: smtd serve made the file, which therefore has triggers. *form*: the canonical form of the
    # digests (any other text: the log may lack records). *expired*: the highest number of a deletion that the
    # log has dropped. *writes*: 1 inside a transaction of the server, so that the triggers note nothing of
    # it; no other program ever sees the 1.
    "CREATE TABLE smtd_head (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL,"
    " made INTEGER NOT NULL, form TEXT NOT NULL, expired INTEGER NOT NULL,"
    " writes INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE smtd_era (start INTEGER PRIMARY KEY, ended INTEGER, began REAL NOT NULL)",
    _CHANGE,
    "CREATE UNIQUE INDEX smtd_change_seq ON smtd_change (seq)",
    "CREATE INDEX smtd_change_project ON smtd_change (project, seq)",
    CREATE_RIGHTS,
    CREATE_SEEN,
)
#: *record* is the id of a row that had *label* in *project*; all three are null for a row that many records
#: share. The ids of notes are never used again, so that a higher one is always a later change.
CREATE_NOTES = (
    "CREATE TABLE IF NOT EXISTS smtd_dirty"
    " (id INTEGER PRIMARY KEY AUTOINCREMENT, record INTEGER, project TEXT, label TEXT)"
)

_RECORD, _TAGGED = f"{PREFIX}record", f"{PREFIX}taggeditem"
_RECORD_ROW = f"SELECT db_id, project_id, label FROM {_RECORD} WHERE db_id ="
#: What a trigger notes if a row that many records share changes: the server then compares all records.
_SHARED_NOTE = "SELECT NULL, NULL, NULL"
_SIDES = {"INSERT": ("NEW",), "DELETE": ("OLD",), "UPDATE": ("OLD", "NEW")}


def triggers() -> dict[str, str]:
    """Return the statements that create the triggers, by their names.

    The triggers note what another program touches, in its own commit. They cover every column from which a
    record is read. They only insert into `smtd_dirty`, which `untrusted.py` enforces.
    """
    return dict([*_record_triggers(), *_owned_row_triggers(), *_shared_row_triggers()])


def _record_triggers() -> Iterator[tuple[str, str]]:
    for event, sides in _SIDES.items():
        for side in sides:
            yield _trigger(f"AFTER {event}", _RECORD, f"SELECT {side}.db_id, {side}.project_id, {side}.label")
    for event in _BEFORE_REPLACE:
        yield _trigger(event.format("db_id"), _RECORD, f"{_RECORD_ROW} NEW.db_id")


#: INSERT OR REPLACE deletes the row with the same id, and SQLite runs no DELETE trigger for that.
_BEFORE_REPLACE = ("BEFORE INSERT", "BEFORE UPDATE OF {}")


def _owned_row_triggers() -> Iterator[tuple[str, str]]:
    """Yield the triggers of the tables in which each row belongs to one record."""
    owners = [(OUTPUTS.table, OUTPUTS.link), ("taggeditem", "object_id")]
    owners += [(each.through, "record_id") for each in MEMBERSHIPS]
    for name, owner in owners:
        table = PREFIX + name
        for event, sides in _SIDES.items():
            for side in sides:
                yield _trigger(f"AFTER {event}", table, f"{_RECORD_ROW} {side}.{owner}")
        for event in _BEFORE_REPLACE:
            before = f"(SELECT {owner} FROM {table} WHERE id = NEW.id)"
            yield _trigger(event.format("id"), table, f"{_RECORD_ROW} {before}")


def _shared_row_triggers() -> Iterator[tuple[str, str]]:
    """Yield the triggers of the tables whose rows many records share.

    They ignore rows to which no record refers, as Sumatra only adds such rows; and updates that change
    nothing, as Django saves all columns of a row.
    """
    for table, columns, referring in shared_tables():
        new, old = is_used("NEW.id", referring), is_used("OLD.id", referring)
        differs = " OR ".join(f'OLD."{column}" IS NOT NEW."{column}"' for column in columns)
        yield _trigger("AFTER INSERT", table, _SHARED_NOTE, f"({new})")
        yield _trigger("AFTER DELETE", table, _SHARED_NOTE, f"({old})")
        yield _trigger("AFTER UPDATE", table, _SHARED_NOTE, f"({differs}) AND ({old} OR {new})")
    # The name of a tag is unique: INSERT OR REPLACE deletes the row that has it.
    used = f"EXISTS (SELECT 1 FROM {PREFIX}tag n JOIN {_TAGGED} t ON t.tag_id = n.id WHERE n.name = NEW.name)"
    for event in _BEFORE_REPLACE:
        differs = " AND OLD.name IS NOT NEW.name" if "UPDATE" in event else ""
        yield _trigger(event.format("name"), f"{PREFIX}tag", _SHARED_NOTE, used + differs)


def shared_tables() -> Iterator[tuple[str, list[str], list[tuple[str, str]]]]:
    """Yield each table whose rows are shared, its columns, and what refers to it, as (table, column)."""
    for name in sorted(SHARED):
        referring = [(_RECORD, each.link) for each in REFERENCES if each.table == name]
        referring += [(PREFIX + each.through, each.link) for each in MEMBERSHIPS if each.table == name]
        if name == "tag":
            referring.append((_TAGGED, "tag_id"))
        yield PREFIX + name, sorted(KNOWN[name] - {OUTPUTS.link}), referring
    yield "django_content_type", ["app_label", "id", "model"], [(_TAGGED, "content_type_id")]


def is_used(row_id: str, referring: list[tuple[str, str]]) -> str:
    """Return the SQL condition that a row refers to the row *row_id*, by one of the columns *referring*."""
    return " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE {column} = {row_id})" for table, column in referring
    )


def _trigger(when: str, table: str, what: str, condition: str = "") -> tuple[str, str]:
    """Return the name of a trigger on *table*, and its statement; the trigger notes what *what* selects."""
    side = "shared" if what == _SHARED_NOTE else "old" if "OLD." in what else "new"
    parts = [table.removeprefix(PREFIX), *when.lower().split(), side]
    name = f"smtd_dirty_{'_'.join(parts)}"
    only = f" AND {condition}" if condition else ""
    return name, (
        f"CREATE TRIGGER {name} {when} ON {table}"
        f" WHEN (SELECT writes FROM smtd_head) = 0{only}"
        f" BEGIN INSERT INTO smtd_dirty (record, project, label) {what}; END"
    )
