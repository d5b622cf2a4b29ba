"""Real Sumatra 0.8.1 in a database that processes of `smtd serve` made and serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from tests.build import PROJECT, record
from tests.peers.environments import Environment
from tests.peers.stores import PeerStore
from tests.server.process import ServerProcess
from tests.servers.clients import clients, until_entered
from tests.servers.server import Database

pytestmark = [pytest.mark.halved, pytest.mark.usefixtures("database_server")]

SERVER = "database_server"

MANY = 5


async def done(database: Database, work: Callable[..., Any], *words: Any, **more: Any) -> None:
    """Let Sumatra do *work*, and wait until a server has entered it."""
    await to_thread.run_sync(lambda: work(*words, **more))
    await until_entered(database)


@pytest.mark.slow
async def test_sumatra_works_beside_the_servers(
    servers: list[ServerProcess], database: Database, tmp_path: Path, django_environment: Environment
) -> None:
    """It minds neither triggers nor index; all that it does is in the feed of each process, once."""
    peer = PeerStore(django_environment, "django", tmp_path / "nothing", url=database.url)
    async with clients(servers, "root") as both:
        assert (await both[0].put(record("ours"))).status == 404, "no project yet"
        await done(database, peer.make_many, PROJECT, MANY)
        assert (await both[-1].put(record("ours"))).status == 201
        await done(database, peer.edit, PROJECT, "ours", outcome="seen")
        await both[0].changes()  # from here on the feed tells this user of deletions
        await done(database, peer.delete, PROJECT, "sweep-00000")

        dumped = await to_thread.run_sync(peer.dump)
        for client in both:
            held = (await client.changes()).json["changes"]
            there = {change["label"] for change in held if change["digest"] is not None}
            assert len(held) == MANY + 1
            assert there == set(dumped[PROJECT]) == {"ours", *(f"sweep-{n:05d}" for n in range(1, MANY))}
            assert (await client.get(f"records/{PROJECT}/ours/")).json["outcome"] == "seen"
