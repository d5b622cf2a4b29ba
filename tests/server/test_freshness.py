"""Looks at what is committed: shared, but never one that began too early."""

from __future__ import annotations

import anyio

from smtd.errors import StoreUnreachable
from smtd.server.alarm import Freshness


class Looks:
    """Looks that each end when they may, and may fail."""

    def __init__(self) -> None:
        self.begun = 0
        self.fails = False
        self.may_end = anyio.Event()

    async def look(self) -> None:
        self.begun += 1
        await self.may_end.wait()
        if self.fails:
            raise StoreUnreachable("away")


async def test_look_that_began_before_the_question_answers_nobody() -> None:
    """Those who ask meanwhile share the next one."""
    looks = Looks()
    fresh = Freshness(looks.look)
    async with anyio.create_task_group() as group:
        group.start_soon(fresh.check)
        await anyio.wait_all_tasks_blocked()
        for _ in range(10):
            group.start_soon(fresh.check)
        await anyio.wait_all_tasks_blocked()
        assert looks.begun == 1
        looks.may_end.set()

    assert looks.begun == 2


async def test_failed_look_fails_for_all_who_share_it() -> None:
    """And the next one is a new try."""
    looks = Looks()
    looks.fails = True
    fresh, failed = Freshness(looks.look), list[str]()

    async def ask() -> None:
        try:
            await fresh.check()
        except StoreUnreachable as exc:
            failed.append(str(exc))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        looks.may_end.set()
    assert failed == ["away"] * 3
    begun, looks.fails = looks.begun, False

    await fresh.check()

    assert looks.begun == begun + 1


async def test_cancelled_look_leaves_the_question_to_the_next() -> None:
    """Nobody takes a look that did not end for an answer."""
    looks = Looks()
    fresh = Freshness(looks.look)
    async with anyio.create_task_group() as group:
        first = anyio.CancelScope()

        async def ask_in_vain() -> None:
            with first:
                await fresh.check()

        group.start_soon(ask_in_vain)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(fresh.check)
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        assert looks.begun == 2
        looks.may_end.set()
