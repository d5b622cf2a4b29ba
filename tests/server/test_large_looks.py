"""A client looks at a server with large records."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from smtd.records.record import Record
from smtd.stores.base import DONE, Change
from smtd.stores.http.feed_api import FeedApi
from smtd.stores.registry import open_store
from tests.build import key, record
from tests.server.process import ServerProcess, server_process
from tests.server.test_following import place


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server as a process of its own, whose records are not in the memory of the test."""
    with server_process(tmp_path / "served") as made:
        yield made


@pytest.mark.slow
async def test_look_at_large_records_keeps_one_answer_in_memory(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends an answer at 16 MiB; what came with the ones before is let go."""
    live: list[int] = []
    ask = FeedApi._ask

    async def counted(api: FeedApi, verb: str, *words: Any, **more: Any) -> Any:
        if verb == "records:get":
            gc.collect()
            live.append(sum(isinstance(each, Record) for each in gc.get_objects()))
        return await ask(api, verb, *words, **more)

    monkeypatch.setattr(FeedApi, "_ask", counted)
    async with open_store(place(await to_thread.run_sync(lambda: server.root))) as store:
        for number in range(10):
            large = record(f"run-{number}", stdout_stderr="x" * 5 * 2**20)
            assert await store.write([Change(key(large.label), large, None)]) == [DONE]
        del large
        gc.collect()
        before = sum(isinstance(each, Record) for each in gc.get_objects())

        assert len((await store.scan()).digests) == 10

    assert len(live) >= 4
    assert max(live) == before
