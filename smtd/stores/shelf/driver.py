"""The drivers for shelves: how each kind of dbm file is recognized and opened as a store."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from anyio import to_thread

from smtd import denied
from smtd.errors import StoreUnreachable
from smtd.stores.base import Store
from smtd.stores.driver import Driver, Files, Place, ProjectEntry
from smtd.stores.incarnation import DatabaseMarks, FileMarks, number
from smtd.stores.shelf import ndbm
from smtd.stores.shelf.contents import DbmFile
from smtd.stores.shelf.dbm_sqlite3 import Sqlite3File
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.gnu import GnuFile
from smtd.stores.shelf.ndbm import NdbmFile
from smtd.stores.shelf.store import ShelfStore

_WHAT = "a shelf"
_PROJECT = ProjectEntry("ShelveRecordStore", "shelf_name")
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
#: The magic numbers of gdbm, in both byte orders; see gnu.py.
_GDBM = [magic.to_bytes(4, order) for magic in range(0x13579ACD, 0x13579AD2) for order in _ORDERS]
_BERKELEY = [ndbm.MAGIC.to_bytes(4, order) for order in _ORDERS]
#: In dbm.sqlite3 no two saves of a project have the same row id, since each replaces the row by a new one.
_HIGHEST = "SELECT max(rowid) FROM Dict"


def _driver(name: str, file: Callable[[Place], DbmFile], files: Files) -> Driver:
    """Return the driver for shelves in the dbm file that *file* returns for a place."""

    @asynccontextmanager
    async def open(place: Place) -> AsyncIterator[Store]:
        yield ShelfStore(file(place), str(place), place.access.timezone)

    async def try_write(place: Place, projects: Collection[str]) -> str:
        try:
            return await to_thread.run_sync(file(place).try_write)
        except OSError as exc:
            raise StoreUnreachable(f"the shelf {place} cannot be written: {denied.why(exc)}") from exc

    return Driver(name=name, open=open, try_write=try_write, files=files, project=_PROJECT)


async def _create_dumb(place: Place) -> None:
    try:
        await to_thread.run_sync(DumbFile(place.path).create)
    except OSError as exc:
        raise StoreUnreachable(f"the shelf {place} cannot be created: {denied.unwritten(exc)}") from exc


def _is_gnu(path: Path, start: bytes) -> bool:
    return start[:4] in _GDBM


def _is_ndbm(path: Path, start: bytes) -> bool:
    return start[12:16] in _BERKELEY


def _is_sqlite3(db: sqlite3.Connection, tables: Collection[str]) -> bool:
    # Sumatra on Python 3.13 takes a Django store for a shelf, and leaves an empty table `Dict` in it.
    return "Dict" in tables and "django_store_record" not in tables


# dbm.dumb, gdbm and Berkeley DB reuse or waste free space, and never make their files smaller.

DUMB = _driver(
    "dumb",
    lambda place: DumbFile(place.path),
    Files(
        what=_WHAT,
        endings=(".dat", ".dir", ".bak"),
        watched=(".dat", ".dir"),
        new=(".shelf",),
        create=_create_dumb,
        marks=FileMarks(never_shrinks=True),
    ),
)
GNU = _driver(
    "gnu",
    lambda place: GnuFile(place.path, place.access.python),
    Files(what=_WHAT, begins=_is_gnu, marks=FileMarks(never_shrinks=True, is_swapped=True)),
)
NDBM = _driver(
    "ndbm",
    lambda place: NdbmFile(place.path, place.access.python),
    Files(what=_WHAT, begins=_is_ndbm, added=".db", marks=FileMarks(never_shrinks=True, is_swapped=True)),
)
SQLITE3 = _driver(
    "sqlite3",
    lambda place: Sqlite3File(place.path),
    Files(
        what=_WHAT,
        watched=("", "-wal"),
        holds=_is_sqlite3,
        marks=DatabaseMarks(highest=lambda db: number(db, _HIGHEST)),
    ),
)
