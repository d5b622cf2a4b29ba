"""The first cycles of a daemon's pairs run one after the other."""

from __future__ import annotations

import anyio
import pytest

from smtd.daemon import runner
from smtd.daemon.runner import turn


async def test_turn_begins_when_the_previous_one_has_ended() -> None:
    turns, seen = anyio.Lock(), list[str]()

    async def cycle(name: str) -> None:
        async with turn(turns):
            seen.append(f"{name} begins")
            await anyio.lowlevel.checkpoint()
            seen.append(f"{name} ends")

    async with anyio.create_task_group() as group:
        for name in ("a", "b", "c"):
            group.start_soon(cycle, name)

    assert seen == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_failed_cycle_ends_its_turn() -> None:
    turns = anyio.Lock()
    with pytest.raises(OSError, match="gone"):
        async with turn(turns):
            raise OSError("gone")

    with anyio.fail_after(5):
        async with turn(turns):
            pass


async def test_hanging_store_delays_other_pairs_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that went ahead of its turn does not end that of another one."""
    monkeypatch.setattr(runner, "PATIENCE", 0.01)
    turns = anyio.Lock()
    hanging = anyio.Event()

    async def hang(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with turn(turns):
            task_status.started()
            await hanging.wait()

    async with anyio.create_task_group() as group:
        await group.start(hang)
        for _ in range(2):
            with anyio.fail_after(5):
                async with turn(turns):
                    pass
        hanging.set()
