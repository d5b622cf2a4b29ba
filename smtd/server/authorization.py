"""The rights of a caller, checked as a request arrives, and again in the transaction that carries it out."""

from __future__ import annotations

from http import HTTPStatus

from smtd.server.accounts.rights import Right, User, rights_of
from smtd.server.answers import RequestRefused, challenge
from smtd.server.caller import Caller, Reauthenticate
from smtd.server.database import ServedDatabase
from smtd.server.memory import ProjectInfo
from smtd.server.transaction import WriteTransaction

_ACTIONS = {Right.READ: "read project", Right.WRITE: "change project", Right.OWNER: "delete project"}


async def caller_of(database: ServedDatabase, user: User | None, address: str, anonymous: Right) -> Caller:
    """Return the caller *user* (None: not logged in) at *address*, with the rights that they have by now.

    *anonymous*: the right that everyone has in every project.
    """
    await database.refresh()
    rows = () if user is None else database.rights.get(user.name, ())
    return Caller(user, address, rights_of(user, rows, anonymous))


async def require_right(database: ServedDatabase, caller: Caller, right: Right, project: str) -> ProjectInfo:
    """Return *project* if *caller* has *right* in it. Raises RequestRefused (404: no such project; 403)."""
    info = await database.project(project)
    if info is None:
        raise no_project(project)
    if not caller.may(right, project):
        raise _forbidden(caller, right, project)
    return info


async def current_caller(reauthenticate: Reauthenticate) -> Caller:
    """Return the caller with their current rights. Raises RequestRefused (401) if they are not logged in."""
    caller = await reauthenticate()
    if caller is None or caller.user is None:
        raise challenge()
    return caller


async def check_right(transaction: WriteTransaction, caller: Caller, right: Right, project: str) -> None:
    """Raise RequestRefused (403, 404) if *caller* lacks *right* in *project*, as *transaction* sees it.

    Since the request began, other users may have revoked the right, or deleted and recreated the project. A
    right in all projects counts as *caller* has it: the database does not store it.
    """
    if caller.rights.everywhere < right and await transaction.right(project, caller.username) < right:
        if await transaction.project(project) is None:
            raise no_project(project)
        raise _forbidden(caller, right, project)


def no_project(project: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.NOT_FOUND, f"there is no project {project}")


def _forbidden(caller: Caller, right: Right, project: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.FORBIDDEN, f"{caller.name} has no right to {_ACTIONS[right]} {project}")
