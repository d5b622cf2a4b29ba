"""A real `smtd serve` under load, killed at any moment: nothing acknowledged is lost, and nobody is stuck."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from random import Random

import aiohttp
import anyio
from anyio import to_thread

from campaigns.campaign import Tally
from campaigns.serve.followers import Follower, Listener, Stuck
from campaigns.serve.ledger import NOTHING, Held, Ledger
from campaigns.serve.writers import Neighbour, Owner, Sharer, new_words, path
from smtd.errors import SmtdError
from tests.build import PROJECT
from tests.daemon.process import wait_until
from tests.server.process import ServerProcess, server_process
from tests.server.served import PASSWORD, Client
from tests.stores.places import DjangoPlace

SEED = 20261130
#: Owners and their labels; those who share labels, and these.
OWNERS, LABELS, SHARERS, SHARED = 8, 12, 4, 3
#: Seconds of load before a kill, at the most; after the load, while the server tidies up; and of a start.
LOAD, REST, START = 0.5, (0.9, 1.3), 0.5
#: Seconds for which others write on when it is dead.
AFTER = 0.05
#: Seconds after which a client is stuck.
PATIENCE = 60.0
#: Kills between two reports of progress.
SHARE = 20


def run(directory: Path, count: int, tell: Callable[[str], None]) -> Tally:
    """Kill a server *count* times."""
    tally = Tally("kills")
    with server_process(directory, start=False) as server:
        anyio.run(Siege(server, tally).run, count, tell)
    return tally


class Siege:
    """Clients of a *server* that is killed; the same draws each time, but not the same moments."""

    def __init__(self, server: ServerProcess, tally: Tally) -> None:
        self._server = server
        self._tally = tally
        self._chance = Random(SEED)
        self._ledger = ledger = Ledger(tally)
        self._is_killed = False
        words = new_words()
        self._shared = [f"shared-{number}" for number in range(SHARED)]
        self._owned = [[f"run-{owner}-{number}" for number in range(LABELS)] for owner in range(OWNERS)]
        self._writers: list[Owner | Sharer] = [
            *(
                Owner(labels, ledger, Random(SEED + number), words)
                for number, labels in enumerate(self._owned)
            ),
            *(Sharer(self._shared, ledger, Random(SEED - number), words) for number in range(SHARERS)),
        ]
        # One alone: two programs may not write to the same records of a file at once.
        past = [f"past-{number}" for number in range(LABELS)]
        ledger.elsewhere.update(past)
        self._place = DjangoPlace(server.store)
        self._neighbour = Neighbour(past, self._place, ledger, Random(SEED), words)
        self._followers: dict[str, list[Follower]] = {
            "ada": [Follower("ada asks", ledger, False), Listener("ada listens", ledger, True)],
            "reader": [Follower("reader asks", ledger, True)],
            "root": [Listener("root listens", ledger, False)],
        }

    async def run(self, count: int, tell: Callable[[str], None]) -> None:
        """Kill it *count* times, each time in another way; then end it."""
        ways = self._ways()
        try:
            while self._tally.count < count:
                await next(ways)()
                self._tally.count += 1
                if self._tally.count % SHARE == 0:
                    tell(f"{self._tally.count:,} of {count:,} kills, {len(self._tally.wrong)} things wrong")
            await self.look()
        except AssertionError as exc:
            self._ledger.differs(f"the server does not start again: {exc}")
        else:
            await self._end()

    def _ways(self) -> Iterator[Callable[[], Awaitable[None]]]:
        while True:
            yield self.kill_at_its_start
            for _ in range(2):
                yield self.kill_under_load
                yield self.kill_beside_others
            yield self.kill_at_rest

    async def kill_at_its_start(self) -> None:
        """Kill it while it starts, or makes its store."""
        await to_thread.run_sync(lambda: self._server.start(ready=False))
        await anyio.sleep(self._chance.uniform(0.0, START))
        await self._kill("while it started")

    async def kill_under_load(self) -> None:
        """Kill it while everybody writes."""
        await self._play(self._chance.uniform(0.0, LOAD))

    async def kill_beside_others(self) -> None:
        """Kill it while everybody writes, and a program writes into its file, too."""
        await self._play(self._chance.uniform(0.0, LOAD), beside=True)

    async def kill_at_rest(self) -> None:
        """Kill it when it tidies up after the load."""
        await self._play(self._chance.uniform(0.0, LOAD), self._chance.uniform(*REST))

    async def look(self) -> None:
        """Start it, and compare what there is with what the clients know."""
        await self._start()
        async with aiohttp.ClientSession() as session:
            await self._check(session)

    async def _start(self) -> None:
        self._is_killed = False
        await to_thread.run_sync(self._server.start)

    def _client(self, session: aiohttp.ClientSession, name: str) -> Client:
        return Client(
            self._server.root, session, {"Authorization": aiohttp.encode_basic_auth(name, PASSWORD)}
        )

    async def _play(self, load: float, rest: float | None = None, *, beside: bool = False) -> None:
        """Start it, compare, load it for so many seconds, and kill it, or when it has rested so long.

        With *beside*, somebody writes past it, too, and goes on when it is dead.
        """
        await self._start()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await self._check(session)
            async with anyio.create_task_group() as group:
                for name, followers in self._followers.items():
                    for follower in followers:
                        group.start_soon(self._until_killed, follower.follow, self._client(session, name))
                writers = anyio.CancelScope()
                group.start_soon(self._write, self._client(session, "ada"), writers, beside)
                await anyio.sleep(load)
                if rest is not None:
                    writers.cancel()
                    await anyio.sleep(rest)
                what = "beside others who write" if beside else "under load"
                await self._kill(what if rest is None else "at rest")
                await anyio.sleep(AFTER if beside else 0.0)
                writers.cancel()

    async def _write(self, ada: Client, scope: anyio.CancelScope, beside: bool) -> None:
        """Let all write, until the server is killed or the *scope* is cancelled."""
        with scope:
            async with anyio.create_task_group() as group:
                for writer in [*self._writers, *([self._neighbour] if beside else [])]:
                    group.start_soon(self._until_killed, writer.write, ada)

    async def _until_killed(self, work: Callable[[Client], Awaitable[None]], client: Client) -> None:
        """Do *work*, which ends when the line to the server is cut."""
        try:
            await work(client)
        except aiohttp.ClientError as exc:
            if not self._is_killed:
                self._ledger.differs(f"the line was cut before the kill: {exc!r}")
        except (TimeoutError, Stuck, SmtdError) as exc:
            self._ledger.differs(f"a client is stuck: {exc!r}")

    async def _kill(self, when: str) -> None:
        self._is_killed = True
        self._server.signal(signal.SIGKILL)
        code = await to_thread.run_sync(self._server.ended)
        if code != -signal.SIGKILL:
            self._ledger.differs(f"the server ended by itself, with {code}")
        self._tally.befell[f"kills {when}"] += 1

    async def _check(self, session: aiohttp.ClientSession) -> None:
        """Compare everything, while nobody writes."""
        ada = self._client(session, "ada")
        await ada.make()
        await self._until_entered()
        there = {}
        for label in [*self._shared, *self._neighbour.labels, *chain.from_iterable(self._owned)]:
            reply = await ada.get(path(label))
            if reply.status not in (200, 404):
                self._ledger.differs(f"{label}: {reply.status}: {reply.body!r}")
                continue
            now = Held(reply.json["outcome"], reply.etag) if reply.status == 200 else NOTHING
            if label in self._shared:
                self._ledger.found_shared(label, now)
            else:
                self._ledger.found(label, now)
            if now.etag:
                there[label] = now.etag.strip('"')
        await self._check_listing(ada, set(there))
        await self._check_feed(session, there)

    async def _until_entered(self) -> None:
        """Wait until the server has entered what others wrote into its file."""
        try:
            await to_thread.run_sync(wait_until, self._has_entered_all)
        except AssertionError:
            self._ledger.differs("the server does not enter what others wrote")

    def _has_entered_all(self) -> bool:
        return not self._place.run("SELECT 1 FROM smtd_dirty LIMIT 1")

    async def _check_listing(self, ada: Client, labels: set[str]) -> None:
        listed = (await ada.get(f"records/{PROJECT}/")).json["records"]
        if len(listed) != len(set(listed)):
            self._tally.doubles.append(f"the listing has a label twice: {listed}")
        if (shown := {each.rstrip("/").rpartition("/")[2] for each in listed}) != labels:
            self._ledger.differs(f"the listing differs in {sorted(shown ^ labels)}")

    async def _check_feed(self, session: aiohttp.ClientSession, there: dict[str, str]) -> None:
        """Let somebody new, and all who followed before, read on to the end: all of them have the same."""
        head = (await self._client(session, "ada").changes(0)).json["next"]
        newcomer = Follower("a newcomer", self._ledger, True)
        for name, followers in [("ada", [newcomer]), *self._followers.items()]:
            for follower in followers:
                try:
                    with anyio.fail_after(PATIENCE):
                        await follower.catch_up(self._client(session, name), head)
                except (TimeoutError, Stuck, aiohttp.ClientError) as exc:
                    self._ledger.differs(f"{follower.name} is stuck at {follower.cursor} of {head}: {exc!r}")
                    continue
                if follower.held != there:
                    differ = sorted({label for label, _ in follower.held.items() ^ there.items()})
                    self._ledger.differs(f"{follower.name} differs in {differ}")

    async def _end(self) -> None:
        """End it in an orderly way, and look into its file."""
        self._server.signal(signal.SIGTERM)
        if code := await to_thread.run_sync(self._server.ended):
            self._ledger.differs(f"the server ended with {code}")
        with closing(sqlite3.connect(self._server.store)) as db:
            found = [*db.execute("PRAGMA integrity_check"), *db.execute("PRAGMA foreign_key_check")]
        if found != [("ok",)]:
            self._ledger.differs(f"the database is damaged: {found}")
