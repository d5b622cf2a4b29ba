"""What a server holds in memory does not grow with what its clients may ask for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from anyio import to_thread

from smtd.server.change_log import Content, LogRow
from smtd.server.feed import ChangeEvent, Feed
from tests.build import key, record
from tests.server.process import ServerProcess
from tests.server.served import client_of

MIB = 2**20


def peak(pid: int) -> Callable[[], int]:
    """Return a function that gives the bytes by which a process has grown at most since now."""

    def most() -> int:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024

    Path(f"/proc/{pid}/clear_refs").write_text("5", "utf-8")
    before = most()
    return lambda: most() - before


@pytest.mark.slow
async def test_feed_reads_no_more_than_it_sends(server: ServerProcess) -> None:
    """Records that are too large for it are left where they are."""
    root = await to_thread.run_sync(lambda: server.root)
    async with client_of(root) as ada:
        await ada.make()
        for number in range(20):
            large = record(f"large-{number}", stdout_stderr="x" * 8 * MIB)
            assert (await ada.put(large)).status == 201
        for number in range(30):
            assert (await ada.put(record(f"run-{number}", stdout_stderr="x" * 900_000))).status == 201
        grown = await to_thread.run_sync(peak, server.pid)

        first = (await ada.changes(include="records")).json
        rest = (await ada.changes(first["next"], include="records")).json

        assert await to_thread.run_sync(grown) < 120 * MIB
    changes = first["changes"] + rest["changes"]
    assert (first["more"], rest["more"]) == (True, False)
    assert len(changes) == 50
    assert [one["label"] for one in changes if "record" in one] == [f"run-{number}" for number in range(30)]


async def test_queued_event_holds_no_record() -> None:
    """Only its words, if they are not too many."""
    feed, row = Feed(), LogRow(key("large"), 1, Content("2-0"))
    large = record("large", stdout_stderr="x" * 2 * MIB)

    with feed.listening(with_records=False), feed.listening(with_records=True):
        (event,) = feed.publish([row], {row.key: large})

    assert event.encoded(1, with_record=True) == event.encoded(1, with_record=False)
    assert large not in vars(event).values()
    assert b'"record":' in ChangeEvent(row, record("small")).encoded(1, with_record=True)
