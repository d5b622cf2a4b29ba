"""How smtd sends requests: a few at a time, fewer if the server is slow, and never sooner than it says."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial

import anyio
import pytest
from aiohttp import web

from smtd.errors import StoreBusy, StoreUnreachable
from smtd.records import canonical
from smtd.stores import retrying
from smtd.stores.base import DONE
from smtd.stores.http import concurrency, session, writer
from tests.build import PROJECT, full, key, record
from tests.peers import line as faults
from tests.peers.line import Line, line_to
from tests.peers.server import PASSWORD, SumatraServer
from tests.stores.asking import create
from tests.stores.server_place import ServerPlace, on_a_line

pytestmark = pytest.mark.halved


class Crowd:
    """Makes requests wait for each other, and counts how many are there at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def answer(self, line: Line, request: web.BaseRequest) -> web.StreamResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        await anyio.sleep(0.05)
        self.now -= 1
        return await faults.passed(line, request)


async def most_at_once(server: SumatraServer, place: ServerPlace) -> int:
    """Read all records through a line; return the most requests that were under way at once."""
    crowd = Crowd()
    async with on_a_line(server, dict.fromkeys(range(2, 100), crowd.answer)) as (store, _):
        assert len((await store.scan([PROJECT])).digests) == 24
    return crowd.most


async def test_slow_server_gets_fewer_requests_at_once(
    server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight requests at a time; four once an answer took long."""
    place = ServerPlace(server)
    await place.put(*(full(f"run-{number}") for number in range(24)))

    swift = await most_at_once(server, place)
    monkeypatch.setattr(session, "SLOW", 0.0)
    slow = await most_at_once(server, place)

    assert (swift, slow) == (8, 4)


def napping(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace all sleeps from now on; return their lengths, without random pauses."""
    naps: list[float] = []
    sleep = anyio.sleep

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        await sleep(0)

    monkeypatch.setattr(anyio, "sleep", nap)
    monkeypatch.setattr(session, "FIRST_PAUSE", 0.0)
    return naps


@asynccontextmanager
async def asked(line: Line) -> AsyncIterator[session.Session]:
    """Open a session with the server of *line*."""
    login = session.Login("ada", PASSWORD)
    async with session.connect(f"{line.url}/records/", login, session.Trust()) as opened:
        yield opened


async def test_retry_after_is_obeyed(server: SumatraServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As seconds and as a date; after some attempts smtd gives up."""
    naps = napping(monkeypatch)
    soon = datetime.now(timezone.utc) + timedelta(seconds=25)
    async with line_to(server.root) as line, asked(line) as asking:
        line.faults = {
            1: faults.status(503, Retry_After="7"),
            2: faults.status(429, Retry_After=format_datetime(soon.replace(microsecond=0), usegmt=True)),
        }
        assert (await asking.get()).status == 200
        assert [round(nap, -1) for nap in naps if nap > 3] == [10, 20]

        line.faults = dict.fromkeys(range(4, 100), faults.status(503))
        with pytest.raises(StoreUnreachable, match=r"is busy .*a later try may succeed") as told:
            await asking.get()
        assert not isinstance(told.value, StoreBusy)
        assert len(line.requests) == 3 + session.ATTEMPTS


@pytest.mark.parametrize(
    ("retry_after", "told", "meant"),
    [
        ("150", "3 minutes", 150),
        ("31", "31 seconds", 31),
        ("10000", "3 hours", 10_000),
        ("1e300", "24 hours", 86_400),
        ("Fri, 01 Jan 2100 00:00:00 GMT", "24 hours", 86_400),
    ],
)
async def test_long_retry_after_is_left_to_the_caller(
    retry_after: str, told: str, meant: float, server: SumatraServer
) -> None:
    """smtd sends no request until then, neither to read nor to write; the caller gets the time."""
    async with on_a_line(server, {1: faults.status(503, Retry_After=retry_after)}) as (store, line):
        for call in (store.projects, store.projects, partial(store.read, [key("run")])):
            with pytest.raises(StoreBusy, match=f"asks to wait {told}; smtd tries again then") as busy:
                await call()
            assert busy.value.retry_after == pytest.approx(meant, abs=5)

    assert len(line.requests) == 1


async def test_long_retry_after_stops_a_write(server: SumatraServer) -> None:
    """smtd sends no further changes, and reads the outcome of the others later."""

    async def is_busy(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        is_record = request.method == "PUT" and "/run-" in request.path
        return await (faults.status(503, Retry_After="120") if is_record else faults.passed)(line, request)

    async with on_a_line(server, is_busy) as (store, line):
        labels = [f"run-{number}" for number in range(20)]
        with pytest.raises(StoreBusy) as busy:
            await store.write([create(full(label)) for label in labels])

    assert busy.value.retry_after == pytest.approx(120, abs=5)
    sent = [request for request in line.requests if request.startswith("PUT") and "/run-" in request]
    looks = [request for request in line.requests if request.startswith("GET") and "/run-" in request]
    assert 1 <= len(sent) <= concurrency.AT_ONCE
    assert len(looks) == len({*looks}) <= 2 * concurrency.AT_ONCE


@pytest.mark.parametrize("text", ["soon", "nan", "inf", ""])
async def test_invalid_retry_after_is_ignored(
    text: str, server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it were missing."""
    naps = napping(monkeypatch)
    async with line_to(server.root) as line, asked(line) as asking:
        line.faults = {1: faults.status(503, Retry_After=text)}

        assert (await asking.get()).status == 200

    assert naps == [0.0]


async def hangs(_line: Line, _request: web.BaseRequest) -> web.StreamResponse:
    """Answer nothing, and do nothing."""
    await anyio.sleep_forever()
    raise AssertionError


@pytest.mark.slow
async def test_silent_server_gets_one_retry(server: SumatraServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two timeouts are enough, however many requests there are; one answer resets that."""
    monkeypatch.setattr(session, "SILENCE", 1.0)
    async with on_a_line(server) as (store, line):
        line.faults = {1: hangs}
        assert await store.projects() == []
        line.faults = dict.fromkeys(range(1, 1000), hangs)

        for call in (store.projects, partial(store.read, [key(f"run-{number}") for number in range(40)])):
            asked_before = len(line.requests)
            with pytest.raises(StoreUnreachable, match="does not answer; a later try may succeed"):
                await call()
            assert 2 <= len(line.requests) - asked_before <= 2 * concurrency.AT_ONCE

        line.faults = {}
        assert await store.projects() == []


async def test_silent_server_gets_no_further_writes(
    server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd looks once at the outcome of those on their way, and does not send the others."""
    monkeypatch.setattr(session, "SILENCE", 0.2)
    # After the listing, and the new project.
    async with on_a_line(server, dict.fromkeys(range(3, 1000), hangs)) as (store, line):
        labels = [f"run-{number}" for number in range(40)]
        with pytest.raises(StoreUnreachable, match="does not answer"):
            await store.write([create(full(label)) for label in labels])

    assert len([request for request in line.requests if request.startswith("PUT")]) <= 1 + concurrency.AT_ONCE
    assert len(line.requests) <= 2 + 3 * concurrency.AT_ONCE


async def test_hanging_write_is_sent_at_most_twice(
    server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers reads, and hangs at each write, gets one retry."""
    monkeypatch.setattr(session, "SILENCE", 1.0)
    monkeypatch.setattr(retrying, "MAX_SECONDS", 1.9)  # that is over when two have hung
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(retrying, "LONGEST_PAUSE", 0.0)

    async def hang_at_records(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        is_write = request.method == "PUT" and request.path.endswith("/run/")
        return await (hangs if is_write else faults.passed)(line, request)

    server.make_project(PROJECT)  # so that the time is that of the writes
    async with on_a_line(server, hang_at_records) as (store, line):
        with pytest.raises(StoreBusy, match="does not answer"):
            await store.write([create(full("run"))])

    assert len([request for request in line.requests if request.endswith("/run/") and "PUT" in request]) == 2


async def test_unreachable_host_is_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that drops packets costs two timeouts, not four."""
    naps = napping(monkeypatch)
    monkeypatch.setattr(session, "CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as crowd:
        address = deaf.getsockname()
        for _ in range(2):  # there is room for no more
            waiting = crowd.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        async with session.connect(f"http://127.0.0.1:{address[1]}/", None, session.Trust()) as asking:
            with pytest.raises(StoreUnreachable, match="does not answer"):
                await asking.get()

    assert len(naps) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_writing_request_is_sent_once(method: str, server: SumatraServer) -> None:
    """Whatever happened to it: only smtd, which looks first, may send it again."""
    async with line_to(server.root) as line:
        url = f"{line.url}/records/"
        async with session.connect(url, None, session.Trust()) as asking:
            await asking.get(PROJECT)  # so that there is a connection to reuse
            line.faults = dict.fromkeys(range(2, 100), faults.lost)

            with pytest.raises(StoreUnreachable):
                await (
                    asking.put(b"{}", PROJECT, "run") if method == "PUT" else asking.delete(PROJECT, "run")
                )

    assert line.requests == [f"GET /records/{PROJECT}/", f"{method} /records/{PROJECT}/run/"]


@pytest.mark.parametrize("shown", ["never", "as if it were whole"])
async def test_partial_record_is_removed_and_sent_again(
    shown: str, server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd removes what a server left that failed in the middle of a record."""
    monkeypatch.setattr(writer, "PARTIAL_AFTER", 0.0)

    async def stump(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        await line.ask(request)
        place.run("INSERT INTO django_store_launchmode (type, parameters) VALUES ('NoSuchMode', '{}')")
        place.run(
            "UPDATE django_store_record SET launch_mode_id = (SELECT max(id) FROM django_store_launchmode)"
        )
        return await faults.reset(line, request)

    place = ServerPlace(server)
    async with on_a_line(server) as (store, line):
        line.faults = {6: stump if shown == "never" else faults.halved}  # after listings, project, look

        (outcome,) = await store.write([create(full("run"))])

        assert line.requests[5].startswith("PUT")
        assert line.requests.count(line.requests[5]) == 2
        assert outcome == DONE, line.requests
        assert (await store.scan([PROJECT])).digests == {key("run"): canonical.digest(full())}


async def test_growing_partial_record_is_left_alone(
    server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is only slow is not disturbed, and completes the record."""

    stages = iter((full("run", dependencies=()), full("run")))

    async def wait(_seconds: float) -> None:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(anyio, "sleep", sleep)
            await place.remove("run")
            await place.put(next(stages))

    place, sleep = ServerPlace(server), anyio.sleep
    async with on_a_line(server) as (store, line):
        line.faults = {6: faults.halved}
        monkeypatch.setattr(anyio, "sleep", wait)

        (outcome,) = await store.write([create(full("run"))])

    assert outcome == DONE
    assert [request for request in line.requests if request.split()[0] == "DELETE"] == []


async def test_writes_under_way_are_waited_for_when_one_fails(
    server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd must not miss what a server is still doing, and send it again."""
    monkeypatch.setattr(writer, "PARTIAL_AFTER", 0.0)
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(retrying, name, 0.0)

    async def one_fails(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PUT" and line.requests.count(f"PUT {request.path}") == 1:
            if request.path.endswith("/run-3/"):
                return await faults.reset(line, request)
            await anyio.sleep(0.3)
        return await faults.passed(line, request)

    labels = [f"run-{number}" for number in range(concurrency.AT_ONCE_IF_SLOW)]
    place = ServerPlace(server)
    async with on_a_line(server) as (store, line):
        await store.write([create(record("first"))])  # creates the shared rows
        line.faults = dict.fromkeys(range(1, 1000), one_fails)
        outcomes = await store.write([create(record(label)) for label in labels])

    assert outcomes == [DONE] * len(labels)
    sent = [request for request in line.requests if request.startswith("PUT") and "/run-" in request]
    assert sorted(sent) == sorted([f"PUT /records/{PROJECT}/{label}/" for label in (*labels, "run-3")])
    assert place.run("SELECT count(*) FROM django_store_record") == [(1 + len(labels),)]
