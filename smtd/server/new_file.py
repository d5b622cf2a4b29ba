"""Create the file of a server's own store: complete, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from smtd import durable, private
from smtd.server import tables
from smtd.server.change_log import DIGEST_PREFIX
from smtd.sqlite import opened
from smtd.stores.django import schema


def create(path: Path) -> None:
    """Create an empty store in the new file *path*, with the tables and triggers of smtd's own server.

    The file is private, and in write-ahead mode, so that readers do not block writers. An existing file stays
    as it is. Blocks. Raises OSError, sqlite3.Error.
    """
    private.make_directory(path.parent)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    os.close(private.create(new))
    try:
        with opened(new) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            for statement, values in schema.creation("sqlite"):
                db.execute(statement, values)
            for statement in statements(is_own=True):
                db.execute(statement)
            db.execute("COMMIT")
        durable.sync([new])
        with suppress(FileExistsError):  # another process made it first
            os.link(new, path)
        durable.sync([path])
    finally:
        new.unlink(missing_ok=True)


def statements(*, is_own: bool) -> list[str]:
    """Return the statements that add smtd's tables and, if smtd created the file, the triggers.

    The log of a new file has every record: there is none yet, and triggers note what other programs write.
    """
    return [
        *tables.TABLES,
        *((tables.CREATE_NOTES, *tables.triggers().values()) if is_own else ()),
        f"INSERT INTO smtd_head (id, seq, made, form, expired) VALUES (1, 0, {int(is_own)},"
        f" '{DIGEST_PREFIX if is_own else ''}', 0)",
    ]
