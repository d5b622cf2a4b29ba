"""The drivers for stores that smtd only reads: databases of Sumatra before 0.8, and exports."""

from __future__ import annotations

import sqlite3
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from smtd.stores.base import Store
from smtd.stores.django import driver as django
from smtd.stores.django import schema
from smtd.stores.driver import Driver, Files, Place, ProjectEntry
from smtd.stores.incarnation import number
from smtd.stores.legacy import databases, export
from smtd.stores.legacy.snapshot import SnapshotStore
from smtd.stores.legacy.sources import LegacySource


def _open(source: LegacySource) -> Callable[[Place], AbstractAsyncContextManager[Store]]:
    """Return a function that opens the *source* at a place."""

    @asynccontextmanager
    async def open(place: Place) -> AsyncIterator[Store]:
        yield SnapshotStore(source, place.path, str(place), place.access.timezone)

    return open


def _is_old(db: sqlite3.Connection, tables: Collection[str]) -> bool:
    return "django_store_record" in tables and not schema.is_migrated(db, tables)


def _is_export(path: Path, start: bytes) -> bool:
    return path.suffix == ".json" and start.removeprefix(BOM_UTF8).lstrip()[:1] in (b"[", b"{")


def _highest(db: sqlite3.Connection) -> int | None:
    """Return the highest id that a record ever had (None: ids are reused, as before Sumatra 0.7)."""
    if number(db, "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"):
        return django.highest(db)
    return None


OLD_SQLITE = Driver(
    name="old_django",
    open=_open(databases.SOURCE),
    files=Files(
        what="an SQLite file",
        watched=("", "-wal"),
        holds=_is_old,
        marks=replace(
            django.MARKS,
            highest=_highest,
            opened=databases.opened,
            changes=databases.change_counter,
        ),
    ),
    project=ProjectEntry("DjangoRecordStore", "db_file"),
)
EXPORT = Driver(
    name="export",
    open=_open(export.SOURCE),
    files=Files(what="an export (.json)", begins=_is_export),
)
