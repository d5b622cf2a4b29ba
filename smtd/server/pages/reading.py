"""What pages read: projects and records that the caller may see, a few large ones at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import anyio

from smtd.records.record import Key, Record
from smtd.server.accounts.rights import Right
from smtd.server.caller import Caller
from smtd.server.database import ServedDatabase
from smtd.server.memory import ProjectInfo
from smtd.server.records_api import CONCURRENT_READS
from smtd.web.answers import PageError

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
            if current.problem:
                sentence = f"Record {key} cannot be read: {current.problem}."
                raise PageError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence)
            if current.record is None or current.validator is None:
                sentence = f"There is no record {key}; it may have been deleted or renamed."
                raise PageError(HTTPStatus.NOT_FOUND, sentence)
            yield current.record, current.validator
