"""Events, and the clients that follow them."""

from __future__ import annotations

from pathlib import Path

import anyio

from smtd.daemon.events import Events
from smtd.journal.journal import open_journal


async def test_event_is_saved_even_if_its_first_reader_leaves(tmp_path: Path) -> None:
    """A client that asks for events saves new ones; if it leaves first, another caller does."""
    async with open_journal(tmp_path) as journal:
        events = Events(journal.events)
        events.add("started")
        async with journal.events._db.transaction(), anyio.create_task_group() as group:
            group.start_soon(events.save)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

        found = [event["event"] async for event in events.since(0, follow=False)]

    assert found == ["started"]
