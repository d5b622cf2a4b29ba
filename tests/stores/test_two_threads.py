"""Stores in SQLite files decode records in a thread for each file; the threads do not disturb each other."""

from __future__ import annotations

import ast
import threading
import warnings
from contextlib import suppress
from typing import Any

import anyio
import pytest

from smtd.records import canonical
from smtd.records.record import Parameters
from smtd.stores.base import DONE, Change
from tests.build import commented, key, record
from tests.stores.places import DjangoPlace


class Meeting:
    """Makes the first two other threads that parse a literal do it at the same time.

    The second one continues only when the first has finished.
    """

    def __init__(self) -> None:
        self.threads = [threading.current_thread()]
        self.done = threading.Event()
        self._parse = ast.parse
        self._met = threading.Barrier(2)

    def parse(self, *words: Any, **more: Any) -> Any:
        me = threading.current_thread()
        if me not in self.threads:
            self.threads.append(me)
            number = len(self.threads)
            with suppress(threading.BrokenBarrierError):  # the threads take turns
                self._met.wait(0.5)
            if number == 3:
                self.done.wait(0.5)
        return self._parse(*words, **more)


async def test_two_stores_written_at_once_keep_the_warning_filters_of_python(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise Python would show its warnings to users, or never again show any."""
    places = [DjangoPlace(tmp_path / f"{number}.sqlite") for number in range(2)]
    text = "\n".join(f"parameter_{number} = [{number}, 1]" for number in range(200))  # too long to be cached
    for place in places:
        await place.put(record("run", parameters=Parameters("SimpleParameterSet", text)))
    meeting, before = Meeting(), list(warnings.filters)
    monkeypatch.setattr(ast, "parse", meeting.parse)
    async with places[0].open() as one, places[1].open() as other:

        async def write(store: Any) -> None:
            (held,) = (await store.read([key("run")])).values()
            new = commented(held, "seen")
            assert await store.write([Change(key("run"), new, canonical.digest(held))]) == [DONE]
            meeting.done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(write, one)
            group.start_soon(write, other)

    assert len(meeting.threads) == 3, "each store has a thread in which it understands what it holds"
    assert warnings.filters == before
