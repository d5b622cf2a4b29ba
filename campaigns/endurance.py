"""A hundred clients of one server, and a daemon, while records change all the time: nothing may grow."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import anyio
from anyio import to_thread

from bench.laptops import Laptop
from bench.measure import CommandFailed, cpu_seconds
from campaigns.campaign import Tally
from campaigns.comparing import differing, held
from campaigns.growth import Growth
from smtd.server.accounts import users_file
from smtd.server.accounts.users_file import Account
from smtd.server.changes_api import MOST_STREAMS
from smtd.stores.access import Access
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, record
from tests.daemon.process import DaemonProcess, daemon_process
from tests.server import bulk
from tests.server.process import ServerProcess, server_process
from tests.server.served import HASH, PASSWORD, Client
from tests.stores.places import DjangoPlace

SEED = 20261203
#: Clients, records that they edit, and changes a second over all.
CLIENTS, RECORDS, RATE = 100, 2000, 10
#: Each change of this number is made in the daemon's store, the others at the server.
OWN_EVERY = 20
#: Shares of creations and deletions among the changes; the rest are edits.
CREATIONS, DELETIONS = 0.1, 0.1
#: Records that were created, below which none is deleted.
FEW = 20
#: Seconds between two looks at the processes, at most.
LOOK = 5.0
#: Seconds within which a change must have come to all clients; at the end, to the daemon's store, too.
LONGEST_LAG = 15.0
#: Seconds before a client whose stream has ended asks for another.
PAUSE = 0.1
#: The percentiles of the lags to report.
SHARES = {"p50": 0.5, "p99": 0.99, "longest": 1.0}
#: Lines of one `records:write`.
LINES = 500


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Change records for *count* seconds."""
    tally = Tally("seconds")
    with server_process(directory / "server", start=False) as server:
        users = [f"user-{number}" for number in range(math.ceil(CLIENTS / MOST_STREAMS))]
        added = {name: Account(name, HASH, everywhere="write") for name in [*users, "ada"]}
        users_file.edit(server.directory / "users", lambda before: {**before, **added})
        server.start()
        anyio.run(partial(_endure, directory, server, users, count, tally, progress))
    return tally


async def _endure(
    directory: Path,
    server: ServerProcess,
    users: list[str],
    seconds: int,
    tally: Tally,
    progress: Callable[[str], None],
) -> None:
    async with AsyncExitStack() as stack:
        lags = Lags(tally)
        clients = []
        for number in range(CLIENTS):
            session = await stack.enter_async_context(aiohttp.ClientSession())
            name = users[number % len(users)]
            login = {"Authorization": aiohttp.encode_basic_auth(name, PASSWORD)}
            clients.append(Listener(Client(server.root, session, login), 0, lags=lags))
        await _fill(clients[0].client)
        place = DjangoPlace(directory / "store.sqlite")
        daemon = await stack.enter_async_context(_daemon(directory / "daemon", place, server))
        group = await stack.enter_async_context(anyio.create_task_group())
        for client in clients:
            await group.start(client.stay)
        endurance = Endurance(server, daemon, place, clients, lags, tally)
        await endurance.work(seconds, progress)
        group.cancel_scope.cancel()
    endurance.judge()


async def _fill(client: Client) -> None:
    """Make the records."""
    await client.make()
    lines = [bulk.wanted(record(f"run-{number}")) for number in range(RECORDS)]
    for start in range(0, RECORDS, LINES):
        await bulk.write(client, *lines[start : start + LINES])


@asynccontextmanager
async def _daemon(directory: Path, place: DjangoPlace, server: ServerProcess) -> AsyncIterator[DaemonProcess]:
    """Run a daemon that mirrors *place* to the server, and has what is there."""
    await anyio.Path(directory).mkdir()
    text = "\n".join(
        [
            *("[stores.laptop]", f"location = {json.dumps(str(place.path))}"),
            *("[stores.lab]", f"location = {json.dumps(server.address)}"),
            *("[pairs.pair]", 'left = "laptop"', 'right = "lab"', f'projects = ["{PROJECT}"]'),
            # In half an hour more is deleted than smtd carries without asking.
            *('max_deletes = { count = 1000000, share = "100%" }', ""),
        ]
    )
    await place.put(record("own-0"))
    with daemon_process(directory, text, start=False) as daemon:
        daemon.config.chmod(0o600)  # it has a password
        await to_thread.run_sync(daemon.start)
        pair = await to_thread.run_sync(daemon.sync)
        assert pair["ok"], pair
        yield daemon


@dataclass
class Lags:
    """When each word was written, until all have it; and how long that took, by where and milliseconds."""

    tally: Tally
    sent: dict[str, float] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    taken: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def write(self, word: str) -> None:
        """Note that *word* is written now; up to its last blank it says where."""
        self.sent[word] = anyio.current_time()
        self.missing[word] = CLIENTS

    def came(self, word: str) -> None:
        """Note that a client has received *word*."""
        if word in self.sent:
            lag = anyio.current_time() - self.sent[word]
            self.taken[word.rpartition(" ")[0]][round(lag * 1000)] += 1
            self.missing[word] -= 1
            if not self.missing[word]:
                del self.sent[word], self.missing[word]

    def late(self) -> None:
        """Report each word that has not come to all in time, and forget it."""
        limit = anyio.current_time() - LONGEST_LAG
        for word in [word for word, since in self.sent.items() if since < limit]:
            del self.sent[word]
            self.tally.differences.append(
                f"{word} has not come to {self.missing.pop(word)} clients within {LONGEST_LAG:.0f} s"
            )

    @property
    def summary(self) -> list[str]:
        """How long it took, in words."""
        return [
            f"lag of {where} "
            + ", ".join(f"{name} {_share(taken, share)} ms" for name, share in SHARES.items())
            for where, taken in sorted(self.taken.items())
        ]


def _share(taken: Counter[int], share: float) -> int:
    """Return the milliseconds within which this *share* of all was received."""
    passed, wanted = 0, share * taken.total()
    for lag, count in sorted(taken.items()):
        passed += count
        if passed >= wanted:
            return lag
    return 0


@dataclass
class Listener(Laptop):
    """A client that listens for good, and remembers nothing that it has received."""

    lags: Lags = field(kw_only=True)
    cursor: int = 0

    async def stay(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Listen from now on, and again where a stream ends, until cancelled."""
        self.cursor = (await self.client.changes("now")).json["next"]
        task_status.started()
        while True:
            try:
                await self.listen(self.cursor)
            except (CommandFailed, aiohttp.ClientError, TimeoutError):
                self.lags.tally.counts["streams that ended"] += 1
                await anyio.sleep(PAUSE)

    def take(self, change: Any) -> None:
        self.cursor = change["seq"]
        if "record" in change:
            self.lags.came(change["record"]["outcome"])


@dataclass
class Endurance:
    """The work of *clients*, and of the daemon's store at *place*; and what the two processes take."""

    server: ServerProcess
    daemon: DaemonProcess
    place: DjangoPlace
    clients: list[Listener]
    lags: Lags
    tally: Tally
    extra: list[str] = field(default_factory=list)
    cpu: float = 0.0

    def __post_init__(self) -> None:
        self._chance = Random(SEED)
        self._growth = {"server": Growth("server"), "daemon": Growth("daemon")}

    async def work(self, seconds: int, progress: Callable[[str], None]) -> None:
        """Change records for *seconds*; then wait until each client and the daemon has every change."""
        began, cpu = anyio.current_time(), cpu_seconds(self.server.pid)
        look = began
        async with anyio.create_task_group() as group:
            for number in range(seconds * RATE):
                await anyio.sleep_until(began + number / RATE)
                group.start_soon(self._change, number)
                if anyio.current_time() >= look:
                    look = anyio.current_time() + min(LOOK, seconds / 20)
                    self._look(f"{anyio.current_time() - began:.0f} of {seconds} s", progress)
        self.tally.count = round(anyio.current_time() - began)
        self.cpu = (cpu_seconds(self.server.pid) - cpu) / (anyio.current_time() - began)
        await self._rest()

    async def _rest(self) -> None:
        """Wait until all changes have come to all clients, and to the daemon's store."""
        until = anyio.current_time() + LONGEST_LAG
        while (differ := await self._differing()) or self.lags.sent:
            if anyio.current_time() > until:
                self.tally.differences += [f"the daemon's store differs in {label}" for label in differ]
                return
            await anyio.sleep(0.1)

    async def _change(self, number: int) -> None:
        """Change a record by one of the clients, or in the daemon's store."""
        where = "the clients" if number % OWN_EVERY else "the daemon's store"
        word = f"{where} {number}"
        client = self.clients[number % len(self.clients)].client
        choice = self._chance.random()
        if number % OWN_EVERY == 0:
            self.lags.write(word)
            await self.place.put(record(f"own-{number % RECORDS}", outcome=word))
            self.tally.counts["changes of the daemon's store"] += 1
        elif choice < CREATIONS:
            self.lags.write(word)
            self._expect(await client.put(record(f"extra-{number}", outcome=word)), 201)
            self.extra.append(f"extra-{number}")
            self.tally.counts["creations"] += 1
        elif choice < CREATIONS + DELETIONS and len(self.extra) > FEW:
            self._expect(await client.ask("DELETE", f"records/{PROJECT}/{self.extra.pop(0)}/"), 204)
            self.tally.counts["deletions"] += 1
        else:
            self.lags.write(word)
            self._expect(await client.put(record(f"run-{number % RECORDS}", outcome=word)), 200)
            self.tally.counts["edits"] += 1

    def _expect(self, reply: Any, status: int) -> None:
        if reply.status != status:
            self.tally.differences.append(f"{reply.status} instead of {status}: {reply.body!r}")

    def _look(self, moment: str, progress: Callable[[str], None]) -> None:
        self.lags.late()
        self._growth["server"].look(self.server)
        self._growth["daemon"].look(self.daemon)
        took = ", ".join(f"{name} {growth.memory[-1] >> 20} MiB" for name, growth in self._growth.items())
        progress(f"{moment}, {took}, {self.tally.wrong_so_far()}")

    async def _differing(self) -> list[str]:
        """Return the labels that differ between the server and the daemon's store."""
        access = Access(username="ada", password=PASSWORD)
        location = Location(HTTP, Path(), None, access, f"{self.server.root}records/")
        async with self.place.open() as here, open_store(location) as there:
            differ = differing(await held(here), await held(there))
        return sorted(key.label for key in differ)

    def judge(self) -> None:
        """Compare what the processes took, and note how long changes took."""
        self.lags.late()
        self.tally.notes.append(f"{CLIENTS} clients")
        for growth in self._growth.values():
            growth.judge(self.tally)
        self.tally.notes += [*self.lags.summary, f"{self.cpu:.0%} of a core for the server"]
