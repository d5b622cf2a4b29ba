"""Several processes of `smtd serve` on one PostgreSQL database, under load."""

from __future__ import annotations

import signal
from contextlib import suppress
from itertools import chain, cycle
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import anyio
import pytest
from anyio import to_thread

from campaigns.campaign import Tally
from campaigns.serve.followers import Follower, Listener
from campaigns.serve.ledger import NOTHING, Held, Ledger
from campaigns.serve.writers import Neighbour, Owner, Sharer, new_words, path
from tests.build import record
from tests.daemon.process import wait_until
from tests.sampling import SOAK
from tests.server.process import ServerProcess
from tests.server.served import Client, Reply
from tests.server.waiting import PATIENCE, in_thread
from tests.servers.clients import clients, sharing, until_entered
from tests.servers.place import PostgresqlPlace, place_of
from tests.servers.served import served
from tests.servers.server import Database, DatabaseServer

SEED = 27
WRITERS, LABELS, ROUNDS = 50, 20, 4
#: How often one of two servers is killed, and before each kill the least seconds of load, answers, and writes
#: past the servers.
KILLS, LOAD, ANSWERS, WRITES = (6 if SOAK else 3), 0.7, 25, 2


async def append(sharer: Sharer, client: Client, rounds: int) -> None:
    """Append words to labels that others append to as well."""
    for _ in range(rounds):
        label = sharer.chance.choice(sharer.labels)
        await sharer._append(client, label, await client.get(path(label)))


async def held_at(client: Client, labels: list[str]) -> dict[str, Held]:
    """Return what *client* finds under each label."""
    found = {}
    for label in labels:
        reply = await client.get(path(label))
        assert reply.status in (200, 404), reply.body
        found[label] = Held(reply.json["outcome"], reply.etag) if reply.status == 200 else NOTHING
    return found


async def caught_up(followers: list[tuple[Follower, Client]]) -> None:
    """Let *followers* read the feed to its present end."""
    with anyio.fail_after(PATIENCE):
        for follower, client in followers:
            await follower.catch_up(client, (await client.changes(0)).json["next"])


async def until_committed(database: Database) -> None:
    """Wait until PostgreSQL has done what a killed process still told it to."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    asked = f"SELECT 1 FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND {others}"
    await to_thread.run_sync(wait_until, lambda: not database.run(asked))


def digests(held: dict[str, Held]) -> dict[str, str]:
    return {label: one.etag.strip('"') for label, one in held.items() if one.etag}


async def test_fifty_writers_through_two_processes_lose_no_word(servers: list[ServerProcess]) -> None:
    """Nor does a follower miss a change, at whichever process, or get a number for two of them."""
    ledger = Ledger(Tally("writers"))
    labels, words = [f"label-{number}" for number in range(LABELS)], new_words()
    sharers = [Sharer(labels, ledger, Random(SEED + number), words) for number in range(WRITERS)]
    async with sharing(servers) as (first, second):
        kinds = (Follower, Listener, Follower, Listener)
        followers = [
            (kind(f"{kind.__name__} {number}", ledger, number > 1), client)
            for client in (first, second)
            for number, kind in enumerate(kinds)
        ]
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for follower, client in followers:
                    group.start_soon(follower.follow, client)
                async with anyio.create_task_group() as writers:
                    for sharer, client in zip(sharers, cycle([first, second]), strict=False):
                        writers.start_soon(append, sharer, client, ROUNDS)
                group.cancel_scope.cancel()
        there = await held_at(first, labels)
        for label, now in there.items():
            ledger.found_shared(label, now)
        # Each also goes on at the other process than before.
        newcomer = (Follower("a newcomer", ledger, False), second)
        others = [(follower, second if client is first else first) for follower, client in followers]
        await caught_up([newcomer, *others])

        assert await held_at(second, labels) == there
        assert ledger.tally.wrong == []
        assert {follower.name: follower.held for follower, _ in [newcomer, *others]} == {
            follower.name: digests(there) for follower, _ in [newcomer, *others]
        }
        assert ledger.tally.counts["answers to writers"] == WRITERS * ROUNDS


@pytest.mark.slow
async def test_killed_process_loses_nothing_that_it_acknowledged(
    servers: list[ServerProcess], database: Database
) -> None:
    """Nor does the other, which goes on; programs that write beside both are in the feed, too."""
    siege = Siege(servers, database)
    async with sharing(servers) as (first, _):
        for turn in range(KILLS):
            async with sharing(servers) as both:
                await siege.load(both, killed=servers[1])
            await until_committed(database)
            await siege.check(first)
            await to_thread.run_sync(servers[1].start)
            assert siege.ledger.tally.wrong == [], turn

        assert siege.ledger.tally.counts["answers to writers"] > 20 * KILLS
        assert siege.ledger.tally.counts["writes past the server"] > KILLS
        assert "followers that had to start again" not in siege.ledger.tally.counts


class UntilOver(Client):
    """A client that sends nothing any more once the load is over, and hears the answer to what it has sent.

    What a client no longer waits for, a busy server may still do while the records are compared.
    """

    is_over = False

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        if self.is_over:
            raise aiohttp.ClientError("the load is over")
        return await super().ask(method, path, body, **headers)


class Siege:
    """Clients of two servers, of which one is killed again and again."""

    def __init__(self, servers: list[ServerProcess], database: Database) -> None:
        self.ledger = ledger = Ledger(Tally("kills"))
        self._database = database
        words = new_words()
        self._owned = [[f"run-{owner}-{number}" for number in range(6)] for owner in range(8)]
        self._shared = [f"shared-{number}" for number in range(3)]
        self._past = [f"past-{number}" for number in range(6)]
        ledger.elsewhere.update(self._past)
        self._writers: list[Owner | Sharer] = [
            *(Owner(labels, ledger, Random(SEED + at), words) for at, labels in enumerate(self._owned)),
            *(Sharer(self._shared, ledger, Random(SEED - at), words) for at in range(4)),
        ]
        self._neighbour = Neighbour(self._past, place_of(database), ledger, Random(SEED), words)
        self._followers = [
            Follower("at the first", ledger, True),
            Listener("at the second", ledger, True),
            Follower("at the second, asking", ledger, False),
        ]

    async def load(self, both: list[Client], killed: ServerProcess) -> None:
        """Write through *both*, and past them, until one is *killed*, and a little longer."""
        first, second = both
        senders = [UntilOver(each.root, each.session, each.login) for each in both]
        self._neighbour.is_over = lambda: senders[0].is_over
        async with anyio.create_task_group() as listening:
            for follower, client in zip(self._followers, (first, second, second), strict=True):
                listening.start_soon(self._until_cut, follower.follow, client)
            async with anyio.create_task_group() as writing:
                for writer, client in zip(self._writers, cycle(senders), strict=False):
                    writing.start_soon(self._until_cut, writer.write, client)
                writing.start_soon(self._neighbour.write, first)
                await self._loaded()
                killed.signal(signal.SIGKILL)
                await to_thread.run_sync(killed.ended)
                await anyio.sleep(LOAD / 2)
                for each in senders:
                    each.is_over = True
            listening.cancel_scope.cancel()

    async def _loaded(self) -> None:
        """Wait until enough was written for a kill to meet something."""
        counts, before = self.ledger.tally.counts, self.ledger.tally.counts.copy()
        await anyio.sleep(LOAD)
        while (  # noqa: ASYNC110 - there is no event
            counts["answers to writers"] < before["answers to writers"] + ANSWERS
            or counts["writes past the server"] < before["writes past the server"] + WRITES
        ):
            await anyio.sleep(0.05)

    async def _until_cut(self, work: Any, client: Client) -> None:
        with suppress(aiohttp.ClientError):
            await work(client)

    async def check(self, client: Client) -> None:
        """Compare records and feed with what the clients know."""
        await until_entered(self._database)
        found = await held_at(client, [*self._shared, *self._past, *chain.from_iterable(self._owned)])
        for label, now in found.items():
            (self.ledger.found_shared if label in self._shared else self.ledger.found)(label, now)
        await caught_up([(follower, client) for follower in self._followers])
        for follower in self._followers:
            if follower.held != digests(found):
                self.ledger.differs(f"{follower.name} differs")


async def test_each_process_shows_what_the_other_acknowledged(servers: list[ServerProcess]) -> None:
    """Projects, records, listings and the end of the feed: at once."""
    async with sharing(servers) as both:
        for number, (writer, reader) in enumerate(zip(cycle(both), cycle(both[::-1]), strict=False)):
            if number == 10:
                break
            project = f"P{number}"
            assert (await writer.make(project)).status == 201
            assert (await writer.put(record("one"), project)).status == 201
            read = await reader.get(f"records/{project}/one/")
            listed = await reader.get(f"records/{project}/")
            assert (read.status, len(listed.json["records"])) == (200, 1)
            assert (await reader.put(record("one", outcome="x"), project, If_Match=read.etag)).status == 200
            assert (await writer.get(f"records/{project}/one/")).json["outcome"] == "x"
            since = (await writer.changes("now")).json["next"]
            assert (await reader.changes(since)).json == {"changes": [], "next": since, "more": False}


async def test_cursor_of_one_process_is_good_at_another_that_starts_later(
    servers: list[ServerProcess],
) -> None:
    """Each start opens an era; nobody has to begin again."""
    async with sharing(servers) as (first, second):
        await first.put(record("one"))
        cursor = (await first.changes()).json["next"]
        await to_thread.run_sync(servers[1].restart)
    async with sharing(servers) as (first, second):
        await first.put(record("two"))
        for client in (first, second):
            reply = await client.changes(cursor)
            assert (reply.status, [one["label"] for one in reply.json["changes"]]) == (200, ["two"])


@pytest.mark.slow
async def test_other_process_takes_over_what_other_programs_write(
    servers: list[ServerProcess], database: Database
) -> None:
    """Whichever is killed, the other enters it."""
    place = PostgresqlPlace(database)
    async with sharing(servers):
        pass
    for number, server in enumerate(servers):
        server.signal(signal.SIGKILL)
        await to_thread.run_sync(server.ended)
        await place.put(record(f"past-{number}"))
        await until_entered(database)
        await to_thread.run_sync(server.start)
    async with sharing(servers) as both:
        for client in both:
            labels = [one["label"] for one in (await client.changes()).json["changes"]]
            assert labels == ["past-0", "past-1"]


@pytest.mark.slow
async def test_write_in_the_moment_of_a_takeover_is_found_without_triggers(
    tmp_path: Path, postgresql_server: DatabaseServer
) -> None:
    """In tables that others made: the process that takes over reads all records."""
    database = await to_thread.run_sync(postgresql_server.new)
    place = PostgresqlPlace(database)
    await place.put(record("old"))
    async with (
        in_thread(served(tmp_path / "servers", database, 2)) as (first, second),
        clients([second], "root") as (client,),
    ):
        await to_thread.run_sync(wait_until, lambda: bool(database.run("SELECT 1 FROM smtd_change")))
        first.signal(signal.SIGKILL)
        await to_thread.run_sync(first.ended)
        await place.put(record("new"))

        found: set[str] = set()
        with anyio.fail_after(PATIENCE):
            while found != {"old", "new"}:
                reply = await client.changes(wait=5)
                found = {each["label"] for each in reply.json.get("changes", ())}
