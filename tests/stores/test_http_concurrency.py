"""How many requests are under way at once: as many as a server works on, and no more."""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio
import pytest
from aiohttp import web

from smtd.gather import gather_whole
from smtd.stores.http import session
from smtd.stores.http.concurrency import (
    AT_ONCE,
    AT_ONCE_IF_SLOW,
    LEAST,
    RENEWED,
    WINDOW,
    Concurrency,
    following,
)
from tests.peers.line import Line, line_to


class Desk:
    """A server that handles one request after the other, each in a second of its own clock."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.here: list[int] = []
        self._now = 0
        self._lock = anyio.Lock()

    async def answer(self, line: Line, request: web.BaseRequest) -> web.StreamResponse:
        self._now += 1
        self.here.append(self._now)
        async with self._lock:
            await anyio.sleep(0.002)  # until the requests that wait on this side have arrived, too
            self.clock += 1
        self._now -= 1
        return web.Response()


async def test_serial_server_gets_two_requests_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are enough to keep it busy; the others wait on this side."""
    desk = Desk()
    async with line_to("http://no.server") as line:
        line.faults = dict.fromkeys(range(1, 1000), desk.answer)
        async with session.connect(f"{line.url}/records/", None, session.Trust()) as asking:
            monkeypatch.setattr(anyio, "current_time", lambda: desk.clock)
            monkeypatch.setattr(session, "SLOW", 1e9)
            await gather_whole([asking.get] * 4 * WINDOW, AT_ONCE, {})
            assert max(desk.here) == AT_ONCE
            desk.here.clear()
            await gather_whole([asking.get] * WINDOW, AT_ONCE, {})
    assert max(desk.here) == LEAST


class Counter:
    """Makes a server answer, on its own clock, while all tokens are taken (*full*) or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._concurrent = Concurrency()
        self._clock = 0.0
        monkeypatch.setattr(anyio, "current_time", lambda: self._clock)

    async def fill(self) -> None:
        """Take every token."""
        for number in range(AT_ONCE):
            await self._concurrent.room.acquire_on_behalf_of(number)

    @property
    def at_once(self) -> int:
        """How many requests there may be now."""
        return int(self._concurrent.room.total_tokens)

    def slow_down(self) -> None:
        self._concurrent.slow_down()

    def answer(self, windows: int, seconds: Callable[[int], float]) -> int:
        """Answer *seconds* after the last time; return how many requests there may be then."""
        for _ in range(windows * (WINDOW + 1)):
            self._clock += seconds(self.at_once)
            self._concurrent.answered()
        return self.at_once


@pytest.fixture
async def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """A counter all of whose tokens are taken."""
    made = Counter(monkeypatch)
    await made.fill()
    return made


async def test_parallel_server_gets_many_requests_at_once(counter: Counter) -> None:
    """Although smtd tries fewer now and then."""
    tried = {counter.answer(1, lambda at_once: 0.1 / at_once) for _ in range(2 * RENEWED)}

    assert tried == {AT_ONCE, AT_ONCE // 2}
    assert counter.at_once == AT_ONCE


async def test_parallel_server_is_recognized_despite_different_record_sizes(counter: Counter) -> None:
    """And despite a quick answer in between."""
    sizes = random.Random(7)
    used = [counter.answer(1, lambda at_once: sizes.choice((1, 2, 5, 20)) / at_once) for _ in range(RENEWED)]

    assert used.count(AT_ONCE) > 0.8 * len(used)


async def test_server_with_four_workers_gets_four_requests(counter: Counter) -> None:
    """It would answer eight no sooner."""
    assert counter.answer(4, lambda at_once: 0.1 / min(at_once, 4)) == 4


async def test_server_that_becomes_parallel_gets_more_requests_again(counter: Counter) -> None:
    """It was serial before."""
    assert counter.answer(4, lambda at_once: 0.1) == LEAST
    assert counter.answer(RENEWED, lambda at_once: 0.1 / at_once) == AT_ONCE


async def test_single_requests_do_not_change_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do pauses between them."""
    assert Counter(monkeypatch).answer(4, lambda at_once: 1.0) == AT_ONCE


async def test_slow_server_keeps_its_lower_limit(counter: Counter) -> None:
    """However quickly it answers later, or did before."""
    assert counter.answer(3, lambda at_once: 0.1 / at_once) == AT_ONCE
    counter.slow_down()

    assert counter.at_once == AT_ONCE_IF_SLOW
    assert (
        max(counter.answer(1, lambda at_once: 0.1 / at_once) for _ in range(2 * RENEWED)) == AT_ONCE_IF_SLOW
    )


@pytest.mark.parametrize(
    ("rates", "then"),
    [
        ({8: 50}, 4),
        ({8: 50, 4: 49}, 2),
        ({8: 50, 4: 49, 2: 51}, 2),
        ({8: 50, 4: 30}, 8),
        ({8: 50, 4: 49, 2: 30}, 4),
        ({4: 49}, 2),
    ],
)
def test_smallest_sufficient_number_is_used(rates: dict[int, float], then: int) -> None:
    """Half of it is tried first if that has not been tried yet."""
    assert following(rates) == then
