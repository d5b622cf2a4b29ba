"""A database of an old Sumatra as the place of a store."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from anyio import to_thread

from smtd.records.record import Record
from smtd.stores.base import Store
from smtd.stores.legacy import databases
from smtd.stores.legacy.snapshot import SnapshotStore
from tests.build import PROJECT
from tests.stores.places import DjangoPlace


class OldPlace(DjangoPlace):
    """An SQLite file in the schema of 0.7, converted from one of 0.8.1 after every write."""

    unfit: tuple[Record, ...] = ()

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        path.parent.mkdir()
        self._new = DjangoPlace(path.with_name("beside") / "records")
        self._new.path.parent.mkdir()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        if not self.path.exists():
            await self.put()
        yield SnapshotStore(databases.SOURCE, self.path, str(self.path), "UTC")

    async def put(self, *records: Record, project: str = PROJECT) -> None:
        async with self._new.open() as store:
            await store.write([])
        await self._new.put(*records, project=project)
        await to_thread.run_sync(self._publish)

    async def remove(self, label: str, project: str = PROJECT) -> None:
        await self._new.remove(label, project)
        await to_thread.run_sync(self._publish)

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        await self._new.spoil(label, project)
        await to_thread.run_sync(self._publish)

    def _publish(self) -> None:
        made = self._new.path.with_name("made")
        shutil.copyfile(self._new.path, made)
        with closing(sqlite3.connect(made)) as db, db:
            db.executescript("""
                ALTER TABLE django_store_tag RENAME TO tagging_tag;
                ALTER TABLE django_store_taggeditem RENAME TO tagging_taggeditem;
                DELETE FROM django_migrations WHERE app = 'django_store';""")
        os.replace(made, self.path)
