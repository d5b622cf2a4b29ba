"""May a caller do that? Asked when a request comes, and again in the transaction that does it."""

from __future__ import annotations

from http import HTTPStatus

from smtd.server.access import Again, Caller
from smtd.server.accounts.rights import Right
from smtd.server.answers import RequestRefused, challenge
from smtd.server.database import ServedDatabase
from smtd.server.transaction import ProjectInfo, WriteTransaction

_DEEDS = {Right.READ: "read project", Right.WRITE: "change project", Right.OWNER: "delete project"}


def need(database: ServedDatabase, caller: Caller, right: Right, project: str) -> ProjectInfo:
    """Return the *project*, in which the *caller* has that *right*. Raises RequestRefused (403, 404)."""
    info = database.projects.get(project)
    if info is None:
        raise no_project(project)
    if not caller.may(right, project):
        raise _forbidden(caller, right, project)
    return info


async def still(again: Again) -> Caller:
    """Return who asks, and what they may do by now. Raises RequestRefused (401)."""
    caller = await again()
    if caller is None or caller.user is None:
        raise challenge()
    return caller


async def check_right(transaction: WriteTransaction, caller: Caller, right: Right, project: str) -> None:
    """Raise RequestRefused (403, 404) if the *caller* has no such *right* in this moment of a transaction.

    Others may have taken it, or deleted the *project* and made it anew, since the request began.
    """
    if caller.rights.everywhere < right and await transaction.right(project, caller.account) < right:
        if await transaction.project(project) is None:
            raise no_project(project)
        raise _forbidden(caller, right, project)


def no_project(project: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.NOT_FOUND, f"there is no project {project}")


def _forbidden(caller: Caller, right: Right, project: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.FORBIDDEN, f"{caller.name} has no right to {_DEEDS[right]} {project}")
