"""Who begins on a new server, whatever the project: the first record there makes rows that all records share.

Asked for such a row twice at once the server makes it twice, and then refuses every record that shares it. So
each smtd shows that it is there, by making its project, and looks afterwards. Of any two at least one sees
the other then: who sees nobody begins at once, the others wait until a record is there, or it is their turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

from smtd.records import documents
from smtd.stores.http.other_clients import Company
from smtd.stores.http.session import Session

#: Looks after which smtd begins in any case: the first client may have gone away.
LOOKS = 4
#: How the server dates a project without records.
_NEVER = "1970-01-01T00:00:00"


class ProjectListing(NamedTuple):
    """The *projects* that a server shows to its user, as far as it can; *begun*: one of them has records."""

    projects: frozenset[str]
    begun: bool


async def shown(asked: Session) -> ProjectListing | None:
    """Return what the server shows that is *asked* (None: it is established, so there is nothing to heed)."""
    answer = await asked.get()
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return ProjectListing(
            frozenset(), begun=True
        )  # so it does while one project is empty and another is not
    entries = await asked.understood(_entries, answer.body)
    if any(not str(entry.get("last_updated")).startswith(_NEVER) for entry in entries):
        return None
    return ProjectListing(frozenset(str(entry.get("id")) for entry in entries), begun=False)


async def turn(
    asked: Session, project: str, company: Company, sleep: Callable[[float], Awaitable[None]]
) -> bool:
    """Wait until records may be made in *project*, which was just made on a new server; say if it had to."""
    there = await shown(asked)
    if there is None or (not there.begun and there.projects <= {project}):
        return False
    for _ in range(LOOKS):
        await sleep(company.pause)
        there = await shown(asked)
        if there is None or there.begun or min(there.projects, default=project) >= project:
            break
    return True


def _entries(body: bytes) -> list[dict[str, object]]:
    """Return the projects in a listing; none if it is no listing: reading the project says so."""
    try:
        found = documents.read(body, doubled=documents.refuse)
    except (ValueError, RecursionError, MemoryError):
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
