"""Ask a server whether a write would be permitted, as far as that changes nothing there."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from smtd.errors import StoreRefused, StoreUnreachable
from smtd.stores.http import link
from smtd.stores.http.session import Session

UNTRIED = "whether this user may write cannot be tried on a Sumatra Server without a trace"


async def on_server(session: Session, name: str, projects: Collection[str]) -> str:
    """Ask the server *name* whether this user may write to each of *projects*, new ones included.

    Returns what could not be tried (empty: nothing). Raises StoreError.
    """
    if await link.find(session, name) is None:
        return UNTRIED
    for project in sorted(projects):
        answer = await session.rehearse(project)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise StoreRefused(
                f"permission denied: this user may not write to project {project} at {name}; ask an owner of"
                f" the project, or an admin, for the right (smtd user grant NAME {project} write)"
            )
        # 412: there is no such project, and this user may create it.
        if answer.status not in (HTTPStatus.OK, HTTPStatus.PRECONDITION_FAILED):
            raise StoreUnreachable(
                f"{name} answers with status {answer.status} when smtd asks for the right to write to"
                f" {project}; see the log of the server"
            )
    return "" if projects else "there is no project yet for which the right to write could be tried"
