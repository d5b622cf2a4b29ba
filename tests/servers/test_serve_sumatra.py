"""Real Sumatra 0.8.1 in a database that processes of `smtd serve` made and serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from anyio import to_thread

from tests.build import PROJECT, record
from tests.daemon.process import wait_until
from tests.peers.environments import Environment
from tests.peers.stores import PeerStore
from tests.server.served import PASSWORD, Client
from tests.servers.served import COUNT, new_store, served
from tests.servers.server import Database, DatabaseServer

pytestmark = pytest.mark.halved

MANY = 5


async def done(database: Database, work: Callable[..., Any], *words: Any, **more: Any) -> None:
    """Let Sumatra do *work*, and wait until a server has entered it."""
    await to_thread.run_sync(lambda: work(*words, **more))
    await to_thread.run_sync(wait_until, lambda: not database.run("SELECT 1 FROM smtd_dirty LIMIT 1"))


@pytest.mark.slow
async def test_sumatra_works_beside_the_servers(
    tmp_path: Path, database_server: DatabaseServer, django_environment: Environment
) -> None:
    """It minds neither triggers nor index; all that it does is in the feed of each process, once."""
    database = await to_thread.run_sync(new_store, database_server)
    context = served(tmp_path / "servers", database, COUNT[database_server.scheme])
    servers = await to_thread.run_sync(context.__enter__)
    try:
        roots = await to_thread.run_sync(lambda: [server.root for server in servers])
        peer = PeerStore(django_environment, "django", tmp_path / "nothing", url=database.url)
        login = {"Authorization": aiohttp.encode_basic_auth("root", PASSWORD)}
        async with aiohttp.ClientSession() as session:
            both = [Client(root, session, login) for root in roots]
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
    finally:
        await to_thread.run_sync(context.__exit__, None, None, None)
