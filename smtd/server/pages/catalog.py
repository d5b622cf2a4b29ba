"""The projects and records of the server as one of its users may see them, a few large ones at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus

import anyio

from smtd.records.record import Key, Record
from smtd.server.accounts.rights import Right
from smtd.server.caller import Caller
from smtd.server.database import ServedDatabase
from smtd.server.memory import ProjectInfo
from smtd.server.pages.dispatch import PageRequest
from smtd.server.pages.indexing import Indexing
from smtd.server.records_api import CONCURRENT_READS
from smtd.web.answers import PageError
from smtd.web.records.catalog import Progress, ProjectHead, Sides
from smtd.web.records.index import SearchIndex

_VERBS = {Right.READ: "read", Right.WRITE: "change"}


class Reading:
    """Reads from *database* for pages."""

    def __init__(self, database: ServedDatabase) -> None:
        self.database = database
        self._at_once = anyio.Semaphore(CONCURRENT_READS)

    def project(self, caller: Caller, project: str, right: Right = Right.READ) -> ProjectInfo:
        """Return *project* if *caller* has *right* in it. Raises PageError."""
        info = self.database.projects.get(project)
        if info is None:
            raise PageError(HTTPStatus.NOT_FOUND, f"There is no project {project}.")
        if not caller.may(right, project):
            who = caller.username or "Who is not logged in"
            sentence = f"{who} may not {_VERBS[right]} project {project}; ask its owner for the right."
            raise PageError(HTTPStatus.FORBIDDEN, sentence)
        return info

    def readable(self, caller: Caller) -> list[str]:
        """Return the projects that *caller* may read."""
        return [name for name in self.database.projects if caller.may(Right.READ, name)]

    @asynccontextmanager
    async def record(self, key: Key) -> AsyncIterator[tuple[Record, str]]:
        """Yield the record *key* and its digest for a `with` block. Raises PageError."""
        async with self._at_once:
            current = (await self.database.current_records([key]))[key]
            if current.content.problem:
                sentence = f"Record {key} cannot be read: {current.content.problem}."
                raise PageError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence)
            record, digest = current.record, current.content.digest
            if record is None or digest is None:
                sentence = f"There is no record {key}; it may have been deleted or renamed."
                raise PageError(HTTPStatus.NOT_FOUND, sentence)
            yield record, digest


class ServedCatalog:
    """What the caller of *request* may see of what *reading* reads and *indexing* has."""

    #: A server has one store, so no address names it.
    place: Mapping[str, str] = {}
    others: Sequence[str] = ()

    def __init__(self, request: PageRequest, reading: Reading, indexing: Indexing) -> None:
        self._caller = request.caller
        self._caller_now = request.caller_now
        self._reading = reading
        self._indexing = indexing

    @property
    def index(self) -> SearchIndex:
        return self._indexing.index

    @property
    def projects(self) -> Sequence[str]:
        """The projects that the caller may read, and that the index knows."""
        return [name for name in self._reading.readable(self._caller) if self._indexing.knows(name)]

    def project(self, name: str) -> ProjectHead:
        info = self._reading.project(self._caller, name)
        return ProjectHead(name, info.name, info.description, self.may_edit(name))

    def may_edit(self, project: str) -> bool:
        return self._caller.may(Right.WRITE, project)

    def may_delete(self, project: str) -> bool:
        return self.may_edit(project)

    def record(self, key: Key) -> AbstractAsyncContextManager[tuple[Record, str]]:
        return self._reading.record(key)

    async def sides(self, key: Key) -> Sides | None:
        """Return None: a server knows of no pair."""
        return None

    async def may_still_read(self, project: str) -> bool:
        """Say whether the caller is still logged in, and may read *project*."""
        caller = await self._caller_now()
        return caller is not None and caller.may(Right.READ, project)

    async def progress(self, project: str = "") -> Progress:
        if project:
            return await self._indexing.progress_in(project)
        return await self._indexing.progress()
