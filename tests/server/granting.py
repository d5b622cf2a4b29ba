"""Give rights and take them, as `smtd user` does while the server runs."""

from __future__ import annotations

import anyio
from anyio import to_thread

from smtd.server.accounts.rights import Right
from smtd.server.project_rights import ProjectRights
from tests.build import PROJECT
from tests.server.served import Client, Served


async def until(client: Client, status: int, path: str = f"records/{PROJECT}/") -> None:
    """Wait until *client* is answered with *status*."""
    with anyio.fail_after(10):
        while True:
            if (await client.get(path)).status == status:
                return
            await anyio.sleep(0.01)


async def grant(served: Served, right: Right, project: str = PROJECT) -> Client:
    """Give bob *right*, and return him when it counts."""
    await to_thread.run_sync(ProjectRights(served.store).set, project, "bob", right)
    bob = served.client("bob")
    await until(bob, 403 if right is Right.NONE else 200, f"records/{project}/")
    return bob
