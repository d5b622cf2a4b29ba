"""Several calls at once: what stays in memory when one fails."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from weakref import WeakSet

import pytest

from smtd.errors import StoreUnreachable
from smtd.gather import gather, gather_whole

pytestmark = pytest.mark.anyio


class Content:
    """The memory of a call: for example an answer of 32 MiB."""


Held = WeakSet[Content]


@pytest.fixture
def held() -> Iterator[Held]:
    """Return what is still in memory without a run of the garbage collector."""
    gc.disable()
    yield WeakSet()
    gc.enable()


async def fail(held: Held) -> int:
    content = Content()
    held.add(content)
    raise StoreUnreachable("the server is away")


async def at_once(calls: list[Callable[[], Awaitable[int]]]) -> None:
    await gather(calls)


async def a_few_at_once(calls: list[Callable[[], Awaitable[int]]]) -> None:
    await gather_whole(calls, 2, {})


@pytest.mark.parametrize("make", [at_once, a_few_at_once])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_failed_calls_leave_nothing_in_memory(
    make: Callable[[list[Callable[[], Awaitable[int]]]], Awaitable[None]], number: int, held: Held
) -> None:
    """Once their error is handled, all that the calls held is released at once."""
    with suppress(StoreUnreachable):
        await make([partial(fail, held)] * number)
    assert len(held) == 0
