"""Kill a real `smtd serve` under load at any moment: it loses no acknowledged write, and no client hangs."""

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
#: Owners, and the labels of each; sharers, and the labels that they share.
OWNERS, LABELS, SHARERS, SHARED = 8, 12, 4, 3
#: Seconds: the longest load before a kill; the rest after the load, while the server tidies up; and the
#: longest time from a start to a kill.
LOAD, REST, START = 0.5, (0.9, 1.3), 0.5
#: Seconds for which another program goes on writing after the kill.
AFTER = 0.05
#: Seconds after which a client counts as stuck.
PATIENCE = 60.0
#: Kills between two reports of progress.
SHARE = 20


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Kill a server *count* times, and return what happened."""
    tally = Tally("kills")
    with server_process(directory, start=False) as server:
        anyio.run(Siege(server, tally).run, count, progress)
    return tally


class Siege:
    """Clients of a *server* that is killed. Each run makes the same random choices, but at other moments."""

    def __init__(self, server: ServerProcess, tally: Tally) -> None:
        self._server = server
        self._tally = tally
        self._chance = Random(SEED)
        self.ledger = ledger = Ledger(tally)
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
        # Only one: two programs may not write to the same records of a file at once.
        past = [f"past-{number}" for number in range(LABELS)]
        ledger.elsewhere.update(past)
        self._place = DjangoPlace(server.store)
        self._neighbour = Neighbour(past, self._place, ledger, Random(SEED), words)
        self._followers: dict[str, list[Follower]] = {
            "ada": [Follower("ada asks", ledger, False), Listener("ada listens", ledger, True)],
            "reader": [Follower("reader asks", ledger, True)],
            "root": [Listener("root listens", ledger, False)],
        }

    async def run(self, count: int, progress: Callable[[str], None]) -> None:
        """Kill the server *count* times, in each of the ways by turns; then stop it."""
        ways = self._ways()
        try:
            while self._tally.count < count:
                await next(ways)()
                self._tally.count += 1
                if self._tally.count % SHARE == 0:
                    progress(f"{self._tally.count:,} of {count:,} kills, {self._tally.wrong_so_far()}")
            await self.look()
        except AssertionError as exc:
            self.ledger.differs(f"the server does not start again: {exc}")
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
        """Kill the server while it starts, or creates its store."""
        await to_thread.run_sync(lambda: self._server.start(ready=False))
        await anyio.sleep(self._chance.uniform(0.0, START))
        await self._kill("while it started")

    async def kill_under_load(self) -> None:
        """Kill the server while all clients write."""
        await self._play(self._chance.uniform(0.0, LOAD))

    async def kill_beside_others(self) -> None:
        """Kill the server while all clients write, and another program writes into its file, too."""
        await self._play(self._chance.uniform(0.0, LOAD), beside=True)

    async def kill_at_rest(self) -> None:
        """Kill the server while it tidies up after the load."""
        await self._play(self._chance.uniform(0.0, LOAD), self._chance.uniform(*REST))

    async def look(self) -> None:
        """Start the server, and compare what it holds with what the clients know."""
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
        """Start and check the server, load it for *load* seconds, and kill it under load, or after a rest.

        *rest*: the seconds between the load and the kill (None: kill it under load). With *beside*, another
        program writes into its file, too, and goes on for AFTER seconds after the kill.
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
        """Run all writers until the server is killed or *scope* is cancelled."""
        with scope:
            async with anyio.create_task_group() as group:
                for writer in [*self._writers, *([self._neighbour] if beside else [])]:
                    group.start_soon(self._until_killed, writer.write, ada)

    async def _until_killed(self, work: Callable[[Client], Awaitable[None]], client: Client) -> None:
        """Do *work* until the kill cuts the connection to the server; report any other error."""
        try:
            await work(client)
        except aiohttp.ClientError as exc:
            if not self._is_killed:
                self.ledger.differs(f"the line was cut before the kill: {exc!r}")
        except (TimeoutError, Stuck, SmtdError) as exc:
            self.ledger.differs(f"a client is stuck: {exc!r}")

    async def _kill(self, when: str) -> None:
        self._is_killed = True
        self._server.signal(signal.SIGKILL)
        code = await to_thread.run_sync(self._server.ended)
        if code != -signal.SIGKILL:
            self.ledger.differs(f"the server ended by itself, with {code}")
        self._tally.counts[f"kills {when}"] += 1

    async def _check(self, session: aiohttp.ClientSession) -> None:
        """Compare all records, the listing and the feed with the ledger, while no client writes."""
        ada = self._client(session, "ada")
        await ada.make()
        await self._until_entered()
        there = {}
        for label in [*self._shared, *self._neighbour.labels, *chain.from_iterable(self._owned)]:
            reply = await ada.get(path(label))
            if reply.status not in (200, 404):
                self.ledger.differs(f"{label}: {reply.status}: {reply.body!r}")
                continue
            now = Held(reply.json["outcome"], reply.etag) if reply.status == 200 else NOTHING
            if label in self._shared:
                self.ledger.found_shared(label, now)
            else:
                self.ledger.found(label, now)
            if now.etag:
                there[label] = now.etag.strip('"')
        await self._check_listing(ada, set(there))
        await self._check_feed(session, there)

    async def _until_entered(self) -> None:
        """Wait until the server has entered what the other program wrote into its file."""
        try:
            await to_thread.run_sync(wait_until, self._has_entered_all)
        except AssertionError:
            self.ledger.differs("the server does not enter what others wrote")

    def _has_entered_all(self) -> bool:
        return not self._place.run("SELECT 1 FROM smtd_dirty LIMIT 1")

    async def _check_listing(self, ada: Client, labels: set[str]) -> None:
        listed = (await ada.get(f"records/{PROJECT}/")).json["records"]
        if len(listed) != len(set(listed)):
            self._tally.doubles.append(f"the listing has a label twice: {listed}")
        if (shown := {each.rstrip("/").rpartition("/")[2] for each in listed}) != labels:
            self.ledger.differs(f"the listing differs in {sorted(shown ^ labels)}")

    async def _check_feed(self, session: aiohttp.ClientSession, there: dict[str, str]) -> None:
        """Let a new follower and all earlier ones read the feed to its end: all must hold what is *there*."""
        head = (await self._client(session, "ada").changes(0)).json["next"]
        newcomer = Follower("a newcomer", self.ledger, True)
        for name, followers in [("ada", [newcomer]), *self._followers.items()]:
            for follower in followers:
                try:
                    with anyio.fail_after(PATIENCE):
                        await follower.catch_up(self._client(session, name), head)
                except (TimeoutError, Stuck, aiohttp.ClientError) as exc:
                    self.ledger.differs(f"{follower.name} is stuck at {follower.cursor} of {head}: {exc!r}")
                    continue
                if follower.held != there:
                    differ = sorted({label for label, _ in follower.held.items() ^ there.items()})
                    self.ledger.differs(f"{follower.name} differs in {differ}")

    async def _end(self) -> None:
        """Stop the server in an orderly way, and check its database."""
        self._server.signal(signal.SIGTERM)
        if code := await to_thread.run_sync(self._server.ended):
            self.ledger.differs(f"the server ended with {code}")
        with closing(sqlite3.connect(self._server.store)) as db:
            found = [*db.execute("PRAGMA integrity_check"), *db.execute("PRAGMA foreign_key_check")]
        if found != [("ok",)]:
            self.ledger.differs(f"the database is damaged: {found}")
