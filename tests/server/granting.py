"""Give rights and take them, as `smtd user` does while the server runs."""

from __future__ import annotations

from anyio import to_thread

from smtd.server.accounts.rights import Right
from smtd.server.project_rights import ProjectRights
from tests.build import PROJECT
from tests.server.served import Client, Served
from tests.server.waiting import until_status


async def grant(served: Served, right: Right, project: str = PROJECT) -> Client:
    """Give bob *right*, and return him when it counts."""
    await to_thread.run_sync(ProjectRights(served.store).set, project, "bob", right)
    bob = served.client("bob")
    await until_status(bob, 403 if right is Right.NONE else 200, f"records/{project}/")
    return bob
