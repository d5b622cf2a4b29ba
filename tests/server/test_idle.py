"""A pair with smtd's own server in a quiet hour: it asks for nothing, and misses nothing."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread

from smtd import wakeup
from smtd.daemon import schedule, worker
from smtd.daemon.notice import Condition
from smtd.daemon.settings import PairSettings
from smtd.daemon.worker import Worker
from smtd.merge.sides import Both
from smtd.stores.django.driver import SQLITE
from smtd.stores.http import feed_api, feed_listener, session
from smtd.stores.location import Location
from tests.build import record
from tests.daemon.working import SETTINGS, put, until_in_sync, working
from tests.server.line import line_to
from tests.server.process import ServerProcess, server_process
from tests.server.served import Client, client_of
from tests.server.test_following import place
from tests.server.test_foreign_writes import copied, run
from tests.server.waiting import until
from tests.servers.process import free_port

#: Seconds of a test that stand for an hour.
HOUR = 3.6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """The server of the lab, which keeps its address."""
    with server_process(tmp_path / "lab", f"[server]\nlisten = '127.0.0.1:{free_port()}'\n") as made:
        yield made


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a client whose server is away are short, as polls are not."""
    monkeypatch.setattr(feed_listener, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(feed_listener, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(schedule, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(schedule, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(session, "SILENCE", 0.5)


@pytest.fixture
async def ada(server: ServerProcess) -> AsyncIterator[Client]:
    """Another client of the server; the project is there already."""
    async with client_of(server.root) as client:
        assert (await client.make()).status == 201
        yield client


@asynccontextmanager
async def mirroring(
    directory: Path,
    root: str,
    settings: PairSettings = SETTINGS,
    note: Callable[[Condition], None] = lambda condition: None,
) -> AsyncIterator[tuple[Worker, Location]]:
    """Give a worker that mirrors a store of one record to the server at *root*, and the store."""
    store = Location(SQLITE, directory / "own.sqlite")
    await put(store, "run")
    async with working(Both(store, place(root)), directory, settings, note) as made:
        await until_in_sync(made, 1)
        yield made, store


async def requests(client: Client) -> int:
    """Return how many requests the server has answered, without the one for this figure."""
    figures = (await client.get("metrics")).body.decode()
    found = re.findall(r"^smtd_server_requests_total\{.*\} (\S+)", figures, re.MULTILINE)
    return sum(int(float(count)) for count in found)


def has(store: Location, label: str) -> Callable[[], Awaitable[bool]]:
    """Return what says whether *store* has the record *label*."""
    asked = f"SELECT 1 FROM django_store_record WHERE label = '{label}'"

    async def found() -> bool:
        return bool(await to_thread.run_sync(run, store.path, asked))

    return found


@pytest.mark.slow
async def test_hour_with_nothing_to_do_costs_two_requests_at_most(
    tmp_path: Path, server: ServerProcess, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All intervals are a thousandth of what they are; meanwhile a monitor is told that all is well."""
    for module, name in ((schedule, "FOLLOWED_POLL"), (schedule, "FALLBACK_POLL"), (worker, "FALLBACK_POLL")):
        monkeypatch.setattr(module, name, getattr(module, name) / 1000)
    noted: list[Condition] = []
    hasty = replace(SETTINGS, poll=SETTINGS.poll / 1000)
    async with mirroring(tmp_path, server.root, hasty, noted.append) as (made, _):
        before = await requests(ada)
        noted.clear()
        await anyio.sleep(HOUR)

        assert await requests(ada) - before - 1 <= 2
        assert made.session.are_followed
        assert len(noted) >= 5
        assert all(each.trouble is None for each in noted)


async def test_first_sync_that_makes_the_project_is_followed_at_once(
    tmp_path: Path, server: ServerProcess
) -> None:
    """The user sees other projects from then on, so the server ends the stream that was open before."""
    async with mirroring(tmp_path, server.root) as (made, store), client_of(server.root, "root") as root:
        await until(partial(is_current, made))

        await root.put(record("more"))
        await until(has(store, "more"))


async def test_change_arrives_after_the_server_restarted(
    tmp_path: Path, server: ServerProcess, ada: Client, fast: None
) -> None:
    """The next poll would be in an hour."""
    async with mirroring(tmp_path, server.root) as (made, store):
        await to_thread.run_sync(server.restart)
        await until(partial(is_current, made))

        await ada.put(record("more"))
        await until(has(store, "more"))


@pytest.mark.slow
async def test_server_that_stays_away_is_noticed(
    tmp_path: Path, server: ServerProcess, ada: Client, fast: None
) -> None:
    """A person sees that the pair is offline, and the pair recovers by itself."""
    async with mirroring(tmp_path, server.root) as (made, _):
        await to_thread.run_sync(server.stop)
        await until(partial(is_in, made, "offline"))

        await to_thread.run_sync(server.start)
        await until(partial(is_current, made))
        await until(partial(is_in, made, "idle"))


async def test_server_that_forgot_all_numbers_is_compared_at_once(
    tmp_path: Path, server: ServerProcess, ada: Client, fast: None
) -> None:
    """As after an upgrade: the client is told that its number is unknown, and looks at everything."""
    async with mirroring(tmp_path, server.root) as (made, store):
        await to_thread.run_sync(server.stop)
        await to_thread.run_sync(run, server.store, "DELETE FROM smtd_era")
        await to_thread.run_sync(server.start)
        await until(partial(is_current, made))

        await ada.put(record("more"))
        await until(has(store, "more"))


@pytest.mark.slow
async def test_server_that_was_restored_gets_back_what_it_lacks(
    tmp_path: Path, server: ServerProcess, ada: Client, fast: None
) -> None:
    """Without a poll, and without a deletion on the laptop."""
    async with mirroring(tmp_path, server.root) as (_, store):
        await to_thread.run_sync(copied, server.store, tmp_path / "backup")
        await ada.put(record("more"))
        await until(has(store, "more"))

        await to_thread.run_sync(copied, tmp_path / "backup", server.store)

        await until(has(Location(SQLITE, server.store), "more"))
        assert await has(store, "more")()


@pytest.mark.slow
async def test_dead_line_is_given_up_after_some_silence(
    tmp_path: Path, server: ServerProcess, ada: Client, fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither end is told that the line is dead; what changed meanwhile comes over the next one."""
    monkeypatch.setattr(feed_api, "SILENCE", 0.5)
    async with (
        line_to(urlsplit(server.root).port or 0) as line,
        mirroring(tmp_path, f"http://127.0.0.1:{line.port}/") as (_, store),
    ):
        line.go_dead()
        await ada.put(record("more"))

        await until(has(store, "more"))


async def test_laptop_that_wakes_up_does_not_wait_for_silence(
    tmp_path: Path, server: ServerProcess, ada: Client, fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept for a week: the time of day has gone on, its timers have not, and its lines are dead."""
    monkeypatch.setattr(wakeup, "CHECK_PERIOD", 0.05)
    async with (
        line_to(urlsplit(server.root).port or 0) as line,
        mirroring(tmp_path, f"http://127.0.0.1:{line.port}/") as (_, store),
    ):
        line.go_dead()
        await ada.put(record("more"))

        monkeypatch.setattr(wakeup, "time", SimpleNamespace(time=lambda: time.time() + 7 * 86_400))

        await until(has(store, "more"))


async def is_current(made: Worker) -> bool:
    """Say whether a change on the server would be announced now."""
    return made.session.are_followed


async def is_in(made: Worker, state: str) -> bool:
    """Say whether the pair is in *state*."""
    return made.status.state == state
