"""Tell stories of three to five laptops around one real Sumatra Server, each in a project of its own."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio

from campaigns.campaign import Tally
from campaigns.laptops.story import Server, Story
from smtd.stores import retrying
from smtd.stores.base import Change
from smtd.stores.http import session, writer
from tests.build import key, record
from tests.peers.environments import environment
from tests.peers.server import SumatraServer, serving
from tests.server.process import ServerProcess, server_process
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
        anyio.run(partial(several, directory, range(count), server, tally, progress))
    return tally


def run_at_own_server(directory: Path, count: int, tell: Callable[[str], None]) -> Tally:
    """Tell *count* stories at smtd's own server."""
    tally = Tally("stories")
    with server_process(directory / "server") as process, in_a_hurry():
        anyio.run(partial(several, directory, range(count), OwnServer(process), tally, tell))
    return tally


class OwnServer:
    """smtd's own server, as *process*."""

    def __init__(self, process: ServerProcess) -> None:
        self.url = f"{process.root}records/"
        self._store = process.store

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run *statement* in its database."""
        with closing(sqlite3.connect(self._store)) as db:
            return db.execute(statement, values).fetchall()


async def prepare(server: SumatraServer) -> None:
    """Make what all records share: two projects that make it at once would make it twice, for good."""
    async with ServerPlace(server).open() as store:
        await store.write([Change(key("first"), record("first"), None)])


async def several(
    directory: Path,
    numbers: Iterable[int],
    server: Server,
    tally: Tally,
    progress: Callable[[str], None],
) -> None:
    """Tell the stories of these *numbers*, some at a time."""
    todo = iter(numbers)

    async def work() -> None:
        for number in todo:
            place = directory / str(number)
            await Story(place, number, server, tally).run()
            shutil.rmtree(place)
            tally.count += 1
            if tally.count % SHARE == 0:
                progress(f"{tally.count:,} stories, {len(tally.wrong)} things wrong")

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(work)


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """Let a server that is near be waited for as near as it is: a twentieth of the time.

    Waits for other laptops stay as they are: they must be longer than a write takes.
    """
    with ExitStack() as stack:
        for module, name in PAUSES:
            stack.enter_context(patch.object(module, name, getattr(module, name) / HURRY))
        yield
