"""The first cycles of a daemon's pairs run one after the other."""

from __future__ import annotations

import anyio
import pytest

from smtd.daemon import first_cycles
from smtd.daemon.first_cycles import FirstCycles


async def test_one_turn_begins_when_the_one_before_has_ended() -> None:
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


async def test_cycle_that_fails_ends_its_turn() -> None:
    turns = FirstCycles()
    with pytest.raises(OSError, match="gone"):
        async with turns.turn():
            raise OSError("gone")

    with anyio.fail_after(5):
        async with turns.turn():
            pass


async def test_store_that_hangs_keeps_nobody_waiting_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does who went ahead of his turn end that of another one."""
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
