"""How a server is asked: a few requests at a time, fewer if it is slow, and never faster than it says."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from aiohttp import web

from smtd.errors import StoreUnreachable
from smtd.stores.base import DONE, Change
from smtd.stores.http import session
from smtd.stores.locations import Kind, Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, full, key
from tests.peers import line as faults
from tests.peers.line import Line, line_to
from tests.peers.server import SumatraServer
from tests.stores.server_place import ADA, ServerPlace


class Crowd:
    """Lets requests wait for each other, and counts how many are there at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def answer(self, line: Line, request: web.BaseRequest) -> web.StreamResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        await anyio.sleep(0.05)
        self.now -= 1
        return await faults.passed(line, request)


async def most_at_once(server: SumatraServer, place: ServerPlace) -> int:
    """Read all records by a line; return the most requests that were on their way at once."""
    crowd = Crowd()
    async with line_to(f"http://127.0.0.1:{server.port}") as line:
        line.faults = dict.fromkeys(range(2, 100), crowd.answer)
        async with open_store(Location(Kind.HTTP, Path(), None, ADA, f"{line.url}/records/")) as store:
            assert len((await store.scan([PROJECT])).digests) == 24
    return crowd.most


async def test_server_that_slows_down_is_spared(
    server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight requests at a time; four once an answer took long."""
    place = ServerPlace(server)
    await place.put(*(full(f"run-{number}") for number in range(24)))

    swift = await most_at_once(server, place)
    monkeypatch.setattr(session, "SLOW", 0.0)
    slow = await most_at_once(server, place)

    assert (swift, slow) == (8, 4)


async def test_server_that_says_when_is_asked_then(
    server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After counts, as seconds and as a date; and after some attempts it is enough."""
    naps: list[float] = []
    sleep = anyio.sleep

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        await sleep(0)

    await ServerPlace(server).put(full("run"))
    async with line_to(f"http://127.0.0.1:{server.port}") as line:
        location = Location(Kind.HTTP, Path(), None, ADA, f"{line.url}/records/")
        async with open_store(location) as store:
            monkeypatch.setattr(anyio, "sleep", nap)
            line.faults = {
                1: faults.status(503, Retry_After="7"),
                2: faults.status(429, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"),
            }
            assert set((await store.scan([PROJECT])).digests) == {key("run")}
            assert naps == [7.0, session.LONGEST_PAUSE]

            asked = len(line.requests)
            line.faults = dict.fromkeys(range(asked + 1, asked + 100), faults.status(503))
            with pytest.raises(StoreUnreachable, match=r"is busy .*it is tried again later"):
                await store.scan([PROJECT])
            assert len(line.requests) - asked == session.ATTEMPTS


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_changes_something_is_sent_once(method: str, server: SumatraServer) -> None:
    """Whatever became of it: nobody but smtd, which looks first, may send it again."""
    async with line_to(f"http://127.0.0.1:{server.port}") as line:
        url = f"{line.url}/records/"
        async with session.connect(url, None, session.Trust()) as asked:
            await asked.get(PROJECT)  # so that there is a connection to use again
            line.faults = dict.fromkeys(range(2, 100), faults.lost)

            with pytest.raises(StoreUnreachable):
                await (asked.put(b"{}", PROJECT, "run") if method == "PUT" else asked.delete(PROJECT, "run"))

    assert line.requests == [f"GET /records/{PROJECT}/", f"{method} /records/{PROJECT}/run/"]


async def test_half_a_record_is_removed_and_the_record_sent_again(
    server: SumatraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that breaks off in the middle of a record shows it never again: smtd clears it away."""
    monkeypatch.setattr("smtd.stores.http.store.STUMP", 0.0)

    async def stump(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        await line.ask(request)
        place.run("INSERT INTO django_store_launchmode (type, parameters) VALUES ('NoSuchMode', '{}')")
        place.run(
            "UPDATE django_store_record SET launch_mode_id = (SELECT max(id) FROM django_store_launchmode)"
        )
        return await faults.reset(line, request)

    place = ServerPlace(server)
    async with line_to(f"http://127.0.0.1:{server.port}") as line:
        location = Location(Kind.HTTP, Path(), None, ADA, f"{line.url}/records/")
        async with open_store(location) as store:
            line.faults = {3: stump}  # after the listing, and the new project

            (outcome,) = await store.write([Change(key("run"), full("run"), None)])

            assert line.requests[2].startswith("PUT")
            assert line.requests.count(line.requests[2]) == 2
            assert outcome == DONE, line.requests
            assert set((await store.scan([PROJECT])).digests) == {key("run")}
