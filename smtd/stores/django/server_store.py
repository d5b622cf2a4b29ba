"""A store on a server, which detects that its tables were restored from a dump or a backup."""

from __future__ import annotations

from dataclasses import replace

from smtd.stores.base import Capabilities
from smtd.stores.django.database import translating_errors
from smtd.stores.django.server import ServerDatabase
from smtd.stores.django.store import DjangoStore


class ServerStore(DjangoStore):
    """A relational store of Sumatra 0.8.1 in *database*, on a server."""

    def __init__(self, database: ServerDatabase, location: str) -> None:
        super().__init__(database, location)
        self._server = database

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, bears_mark=True)

    async def mark(self) -> str:
        with translating_errors(self._server):
            return await self._server.mark()

    async def is_another(self, before: str, now: str) -> bool:
        with translating_errors(self._server):
            return await self._server.is_another(before, now)
