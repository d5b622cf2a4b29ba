"""A store on a server, which compares versions of its records to find what others have changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from smtd.stores.base import Capabilities, Scan, Token
from smtd.stores.django import server_mark
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.database import translating_errors
from smtd.stores.django.row_versions import RowVersionTracker
from smtd.stores.django.server import BATCH, ServerDatabase
from smtd.stores.django.store import DjangoStore

_NAME = "SELECT project_id, label FROM django_store_record WHERE db_id = ?"


class ServerStore(DjangoStore):
    """A relational store of Sumatra 0.8.1 in *database*, on a server.

    It detects that its tables were restored from a dump or a backup.
    """

    capabilities = Capabilities(
        exclusive_writes=True,
        batch=BATCH,
        keeps_opaque=False,
        saves_records=True,
        bears_mark=True,
    )

    def __init__(self, database: ServerDatabase, location: str) -> None:
        super().__init__(database, location)
        self._server = database
        self._tracker = RowVersionTracker(database, self._ids)

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        with translating_errors(self._server):
            async with self._session() as db:
                assert db is not None, "a server without tables is refused"
                return await self._tracker.scan(db, projects)

    async def token(self) -> Token | None:
        with translating_errors(self._server):
            return await self._tracker.token()

    async def unchanged_since(self, token: Token) -> bool:
        with translating_errors(self._server):
            return await self._tracker.unchanged_since(token)

    async def mark(self) -> str:
        with translating_errors(self._server):
            async with self._server.session() as db:
                return (await self._server.dialect.mark(db)).text

    async def is_another(self, before: str, now: str) -> bool:
        old, new = server_mark.read(before), server_mark.read(now)
        if not old.is_followed_by(new):
            return True
        with translating_errors(self._server):
            async with self._server.session() as db:
                if old.newest != new.newest and old.newest is not None:
                    # If programs went on with an older dump, another record has this id now.
                    found = await db.fetch(_NAME, (old.newest,))
                    if found and server_mark.record_hash(found[0]) != old.name:
                        return True
                if old.filed == new.filed or old.since is None:
                    return False
                return not await self._server.dialect.keeps_older(db, old.since)

    def _forget(self) -> None:
        self._tracker.forget()

    async def _versions(self, db: DatabaseConnection, ids: Collection[int]) -> Mapping[int, int]:
        return await self._tracker.versions(db, ids)

    def _wrote(self, ids: Collection[int], versions: Mapping[int, int]) -> None:
        self._tracker.wrote(ids, versions)
