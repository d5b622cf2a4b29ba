"""After a crash the pair may name its sides the other way round; open writes to a server are read again."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from smtd.engine import cycle
from smtd.engine.edit import restore
from smtd.engine.recovery import Judged
from smtd.errors import StoreUnreachable
from smtd.journal.pair import PairJournal
from smtd.merge.decide import Mode
from smtd.merge.sides import Both
from smtd.records.record import Record
from tests.build import PROJECT, commented, key, record, tagged
from tests.engine.servers import ServerStore
from tests.engine.world import TestStore, World, crash_after_write

A = record("a")
BY_SERVER = commented(A, "of the server")


def gone() -> None:
    """Fail like a store that cannot be reached."""
    raise StoreUnreachable("it is gone")


@pytest.mark.parametrize("first", ["as before", "the other way round"])
async def test_merge_that_reached_one_side_loses_no_edit_with_the_sides_exchanged(
    tmp_path: Path, first: str
) -> None:
    """Whichever way the crashed cycle and the next one name them."""
    world = await World(tmp_path).synced(A)
    world.left.put(PROJECT, commented(A, "by one"))
    world.right.put(PROJECT, tagged(A, "by-another"))
    before, after = (world, world.mirrored) if first == "as before" else (world.mirrored, world)
    crash_after_write(world.left)
    await before.crash(world.right)
    world.left.meanwhile.clear()
    world.right.meanwhile.clear()

    report = await after.cycle()

    assert (report.ok, world.contents.left) == (True, world.contents.right)
    found = world.left.records[key("a")]
    assert ("by one" in str(found.outcome), "by-another" in found.tags) == (True, True)
    assert not (await world.cycle()).wrote


async def test_restored_record_that_reached_one_side_stays_with_the_sides_exchanged(tmp_path: Path) -> None:
    """Half of a restore does not look like a new record that was deleted."""
    world = await World(tmp_path).synced(A, record("b"))
    at = datetime.now(timezone.utc)
    world.left.remove(PROJECT, "a")
    assert (await world.cycle()).ok
    world.change_journal("UPDATE history SET at = '2099-01-01T00:00:00.000+00:00' WHERE action = 'delete'")
    crash_after_write(world.left)
    with pytest.raises(StoreUnreachable):
        await world.do(restore, key("a"), at)

    await world.mirrored.cycle()

    assert world.left.records[key("a")] == world.right.records[key("a")] == A


async def interrupted(world: World, edited: Record, mode: Mode = Mode.TWO_WAY) -> None:
    """Edit a record on the server, and make the cycle that sees the edit fail before it writes."""
    world.right.put(PROJECT, edited)
    world.left.meanwhile["before write"] = gone
    with pytest.raises(StoreUnreachable):
        await world.cycle(verify_within=0.0, mode=mode)


@pytest.fixture
async def server_world(tmp_path: Path) -> World:
    """A pair with a server on the right, and one record in sync."""
    return await World(tmp_path, TestStore("left"), ServerStore()).synced(A)


@pytest.mark.parametrize("mode", [Mode.TWO_WAY, Mode.RIGHT_TO_LEFT])
async def test_server_edit_whose_copy_was_interrupted_is_copied_next(server_world: World, mode: Mode) -> None:
    """The rotation is past the record, so smtd reads it again."""
    await interrupted(server_world, BY_SERVER, mode)

    report = await server_world.cycle(mode=mode)

    assert (report.ok, report.left.updated) == (True, 1)
    assert server_world.left.records[key("a")] == BY_SERVER


async def test_plan_after_an_interrupted_copy_is_what_the_cycle_does(server_world: World) -> None:
    """The plan is shown, and carried out as shown."""
    await interrupted(server_world, BY_SERVER)

    plan = await server_world.cycle(dry_run=True)
    report = await server_world.do(cycle.run, expected_plan=plan.plan)

    assert (plan.left.updated, report.left.updated) == (1, 1)


async def test_server_edit_found_in_rotation_is_copied_although_the_journal_failed(
    server_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rotation passes a record only when its change was carried out."""

    async def failing(*_words: object) -> int:
        raise StoreUnreachable("it is locked")

    server_world.right.put(PROJECT, BY_SERVER)
    with monkeypatch.context() as failure:
        failure.setattr(PairJournal, "intend", failing)
        with pytest.raises(StoreUnreachable):
            await server_world.cycle(verify_within=0.0)

    report = await server_world.cycle(verify_within=1e-6)

    assert (report.left.updated, server_world.left.records[key("a")]) == (1, BY_SERVER)


@pytest.mark.timeout(10)
def test_preview_after_a_crash_in_many_deletions_costs_no_more_than_the_baselines() -> None:
    """It applies the outcome of all open deletions at once."""
    keys = [key(f"run-{number}") for number in range(100_000)]
    baselines = dict.fromkeys(keys, Both(b"1", b"1"))

    found = Judged(forgotten=keys[:20_000]).baselines_after(baselines)

    assert (len(found), len(baselines), keys[0] in found) == (80_000, 100_000, False)
