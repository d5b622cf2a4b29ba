"""The records of the server as one of its users may see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from smtd.records.record import Key, Record
from smtd.server.accounts.rights import Right
from smtd.server.pages.dispatch import PageRequest
from smtd.server.pages.indexing import Indexing
from smtd.server.pages.reading import Reading
from smtd.web.records.catalog import Progress, ProjectHead, Sides
from smtd.web.records.index import SearchIndex


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
        """The search index of the server."""
        return self._indexing.index

    @property
    def projects(self) -> Sequence[str]:
        """The projects that the caller may read, and that the index knows."""
        return [name for name in self._reading.readable(self._caller) if self._indexing.knows(name)]

    def project(self, name: str) -> ProjectHead:
        """Return the project *name*. Raises PageError if the caller may not read it."""
        info = self._reading.project(self._caller, name)
        return ProjectHead(name, info.name, info.description, self.may_edit(name))

    def may_edit(self, project: str) -> bool:
        """Say whether the caller may write to *project*."""
        return self._caller.may(Right.WRITE, project)

    def may_delete(self, project: str) -> bool:
        """Say whether the caller may write to *project*."""
        return self.may_edit(project)

    def record(self, key: Key) -> AbstractAsyncContextManager[tuple[Record, str]]:
        """Yield the record *key* and its digest for a `with` block. Raises PageError."""
        return self._reading.record(key)

    async def sides(self, key: Key) -> Sides | None:
        """Return None: a server knows of no pair."""
        return None

    async def may_still_read(self, project: str) -> bool:
        """Say whether the caller is still logged in, and may read *project*."""
        caller = await self._caller_now()
        return caller is not None and caller.may(Right.READ, project)

    async def progress(self, project: str = "") -> Progress:
        """Wait a moment for the index to have all that is committed, and return how far it is.

        Raises PageError unless it knows *project* then.
        """
        if project:
            return await self._indexing.progress_in(project)
        return await self._indexing.progress()
