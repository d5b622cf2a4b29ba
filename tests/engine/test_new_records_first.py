"""In a large file new records are copied before the old ones are compared, and nothing else changes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from smtd import pairing
from smtd.engine import cycle as engine_cycle
from smtd.engine.report import PairReport
from smtd.merge.sides import SIDES, Side
from smtd.stores.base import Token
from smtd.stores.django import file_tracker, sqlite
from tests.build import record
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace

pytestmark = pytest.mark.halved

OLD = [record(f"old-{number}") for number in range(30)]
EDIT = "UPDATE django_store_record SET outcome = 'seen' WHERE label = 'old-0'"


class Daemon:
    """A pair of two files whose stores stay open, and whose cycles do not wait, as in the daemon."""

    def __init__(self, directory: Path) -> None:
        self.left, self.right = (
            DjangoPlace(directory / "left.sqlite"),
            DjangoPlace(directory / "right.sqlite"),
        )
        self.pair = RealPair(directory / "state", self.left, self.right)

    async def synced(self) -> Daemon:
        """Make the old records on the left, and bring both sides in step."""
        await self.pair.synced(OLD)
        await self.pair.cycle()
        return self

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        """Keep the stores open for the length of a `with` block."""
        async with pairing.open_stores(self.pair.places.map(lambda place: place.location)) as self._stores:
            await self.cycle()
            yield self

    async def cycle(self) -> PairReport:
        return await self.pair.cycle(self._stores, wait_to_settle=False, force_retry=False)

    async def token(self, side: Side) -> Token | None:
        return await self._stores[side].token()

    async def has_seen_everything(self) -> bool:
        """Say what the daemon asks after a cycle: nothing is left for the next one."""
        return bool(await self.pair.on_pair(engine_cycle.is_unchanged))


@pytest.fixture
async def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Daemon]:
    """A pair in sync; its files count as large."""
    monkeypatch.setattr(file_tracker, "MANY", 1)
    monkeypatch.setattr(sqlite, "QUIET", 1e-9)  # nobody waits for a moment in which nobody writes
    daemon = await Daemon(tmp_path).synced()
    async with daemon.running():
        yield daemon


def insert(place: DjangoPlace, label: str) -> None:
    """Copy the oldest row of the record table, as a run does that shares all else."""
    with closing(sqlite3.connect(place.path)) as db, db:
        names = [name for _, name, *_ in db.execute("PRAGMA table_info(django_store_record)")]
        others = ", ".join(f'"{name}"' for name in names if name not in ("db_id", "label"))
        db.execute(
            f"INSERT INTO django_store_record (label, {others}) SELECT ?, {others} FROM django_store_record"
            " WHERE db_id = (SELECT min(db_id) FROM django_store_record)",
            (label,),
        )


async def test_new_record_arrives_before_an_edit_that_came_with_it(daemon: Daemon) -> None:
    daemon.left.run(EDIT)
    insert(daemon.left, "new")

    first = await daemon.cycle()
    has_seen_everything = await daemon.has_seen_everything()
    second = await daemon.cycle()

    assert (first.right.created, first.right.updated, has_seen_everything) == (1, 0, False)
    assert (second.right.created, second.right.updated) == (0, 1)
    assert await daemon.has_seen_everything()


async def test_edits_wait_for_one_cycle_only_however_many_new_records_come(daemon: Daemon) -> None:
    daemon.left.run(EDIT)
    insert(daemon.left, "new-1")
    await daemon.cycle()
    insert(daemon.left, "new-2")

    report = await daemon.cycle()

    assert (report.right.created, report.right.updated) == (1, 1)


async def test_person_who_waits_gets_everything_in_one_cycle(daemon: Daemon) -> None:
    daemon.left.run(EDIT)
    insert(daemon.left, "new")

    report = await daemon.pair.cycle()

    assert (report.right.created, report.right.updated) == (1, 1)


async def delete_all(place: DjangoPlace) -> None:
    for old in OLD:
        await place.remove(old.label)


async def add_one_below(place: DjangoPlace) -> None:
    """Replace rows in the middle, as a program does that chooses the ids of its rows itself."""
    await place.remove(OLD[3].label)
    place.run(
        "UPDATE django_store_record SET db_id = -5 WHERE db_id = (SELECT max(db_id) FROM django_store_record)"
    )


async def use_a_label_twice(place: DjangoPlace) -> None:
    insert(place, "new")
    place.run("UPDATE django_store_record SET outcome = 'differs' WHERE label = 'new'")


async def use_a_known_label(place: DjangoPlace) -> None:
    insert(place, OLD[5].label)


async def spoil(place: DjangoPlace) -> None:
    await place.spoil("spoilt")


@pytest.mark.parametrize("others", [delete_all, add_one_below, use_a_label_twice, use_a_known_label, spoil])
async def test_new_record_waits_where_it_may_not_be_all_that_changed(
    daemon: Daemon, others: Callable[[DjangoPlace], Awaitable[None]], tmp_path: Path
) -> None:
    """The cycle does, holds and lists the same as one that compares everything first."""
    (tmp_path / "twin").mkdir()
    twin = await Daemon(tmp_path / "twin").synced()
    for each in (daemon, twin):
        await others(each.left)
        insert(each.left, "new")

    report, expected = await daemon.cycle(), await twin.pair.cycle()

    assert outcome(report) == outcome(expected)


def outcome(report: PairReport) -> object:
    """Return what a cycle did and left."""
    written = [(side.created, side.updated, side.deleted) for side in (report.left, report.right)]
    return written, report.in_sync, len(report.held), len(report.failed), len(report.conflicts)


async def test_deletion_is_not_hidden_by_a_label_that_two_rows_have(daemon: Daemon, tmp_path: Path) -> None:
    """Rows are counted, and not labels: else the second row stands for the one that is gone."""
    (tmp_path / "twin").mkdir()
    twin = await Daemon(tmp_path / "twin").synced()
    for each in (daemon, twin):
        insert(each.left, OLD[0].label)
    for _ in range(2):
        await daemon.cycle()
        await twin.pair.cycle()
    for each in (daemon, twin):
        await each.left.remove(OLD[3].label)
        insert(each.left, "new")

    report, expected = await daemon.cycle(), await twin.pair.cycle()

    assert outcome(report) == outcome(expected)


async def test_writes_of_its_own_do_not_keep_new_records_waiting(daemon: Daemon) -> None:
    """Records that smtd wrote to the file are above the highest row that the last look saw."""
    await daemon.right.put(record("other"))
    await daemon.cycle()
    daemon.left.run(EDIT)
    insert(daemon.left, "new")

    report = await daemon.cycle()

    assert (report.right.created, report.right.updated) == (1, 0)


async def test_mass_deletion_after_a_partial_look_is_held(daemon: Daemon) -> None:
    insert(daemon.left, "new")
    assert (await daemon.cycle()).right.created == 1
    await delete_all(daemon.left)

    report = await daemon.cycle()

    assert (len(report.held), report.right.deleted) == (len(OLD), 0)


async def test_file_that_was_put_back_deletes_nothing_though_as_many_records_are_new(
    daemon: Daemon, tmp_path: Path
) -> None:
    """It lacks two records, and three were made since: the count alone would say that one is new."""
    left = daemon.left
    shutil.copy(left.path, tmp_path / "backup")
    insert(left, "lost-1")
    insert(left, "lost-2")
    await daemon.cycle()
    await daemon.cycle()
    shutil.copy(tmp_path / "backup", left.path)
    for number in range(3):
        insert(left, f"new-{number}")

    for _ in range(3):
        await daemon.cycle()

    labels = {"lost-1", "lost-2", "new-0", "new-1", "new-2"}
    for side in SIDES:
        assert labels <= await daemon.pair.labels(side)


async def test_label_that_an_update_has_taken_is_not_written_beside_it(daemon: Daemon) -> None:
    """Though the file was not looked at as a whole before the write."""
    daemon.left.run("UPDATE django_store_record SET label = 'taken' WHERE label = 'old-0'")
    insert(daemon.left, "new")
    insert(daemon.right, "taken")

    for _ in range(4):
        await daemon.cycle()

    rows = daemon.left.run("SELECT count(*) FROM django_store_record WHERE label = 'taken'")
    assert rows == [(1,)]


async def test_pair_comes_to_rest_if_another_one_has_looked_at_everything(daemon: Daemon) -> None:
    """Another process has compared the file after this one's partial look."""
    insert(daemon.left, "new")
    await daemon.cycle()
    await daemon.pair.cycle()

    await daemon.cycle()

    assert [await daemon.token(side) for side in SIDES].count(None) == 0
