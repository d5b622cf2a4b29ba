"""The tables of smtd's own in the database that it serves, and the triggers that tell what others write.

Real Sumatra minds neither: it asks for its own tables by name.
"""

from __future__ import annotations

from smtd.server.accounts.rights import CREATE_RIGHTS
from smtd.stores.django.mapping import MEMBERSHIPS, OUTPUTS, PREFIX, SHARED

#: One row a key, with the number of its last change. *digest* is as people and clients see it (`2-…`), null
#: for a record that was deleted, or that cannot be read; then *problem* says why. *moment*: when it was run.
_CHANGE = """
CREATE TABLE smtd_change (
    project TEXT NOT NULL, label TEXT NOT NULL, seq INTEGER NOT NULL,
    digest TEXT, problem TEXT NOT NULL, moment TEXT NOT NULL, noted REAL NOT NULL,
    PRIMARY KEY (project, label)
) WITHOUT ROWID
"""
TABLES = (
    # *made*: smtd serve made the file, which has triggers then. *form*: of which canonical form the digests
    # are (empty: not all records were looked at). *expired*: the highest number of a forgotten deletion.
    # *writes*: 1 inside a transaction of the server, which nobody else can see: its triggers note nothing.
    "CREATE TABLE smtd_head (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL,"
    " made INTEGER NOT NULL, form TEXT NOT NULL, expired INTEGER NOT NULL,"
    " writes INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE smtd_era (start INTEGER PRIMARY KEY, ended INTEGER, began REAL NOT NULL)",
    _CHANGE,
    "CREATE UNIQUE INDEX smtd_change_seq ON smtd_change (seq)",
    "CREATE INDEX smtd_change_project ON smtd_change (project, seq)",
    CREATE_RIGHTS,
)
#: *record*: the row that bore *label*. Without a label: the project itself. Without a project: anything.
#: Numbers are never used again, so that a higher one always is a later change.
DIRTY = (
    "CREATE TABLE smtd_dirty (id INTEGER PRIMARY KEY AUTOINCREMENT, record INTEGER, project TEXT, label TEXT)"
)

_EVENTS = ("INSERT", "UPDATE", "DELETE")
_RECORD, _PROJECT = f"{PREFIX}record", f"{PREFIX}project"


def triggers() -> list[str]:
    """Return the statements that make the triggers: in the commit of a writer they note what it touches.

    They only insert into `smtd_dirty`, as `untrusted.py` makes sure of.
    """
    made = [
        _trigger(_RECORD, event, f"SELECT {side}.db_id, {side}.project_id, {side}.label")
        for event in _EVENTS
        for side in _sides(event)
    ]
    owners = [(OUTPUTS.table, OUTPUTS.link), ("taggeditem", "object_id")]
    owners += [(each.through, "record_id") for each in MEMBERSHIPS]
    made += [
        _trigger(
            PREFIX + table,
            event,
            f"SELECT db_id, project_id, label FROM {_RECORD} WHERE db_id = {side}.{owner}",
        )
        for table, owner in owners
        for event in _EVENTS
        for side in _sides(event)
    ]
    made += [
        _trigger(_PROJECT, event, f"SELECT NULL, {side}.id, NULL")
        for event in _EVENTS
        for side in _sides(event)
    ]
    # Rows that many records share; Sumatra only adds some. If somebody edits one, all is looked at.
    made += [
        _trigger(PREFIX + table, "UPDATE", "SELECT NULL, NULL, NULL")
        for table in sorted(SHARED)
        if table != OUTPUTS.table
    ]
    return made


def _sides(event: str) -> tuple[str, ...]:
    return {"INSERT": ("NEW",), "DELETE": ("OLD",), "UPDATE": ("OLD", "NEW")}[event]


def _trigger(table: str, event: str, what: str) -> str:
    """Return the statement that makes a trigger of *table*, which notes what is selected by *what*."""
    side = "old" if "OLD." in what else "new"
    name = f"smtd_dirty_{table.removeprefix(PREFIX)}_{event.lower()}_{side}"
    return (
        f"CREATE TRIGGER {name} AFTER {event} ON {table}"
        " WHEN (SELECT writes FROM smtd_head) = 0"
        f" BEGIN INSERT INTO smtd_dirty (record, project, label) {what}; END"
    )
