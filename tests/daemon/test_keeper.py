"""One pair and its keeper, without a process around them."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from weakref import ref

import anyio
import pytest

from smtd import pairing
from smtd.daemon.events import Events
from smtd.daemon.keeper import Keeper
from smtd.daemon.request import Request
from smtd.daemon.settings import PairSettings
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport
from smtd.errors import StoreUnreachable
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.records.record import Key
from smtd.stores.base import Change
from smtd.stores.locations import Kind, Location
from smtd.stores.registry import open_store
from smtd.watch import Watch
from tests.build import PROJECT, full

SETTINGS = PairSettings("pair", Both("left", "right"), Both(None, None), Policy(insist=False), 0.0, 30.0)


async def report(request: Request) -> PairReport:
    """Wait for the report that *request* asks for."""
    await request.done.wait()
    assert isinstance(request.outcome, PairReport)
    return request.outcome


@pytest.fixture
async def locations(tmp_path: Path) -> Both[Location]:
    made = Both("left", "right").map(lambda name: Location(Kind.DJANGO, tmp_path / f"{name}.sqlite"))
    async with open_store(made.left) as store:
        await store.write([Change(Key(PROJECT, "run"), full("run"), None)])
    return made


@pytest.fixture
async def keeper(locations: Both[Location], tmp_path: Path) -> AsyncIterator[Keeper]:
    """A keeper that has had its first cycle, and whose files nobody watches."""
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        made = Keeper(SETTINGS, lambda: locations, journal, Watch(), Events(journal.events))
        first = Request()
        made.request(first)
        group.start_soon(made.run)
        assert (await report(first)).in_sync == 1
        yield made
        group.cancel_scope.cancel()


async def test_change_while_a_plan_is_made_is_for_the_next_cycle(
    keeper: Keeper, locations: Both[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan only looks; what happens meanwhile is not lost with it."""
    sync, cycles = pairing.sync, []
    cycled = keeper.cycled

    async def watched(*args: Any, dry_run: bool, **options: Any) -> Any:
        cycles.append(dry_run)
        report = await sync(*args, dry_run=dry_run, **options)
        if dry_run:
            async with open_store(locations.left) as store:
                await store.write([Change(Key(PROJECT, "more"), full("more"), None)])
            keeper.changed()  # as the watch does
        return report

    monkeypatch.setattr(pairing, "sync", watched)
    plan = Request(dry_run=True)
    keeper.request(plan)

    assert (await report(plan)).right.created == 0
    with anyio.fail_after(10):
        await cycled.wait()

    assert cycles == [True, False]
    assert keeper.status.in_sync == 2


@pytest.mark.parametrize("when", ["before its cycle", "during its cycle"])
async def test_who_waits_when_the_pair_is_stopped_is_told(
    when: str, locations: Both[Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is left without an answer."""
    asked, begun = Request(), anyio.Event()

    async def endless(*_args: Any, **_options: Any) -> Any:
        begun.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(pairing, "sync", endless)
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        keeper = Keeper(SETTINGS, lambda: locations, journal, Watch(), Events(journal.events))
        keeper.request(asked)
        group.start_soon(keeper.run)
        if when == "during its cycle":
            await begun.wait()
        group.cancel_scope.cancel()

    assert asked.done.is_set()
    assert isinstance(asked.outcome, StoreUnreachable)
    assert "the pair was stopped before its cycle ended; ask again" in str(asked.outcome)


async def test_store_that_cannot_be_closed_ends_nothing(
    keeper: Keeper, locations: Both[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error the stores are closed; another error meanwhile is no reason to stop."""

    async def fails(*_args: Any, **_options: Any) -> Any:
        raise StoreUnreachable("gone")

    def broken() -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    keeper._stores._open.callback(broken)
    with monkeypatch.context() as patched:
        patched.setattr(pairing, "sync", fails)
        first = Request()
        keeper.request(first)
        await first.done.wait()
    again = Request()
    keeper.request(again)

    assert str(first.outcome) == "gone"
    assert (await report(again)).in_sync == 1


class Answer:
    """What a look holds: 32 MiB of what is no Sumatra Server, say."""


async def test_look_that_fails_leaves_nothing_in_memory(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it held is gone when the next one ends: the garbage collector comes seldom to the daemon."""
    held: list[ref[Answer]] = []

    async def fails(*_args: Any, **_options: Any) -> Any:
        answer = Answer()
        held.append(ref(answer))
        raise StoreUnreachable("it is away")

    monkeypatch.setattr(pairing, "sync", fails)
    gc.disable()
    try:
        for _ in range(2):
            asked = Request()
            keeper.request(asked)
            await asked.done.wait()
        first = held[0]()
    finally:
        gc.enable()

    assert first is None


async def test_illness_is_told_once_and_not_at_every_try(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is tried again meanwhile, and however far each try gets."""
    sync, tries = pairing.sync, []
    away = True

    async def failing(*args: Any, progress: Any, **options: Any) -> Any:
        tries.append(away)
        progress("scanning", 0, 0)
        if away:
            raise StoreUnreachable("it is away")
        return await sync(*args, progress=progress, **options)

    monkeypatch.setattr(pairing, "sync", failing)
    for _ in range(3):
        asked = Request()
        keeper.request(asked)
        await asked.done.wait()
        assert isinstance(asked.outcome, StoreUnreachable)
    away = False
    asked = Request()
    keeper.request(asked)
    await report(asked)

    told = [event["event"] async for event in keeper._standing._events.since(0, follow=False)]
    assert tries[:3] == [True, True, True]
    assert told.count("offline") == told.count("recovered") == 1


async def test_pair_halts_when_the_journal_is_found_damaged(
    locations: Both[Location], tmp_path: Path
) -> None:
    """It says what to do, and nothing is written to the stores any more."""
    path = tmp_path / "state" / "journal.sqlite"
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        keeper = Keeper(SETTINGS, lambda: locations, journal, Watch(), Events(journal.events))
        first, second = Request(), Request()
        keeper.request(first)
        group.start_soon(keeper.run)
        await report(first)
        for pragma in ("wal_checkpoint(TRUNCATE)", "shrink_memory"):  # so that it reads from the disk
            await journal._db.run(f"PRAGMA {pragma}")
        data = path.read_bytes()
        path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
        async with open_store(locations.left) as store:
            await store.write([Change(Key(PROJECT, "more"), full("more"), None)])

        keeper.request(second)
        await second.done.wait()
        group.cancel_scope.cancel()

    assert keeper.status.state == "halted"
    assert "is damaged" in str(keeper.status.problem)
    assert "start it anew: it keeps the file, adopts the stores anew and deletes nothing" in str(
        keeper.status.problem
    )
    async with open_store(locations.right) as store:
        assert [key.label for key in (await store.scan()).digests] == ["run"]
