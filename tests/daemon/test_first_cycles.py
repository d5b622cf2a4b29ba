"""The first cycles of a daemon's pairs run one after the other."""

from __future__ import annotations

import anyio
import pytest

from smtd.daemon import first_cycles
from smtd.daemon.first_cycles import FirstCycles


async def test_turn_begins_when_the_previous_one_has_ended() -> None:
    turns, seen = FirstCycles(), list[str]()

    async def cycle(name: str) -> None:
        async with turns.turn():
            seen.append(f"{name} begins")
            await anyio.lowlevel.checkpoint()
            seen.append(f"{name} ends")

    async with anyio.create_task_group() as group:
        for name in ("a", "b", "c"):
            group.start_soon(cycle, name)

    assert seen == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_failed_cycle_ends_its_turn() -> None:
    turns = FirstCycles()
    with pytest.raises(OSError, match="gone"):
        async with turns.turn():
            raise OSError("gone")

    with anyio.fail_after(5):
        async with turns.turn():
            pass


async def test_hanging_store_delays_other_pairs_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that went ahead of its turn does not end that of another one."""
    monkeypatch.setattr(first_cycles, "PATIENCE", 0.01)
    turns = FirstCycles()
    hanging = anyio.Event()

    async def hang(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with turns.turn():
            task_status.started()
            await hanging.wait()

    async with anyio.create_task_group() as group:
        await group.start(hang)
        for _ in range(2):
            with anyio.fail_after(5):
                async with turns.turn():
                    pass
        hanging.set()
