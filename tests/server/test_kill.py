"""kill -9 under load, again and again: what was acknowledged is there, and no number is given twice."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import anyio
from anyio import to_thread

from tests.build import PROJECT, commented, record
from tests.sampling import SOAK
from tests.server.process import ServerProcess
from tests.server.served import PASSWORD, Client, place

KILLS, WRITERS, LABELS = 100 if SOAK else 25, 8, 12


@dataclass
class Witness:
    """What the clients know of all rounds."""

    #: By label: what was acknowledged last, and what was sent since.
    acknowledged: dict[str, str] = field(default_factory=dict)
    sent: dict[str, set[str]] = field(default_factory=dict)
    #: What each number was given for.
    numbers: dict[int, Any] = field(default_factory=dict)
    cursor: str = "0"
    #: What a follower that reads all changes has: by label the digest.
    held: dict[str, str | None] = field(default_factory=dict)

    def told(self, page: Any) -> None:
        """Take in what the feed tells. Fails if a number was given for something else before."""
        for change in page["changes"]:
            seen = self.numbers.setdefault(change["seq"], change)
            assert seen == change
            assert change["seq"] > place(self.cursor)
            self.held[change["label"]] = change["digest"]
        self.cursor = page["next"]


async def write(client: Client, writer: int, turn: int, witness: Witness) -> None:
    """Write until the server is gone; each writer has labels of its own."""
    chance = Random(f"{writer} {turn}")
    for number in range(10_000):
        label = f"run-{writer}-{chance.randrange(LABELS)}"
        outcome = f"{turn}-{number}"
        witness.sent.setdefault(label, set()).add(outcome)
        reply = await client.put(commented(record(label), outcome))
        assert reply.status in (200, 201), reply.body
        witness.acknowledged[label] = outcome
        witness.sent[label] = set()


async def follow(client: Client, witness: Witness) -> None:
    """Follow the feed until the server is gone."""
    while True:
        reply = await client.changes(witness.cursor, wait=5)
        assert reply.status == 200, reply.body
        witness.told(reply.json)


async def until_gone(work: Any) -> None:
    """Do *work* until the line to the server is cut."""
    with suppress(aiohttp.ClientError):
        await work


async def play(client: Client, server: ServerProcess, turn: int, witness: Witness) -> None:
    """Load the server, and kill it in the middle."""
    async with anyio.create_task_group() as group:
        group.start_soon(until_gone, follow(client, witness))
        for writer in range(WRITERS):
            group.start_soon(until_gone, write(client, writer, turn, witness))
        await anyio.sleep(Random(turn).uniform(0.02, 0.3))
        server.signal(signal.SIGKILL)
    await to_thread.run_sync(server.ended)


async def check(client: Client, witness: Witness) -> None:
    """Compare what the server has with what it has acknowledged, and with what its feed tells."""
    listed = (await client.get(f"records/{PROJECT}/")).json["records"]
    assert len(listed) == len(set(listed))
    while (page := (await client.changes(witness.cursor)).json)["changes"]:
        witness.told(page)
    for label, outcome in witness.acknowledged.items():
        reply = await client.get(f"records/{PROJECT}/{label}/")
        assert reply.status == 200, label
        assert reply.json["outcome"] in {outcome, *witness.sent[label]}, label
        assert f'"{witness.held[label]}"' == reply.etag, label
        # What was sent, and not answered, is known to be there or not now.
        witness.acknowledged[label], witness.sent[label] = reply.json["outcome"], set()


async def test_killed_server_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    """A follower that goes on from its number has the same; nothing was told that is not so."""
    witness = Witness()
    login = {"Authorization": aiohttp.encode_basic_auth("ada", PASSWORD)}
    made = await to_thread.run_sync(lambda: ServerProcess(tmp_path))
    try:
        for turn in range(KILLS):
            await to_thread.run_sync(made.start)
            root = await to_thread.run_sync(lambda: made.root)
            async with aiohttp.ClientSession() as session:
                client = Client(root, session, login)
                if turn == 0:
                    await client.make()
                await check(client, witness)
                await play(client, made, turn, witness)
        await to_thread.run_sync(made.start)
        async with aiohttp.ClientSession() as session:
            await check(Client(await to_thread.run_sync(lambda: made.root), session, login), witness)
    finally:
        await to_thread.run_sync(made.close)
    assert len(witness.acknowledged) == WRITERS * LABELS
    assert len(witness.numbers) > KILLS
