"""Migrations of journals of earlier versions, which keep all data.

`MIGRATIONS[n]` turns version n into version n + 1: statements, or a function for what statements cannot say.
All migrations that a journal needs run in one transaction. A migration never changes once it was released: it
builds on the schema of its time, not on schema.sql, which is for new journals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from smtd.journal.history import seal_all
from smtd.sqlite import Connection, script

Migration: TypeAlias = str | Callable[[Connection], Awaitable[None]]

_VERSION_6 = """
ALTER TABLE agreed ADD COLUMN cycle INTEGER;
ALTER TABLE intent ADD COLUMN history INTEGER;
ALTER TABLE history RENAME TO history_5;
CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cycle INTEGER NOT NULL REFERENCES cycle,
    at TEXT NOT NULL,
    side TEXT NOT NULL,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    record BLOB,
    before BLOB,
    after BLOB,
    landed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX history_label ON history (label);
CREATE INDEX history_cycle ON history (cycle);
CREATE TABLE seal (
    last INTEGER PRIMARY KEY,
    hash BLOB NOT NULL
);
INSERT INTO seal VALUES (0, x'');
CREATE TABLE decision (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    choice TEXT NOT NULL,
    left_digest BLOB,
    right_digest BLOB,
    alias TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
CREATE TABLE proof (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    began REAL NOT NULL,
    project TEXT,
    label TEXT,
    counted INTEGER NOT NULL,
    before REAL
);
CREATE TABLE finding (
    pair INTEGER NOT NULL REFERENCES pair,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
INSERT INTO history (id, cycle, at, side, project, label, action, reason, record, landed)
    SELECT id, cycle, at, side, project, label, action, '', record, 1 FROM history_5;
DROP TABLE history_5;
"""


async def _to_version_6(db: Connection) -> None:
    await db.run_script(script(_VERSION_6))
    await seal_all(db)


async def _version_12(db: Connection) -> None:
    """Add the columns that a journal of version 11 lacks: two were added earlier without a new version."""
    for table, column in (
        ("store", "looked"),
        ("entry", "read"),
        ("entry", "changed"),
        ("entry", "changing"),
    ):
        known = await db.fetch(f"SELECT name FROM pragma_table_info('{table}')")
        if (column,) not in known:
            await db.run(f"ALTER TABLE {table} ADD COLUMN {column} REAL")
    await db.run("CREATE INDEX entry_changed ON entry (store) WHERE changed IS NOT NULL")


MIGRATIONS: dict[int, Migration] = {
    1: """
CREATE TABLE rotation (
    pair INTEGER NOT NULL REFERENCES pair,
    side TEXT NOT NULL,
    project TEXT,
    label TEXT,
    at REAL NOT NULL,
    PRIMARY KEY (pair, side)
) WITHOUT ROWID;
""",
    2: """
CREATE TABLE refused (
    pair INTEGER NOT NULL REFERENCES pair,
    side TEXT NOT NULL,
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    digest BLOB NOT NULL,
    attempts INTEGER NOT NULL,
    until REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (pair, side, project, label)
) WITHOUT ROWID;
""",
    3: """
CREATE TABLE files (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_file TEXT NOT NULL,
    right_file TEXT NOT NULL
);
""",
    4: """
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL
);
""",
    5: _to_version_6,
    6: """
ALTER TABLE written ADD COLUMN undone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE written ADD COLUMN merged INTEGER NOT NULL DEFAULT 0;
""",
    7: "ALTER TABLE written ADD COLUMN record BLOB;",
    8: """
ALTER TABLE written ADD COLUMN seen INTEGER NOT NULL DEFAULT 1;
ALTER TABLE written ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE written ADD COLUMN at REAL NOT NULL DEFAULT 0;
ALTER TABLE written ADD COLUMN due REAL;
""",
    9: """
CREATE TABLE witness (
    content TEXT NOT NULL,
    changed INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    next TEXT NOT NULL,
    state TEXT NOT NULL
);
CREATE TABLE forgotten (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    cycle INTEGER NOT NULL,
    at TEXT NOT NULL
);
INSERT INTO forgotten
    SELECT pair, max(id), coalesce((SELECT at FROM history ORDER BY id LIMIT 1), max(started)) FROM cycle
    WHERE id <= coalesce((SELECT cycle FROM history ORDER BY id LIMIT 1), id)
        AND (SELECT min(last) FROM seal) > 0
    GROUP BY pair;
""",
    10: """
DROP TABLE quiet;
CREATE TABLE store (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    reader TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    blocks TEXT
);
CREATE TABLE entry (
    store INTEGER NOT NULL REFERENCES store,
    project NOT NULL,
    label NOT NULL,
    state INTEGER NOT NULL,
    digest BLOB,
    problem NOT NULL,
    seq INTEGER NOT NULL,
    row INTEGER,
    unlisted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (store, project, label)
) WITHOUT ROWID;
CREATE INDEX entry_seq ON entry (store, seq);
CREATE INDEX entry_row ON entry (store, row) WHERE row IS NOT NULL;
CREATE INDEX entry_unlisted ON entry (store) WHERE unlisted;
CREATE TABLE extra_row (
    store INTEGER NOT NULL REFERENCES store,
    id INTEGER NOT NULL,
    project NOT NULL,
    label NOT NULL,
    PRIMARY KEY (store, id)
) WITHOUT ROWID;
CREATE TABLE fingerprint (
    store INTEGER NOT NULL REFERENCES store,
    place INTEGER NOT NULL,
    block INTEGER NOT NULL,
    mark INTEGER,
    owners NOT NULL,
    PRIMARY KEY (store, place, block)
) WITHOUT ROWID;
CREATE TABLE held (
    store INTEGER NOT NULL REFERENCES store,
    project NOT NULL,
    readable INTEGER NOT NULL,
    unreadable INTEGER NOT NULL,
    PRIMARY KEY (store, project)
) WITHOUT ROWID;
CREATE TABLE head (
    store INTEGER NOT NULL REFERENCES store,
    projects TEXT NOT NULL,
    head BLOB NOT NULL,
    PRIMARY KEY (store, projects)
) WITHOUT ROWID;
CREATE TABLE checkpoint (
    pair INTEGER PRIMARY KEY REFERENCES pair,
    left_epoch INTEGER NOT NULL,
    left_seq INTEGER NOT NULL,
    right_epoch INTEGER NOT NULL,
    right_seq INTEGER NOT NULL,
    projects TEXT,
    policy TEXT NOT NULL,
    report BLOB
);
CREATE TABLE out_of_sync (
    pair INTEGER NOT NULL REFERENCES pair,
    project NOT NULL,
    label NOT NULL,
    PRIMARY KEY (pair, project, label)
) WITHOUT ROWID;
""",
    11: _version_12,
    12: """
CREATE TABLE figures (
    pair INTEGER NOT NULL REFERENCES pair,
    hour INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    lags TEXT NOT NULL,
    left_records INTEGER NOT NULL,
    right_records INTEGER NOT NULL,
    journal_bytes INTEGER NOT NULL,
    PRIMARY KEY (pair, hour)
) WITHOUT ROWID;
""",
    13: "ALTER TABLE pair ADD COLUMN name TEXT;",
}


async def migrate(db: Connection, version: int) -> None:
    """Bring a journal of *version* up to date, within the open transaction."""
    while (migration := MIGRATIONS.get(version)) is not None:
        if isinstance(migration, str):
            await db.run_script(script(migration))
        else:
            await migration(db)
        version += 1
    await db.run(f"PRAGMA user_version = {version}")
