"""Tell stories of three to five laptops around one real server, each in a project of its own."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio

from campaigns.campaign import Tally
from campaigns.laptops.server import Server
from campaigns.laptops.story import Story
from smtd.stores import retrying
from smtd.stores.base import Change
from smtd.stores.http import session, writer
from tests.build import key, record
from tests.peers.environments import environment
from tests.peers.server import SumatraServer, serving
from tests.server.process import ServerProcess, server_process
from tests.servers.postgresql import postgresql
from tests.servers.served import new_store, served
from tests.servers.server import Database
from tests.stores.server_place import ServerPlace

#: Stories between two reports of progress.
SHARE = 20
#: Stories at a time: much of one is waiting.
AT_ONCE = 4
#: What smtd waits for before it tries again, and how much sooner it does here.
PAUSES = [
    (session, "FIRST_PAUSE"),
    (session, "LONGEST_PAUSE"),
    (retrying, "FIRST_PAUSE"),
    (retrying, "LONGEST_PAUSE"),
    (writer, "PARTIAL_AFTER"),
]
HURRY = 20.0


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Tell *count* stories."""
    tally = Tally("stories")
    with serving(environment("server"), directory / "server", careless=True) as server, in_a_hurry():
        anyio.run(prepare, server)
        meeting = Server([server.url], server.run)
        anyio.run(partial(several, directory, range(count), [meeting] * AT_ONCE, tally, progress))
    return tally


def run_at_own_server(directory: Path, count: int, tell: Callable[[str], None]) -> Tally:
    """Tell *count* stories at smtd's own server."""
    tally = Tally("stories")
    with server_process(directory / "server") as process, in_a_hurry():
        meeting = Server(urls([process]), partial(in_file, process.store))
        anyio.run(partial(several, directory, range(count), [meeting] * AT_ONCE, tally, tell))
    return tally


def run_at_postgresql(directory: Path, count: int, tell: Callable[[str], None]) -> Tally:
    """Tell *count* stories at two processes that serve one PostgreSQL database, and of which one is killed.

    Stories at the same time have databases of their own: a story that is at rest is disturbed by no kill.
    """
    tally = Tally("stories")
    with postgresql() as databases, ExitStack() as stack:
        meetings = [
            stack.enter_context(two_processes(directory / f"servers-{number}", new_store(databases)))
            for number in range(AT_ONCE)
        ]
        stack.enter_context(in_a_hurry())
        anyio.run(partial(several, directory, range(count), meetings, tally, tell))
    return tally


@contextmanager
def two_processes(directory: Path, database: Database) -> Iterator[Server]:
    """Give two processes that serve *database*."""
    with served(directory, database, 2) as processes:
        yield Server(urls(processes), database.run, processes)


def urls(processes: Iterable[ServerProcess]) -> list[str]:
    """Return the addresses of the records at each of *processes*."""
    return [f"{process.root}records/" for process in processes]


def in_file(store: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run *statement* in the database *store*."""
    with closing(sqlite3.connect(store)) as db:
        return db.execute(statement, values).fetchall()


async def prepare(server: SumatraServer) -> None:
    """Make what all records share: two projects that make it at once would make it twice, for good."""
    async with ServerPlace(server).open() as store:
        await store.write([Change(key("first"), record("first"), None)])


async def several(
    directory: Path,
    numbers: Iterable[int],
    servers: Sequence[Server],
    tally: Tally,
    progress: Callable[[str], None],
) -> None:
    """Tell the stories of these *numbers*, one at a time at each of *servers*."""
    todo = iter(numbers)

    async def work(server: Server) -> None:
        for number in todo:
            place = directory / str(number)
            await Story(place, number, server, tally).run()
            shutil.rmtree(place)
            tally.count += 1
            if tally.count % SHARE == 0:
                progress(f"{tally.count:,} stories, {tally.wrong_so_far()}")

    async with anyio.create_task_group() as group:
        for server in servers:
            group.start_soon(work, server)


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """Let a server that is near be waited for as near as it is: a twentieth of the time.

    Waits for other laptops stay as they are: they must be longer than a write takes.
    """
    with ExitStack() as stack:
        for module, name in PAUSES:
            stack.enter_context(patch.object(module, name, getattr(module, name) / HURRY))
        yield
