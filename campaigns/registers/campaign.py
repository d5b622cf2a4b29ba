"""Let clients work on a few records while their servers are killed and restarted; judge what they saw."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import aiohttp
import anyio
from anyio import to_thread

from campaigns.campaign import Tally
from campaigns.registers.clients import BulkClient, Hearer, OldClient, Poller, Unanswered, Worker
from campaigns.registers.history import History
from campaigns.registers.operation import Effect, Value, one_of
from campaigns.serve.followers import Follower, Stuck
from campaigns.serve.ledger import Ledger
from campaigns.serve.writers import path
from tests.server.process import ServerProcess, server_process
from tests.server.served import PASSWORD, Client
from tests.servers.postgresql import postgresql
from tests.servers.process import free_port
from tests.servers.served import new_store, served

SEED = 20261201
#: Records; clients of `/records/`, clients of `records:write`, and followers of each kind.
LABELS, OLD, BULK, FOLLOWERS = 4, 6, 4, 2
#: Ends of servers in a round, and the seconds of work before each of them, and after the last.
ENDS, WORK = (1, 2), (0.2, 0.6)
#: Seconds for which a client that found no server waits before it tries again.
PAUSE = 0.01
#: Seconds after which a client counts as stuck.
PATIENCE = 60.0
#: Rounds between two reports of progress.
SHARE = 20


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Judge *count* histories of one server."""
    text = f'[server]\nlisten = "127.0.0.1:{free_port()}"\n'
    with server_process(directory / "server", text) as server:
        return run_at([server], count, progress)


def run_at_postgresql(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Judge *count* histories of two servers of one PostgreSQL database."""
    with postgresql() as databases, served(directory / "servers", new_store(databases), 2) as servers:
        return run_at(servers, count, progress)


def run_at(servers: Sequence[ServerProcess], count: int, progress: Callable[[str], None]) -> Tally:
    """Judge *count* histories of *servers*, which run, and offer the same store at fixed addresses."""
    tally = Tally("histories")
    anyio.run(Registers(servers, tally).run, count, progress)
    return tally


class Registers:
    """Clients that work on the same records of *servers*, which offer one store."""

    def __init__(self, servers: Sequence[ServerProcess], tally: Tally) -> None:
        self._servers = servers
        self._roots = [server.root for server in servers]
        self._tally = tally
        self._chance = Random(SEED)
        self._is_over = False
        labels = [f"run-{number}" for number in range(LABELS)]
        self._history = history = History(labels)
        ledger = Ledger(tally)
        draws = [Random(SEED + number) for number in range(OLD + BULK)]
        self._workers: list[Worker] = [
            *(OldClient(f"old client {number}", history, tally, draws.pop()) for number in range(OLD)),
            *(BulkClient(f"bulk client {number}", history, tally, draws.pop()) for number in range(BULK)),
        ]
        self._followers: list[Follower] = [
            *(Poller(f"poller {n}", ledger, n % 2 == 1, history=history) for n in range(FOLLOWERS)),
            *(Hearer(f"listener {n}", ledger, n % 2 == 1, history=history) for n in range(FOLLOWERS)),
        ]

    async def run(self, count: int, progress: Callable[[str], None]) -> None:
        """Play and judge *count* rounds; then stop the servers."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            session._retry_connection = False  # otherwise aiohttp may send a request twice
            for root in self._roots:
                await Client(root, session, self._client(session).login).make()
            self._history.restart(await self._at_rest(session))
            while self._tally.count < count:
                await self._round(session)
                self._tally.count += 1
                if self._tally.count % SHARE == 0:
                    progress(f"{self._tally.count:,} of {count:,}, {self._tally.wrong_so_far()}")
        for server in self._servers:
            await self._end(server, signal.SIGTERM)

    def _client(self, session: aiohttp.ClientSession) -> Client:
        """Return a client of any of the servers."""
        login = {"Authorization": aiohttp.encode_basic_auth("ada", PASSWORD)}
        return Client(self._chance.choice(self._roots), session, login)

    async def _round(self, session: aiohttp.ClientSession) -> None:
        """Let all work while servers end and start again; then let all come to rest, and judge."""
        self._is_over = False
        with anyio.CancelScope() as following:
            async with anyio.create_task_group() as group:
                for follower in self._followers:
                    group.start_soon(self._follow, follower, session)
                async with anyio.create_task_group() as workers:
                    for worker in self._workers:
                        workers.start_soon(self._work, worker, session)
                    await self._disturb()
                following.cancel()
        values = await self._at_rest(session)
        await self._catch_up(session, values)
        self._tally.differences += await to_thread.run_sync(self._history.violations)
        self._history.restart(values)

    async def _disturb(self) -> None:
        """End servers and start them again while others work; then let these finish what they are at."""
        for _ in range(self._chance.randint(*ENDS)):
            await anyio.sleep(self._chance.uniform(*WORK))
            server = self._chance.choice(self._servers)
            await self._end(server, self._chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            await to_thread.run_sync(server.start)
        await anyio.sleep(self._chance.uniform(*WORK))
        self._is_over = True

    async def _end(self, server: ServerProcess, how: signal.Signals) -> None:
        server.signal(how)
        code = await to_thread.run_sync(server.ended)
        self._tally.counts[how.name] += 1
        if code != (0 if how == signal.SIGTERM else -how):
            self._tally.differences.append(f"the server ended with {code} after {how.name}")

    async def _work(self, worker: Worker, session: aiohttp.ClientSession) -> None:
        """Let *worker* send one request after the other until the round is over."""
        while not self._is_over:
            try:
                with anyio.fail_after(PATIENCE):
                    await worker.work(self._client(session))
            except aiohttp.ClientConnectorError:
                await anyio.sleep(PAUSE)
            except (aiohttp.ClientError, Unanswered):
                self._tally.counts["requests without an answer"] += 1
            except TimeoutError:
                self._tally.differences.append(f"{worker.name} is stuck: {worker.under_way}")

    async def _follow(self, follower: Follower, session: aiohttp.ClientSession) -> None:
        """Let *follower* read the feed, from another server each time one ends, until it is cancelled."""
        while True:
            with suppress(aiohttp.ClientError, Stuck):
                await follower.follow(self._client(session))
            await anyio.sleep(PAUSE)

    async def _at_rest(self, session: aiohttp.ClientSession) -> dict[str, Value]:
        """Return what each record holds while no client works, as each of the servers has it."""
        values: dict[str, Value] = {}
        for root in self._roots:
            client = Client(root, session, self._client(session).login)
            for label in self._history.labels:
                attempt = self._history.begin(f"the end at {root}", label, "GET", Effect())
                reply = await client.get(path(label))
                values[label] = self._history.value(reply.etag.strip('"') if reply.status == 200 else None)
                attempt.answered(Effect(one_of(values[label])), f"{reply.status}, {values[label]}")
        return values

    async def _catch_up(self, session: aiohttp.ClientSession, values: dict[str, Value]) -> None:
        """Let all followers read the feed to its end: they must then hold *values*."""
        head = (await self._client(session).changes(0)).json["next"]
        there = {label: self._history.digest(value) for label, value in values.items() if value is not None}
        for follower in self._followers:
            try:
                with anyio.fail_after(PATIENCE):
                    await follower.catch_up(self._client(session), head)
            except (TimeoutError, Stuck, aiohttp.ClientError) as exc:
                self._tally.differences.append(f"{follower.name} is stuck at {follower.cursor}: {exc!r}")
                continue
            if follower.held != there:
                self._tally.differences.append(f"{follower.name} has {follower.held} instead of {there}")
