"""Keep two requests from creating a row that records share at the same time.

A Sumatra Server would create it twice, and then reject every record that shares it, for good. `RowsInFlight`
is for the requests of one process. Between clients, it matters on a new server: the first record creates rows
that all records share. So each smtd first creates its project, which shows that it is there, and then looks
for others. Of any two, at least one sees the other. A client that sees no other starts at once; the
others wait until there is a record, or until it is their turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple

import anyio

from smtd.records import documents
from smtd.stores.http.other_clients import OtherClients
from smtd.stores.http.session import Session

#: The number of listings after which smtd starts in any case: the first client may have gone away.
LISTINGS = 4
#: The server's date for a project without records.
_NEVER = "1970-01-01T00:00:00"


class ProjectListing(NamedTuple):
    """The *projects* that a server lists for this user, if it can; *begun*: one of them has records."""

    projects: frozenset[str]
    begun: bool


async def list_projects(asked: Session) -> ProjectListing | None:
    """Return the projects that the server *asked* lists (None: it has records in one, so it is not new)."""
    answer = await asked.get()
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return ProjectListing(
            frozenset(), begun=True
        )  # the server fails while one project is empty and another is not
    entries = await asked.understood(_entries, answer.body)
    if any(not str(entry.get("last_updated")).startswith(_NEVER) for entry in entries):
        return None
    return ProjectListing(frozenset(str(entry.get("id")) for entry in entries), begun=False)


async def wait_for_turn(
    asked: Session, project: str, others: OtherClients, sleep: Callable[[float], Awaitable[None]]
) -> bool:
    """Wait until smtd may create records in *project*, which it has just created; say if it had to wait."""
    there = await list_projects(asked)
    if there is None or (not there.begun and there.projects <= {project}):
        return False
    for _ in range(LISTINGS):
        await sleep(others.pause)
        there = await list_projects(asked)
        if there is None or there.begun or min(there.projects, default=project) >= project:
            break
    return True


def _entries(body: bytes) -> list[dict[str, object]]:
    """Return the projects in a listing; none if it is not one: reading the project will report that."""
    try:
        found = documents.read(body, doubled=documents.refuse)
    except (ValueError, RecursionError, MemoryError):
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


class RowsInFlight:
    """The rows that the server has by now, and those that requests are creating, as digests."""

    def __init__(self) -> None:
        self._made: set[bytes] = set()
        self._making: set[bytes] = set()
        self._changed = anyio.Condition()

    @asynccontextmanager
    async def making(self, rows: frozenset[bytes]) -> AsyncIterator[None]:
        """Wait until no other request creates one of *rows*, and keep others from that during the block."""
        async with self._changed:
            while self._making & rows:
                await self._changed.wait()
            new = rows - self._made
            self._making |= new
        try:
            yield
            self._made |= new
        finally:
            self._making -= new
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._changed.notify_all()
