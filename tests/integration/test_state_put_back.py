"""A state directory that was restored from a backup deletes nothing, alone or together with a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from smtd.merge.sides import SIDES, Side
from tests.backups import copied, copied_with_times, moved, run
from tests.build import commented, full, tagged
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace, dumb_place

pytestmark = [pytest.mark.disk, pytest.mark.halved]

OLD = [full(f"old-{number}") for number in range(5)]
#: What is restored; "right" is a shelf.
PARTS = [("state",), ("state", "left"), ("state", "right"), ("state", "left", "right")]


async def deletions(pair: RealPair) -> None:
    """Only deletions, by both users."""
    await pair.left.remove("old-0")
    await pair.right.remove("old-1")


async def edits(pair: RealPair) -> None:
    """Only edits, by both users."""
    await pair.left.put(commented(OLD[0], "seen"))
    await pair.right.put(tagged(OLD[1], "figure-3"))


async def everything(pair: RealPair) -> None:
    """One more run, an edit, and a deletion."""
    await pair.left.put(full("new"), commented(OLD[0], "seen"))
    await pair.right.remove("old-1")


@pytest.fixture
async def pair(tmp_path: Path) -> RealPair:
    """A database and a shelf in sync, with the state directory beside them, and a backup of all."""
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
    left, right = DjangoPlace(tmp_path / "left" / "records"), dumb_place(tmp_path / "right" / "records")
    made = await RealPair(tmp_path / "state", left, right).synced(OLD)
    (tmp_path / "backup").mkdir()
    for name in ("state", "left", "right"):
        run("cp", "-a", tmp_path / name, tmp_path / "backup")
    return made


def put_back(pair: RealPair, parts: tuple[str, ...], means: Callable[[Path, Path], None]) -> None:
    for part in parts:
        means(pair.directory.parent / "backup" / part, pair.directory.parent / part)


@pytest.mark.parametrize(
    ("parts", "means"),
    [*((parts, copied_with_times) for parts in PARTS), (PARTS[0], copied), (PARTS[1], moved)],
)
async def test_restored_parts_delete_nothing(
    pair: RealPair, parts: tuple[str, ...], means: Callable[[Path, Path], None]
) -> None:
    """Both sides then have all that either of them had, and the next cycle has nothing to do."""
    await everything(pair)
    assert (await pair.cycle()).ok
    put_back(pair, parts, means)
    every = await pair.labels(Side.LEFT) | await pair.labels(Side.RIGHT)

    report = await pair.cycle()

    assert (report.left.deleted, report.right.deleted, report.held) == (0, 0, [])
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT) == every
    assert (await pair.cycle()).wrote is False


@pytest.mark.parametrize(
    ("since", "parts"), [(deletions, PARTS[0]), (edits, PARTS[1]), (deletions, PARTS[2])]
)
async def test_nothing_is_deleted_whatever_happened_since(
    pair: RealPair, parts: tuple[str, ...], since: Callable[[RealPair], object]
) -> None:
    """A record that was deleted on both sides and came back on one, say from a backup, stays there."""
    await since(pair)  # type: ignore[misc]
    assert (await pair.cycle()).ok
    await pair.left.remove("old-2")
    assert (await pair.cycle()).right.deleted == 1
    put_back(pair, parts, copied_with_times)
    await pair.right.put(OLD[2])
    every = await pair.labels(Side.LEFT) | await pair.labels(Side.RIGHT)

    report = await pair.cycle()

    assert (report.left.deleted, report.right.deleted) == (0, 0)
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT) == every


@pytest.mark.parametrize("age", [0, 2])
async def test_state_directory_of_any_day_deletes_nothing(pair: RealPair, tmp_path: Path, age: int) -> None:
    """An older one has more records that are gone."""
    days = []
    for number in range(3):
        run("cp", "-a", tmp_path / "state", tmp_path / f"day-{number}")
        days.append(tmp_path / f"day-{number}")
        await pair.left.remove(f"old-{number}")
        assert (await pair.cycle()).right.deleted == 1
    await pair.left.put(*OLD[:3])

    moved(days[age], tmp_path / "state")
    report = await pair.cycle()

    assert (report.left.deleted, report.right.deleted) == (0, 0)
    assert {one.label for one in OLD} == await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT)


async def test_state_directory_moved_away_and_back_deletes_nothing(pair: RealPair, tmp_path: Path) -> None:
    """It is the same to the last inode; but both stores have a run that it lacks."""
    (tmp_path / "state").rename(tmp_path / "old state")
    await pair.cycle()
    await everything(pair)
    await pair.left.remove("old-2")
    assert (await pair.cycle()).ok
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "old state").rename(tmp_path / "state")
    await pair.left.put(OLD[2])

    report = await pair.cycle()

    assert (report.left.deleted, report.right.deleted, report.adopted) == (0, 0, [Side.LEFT, Side.RIGHT])
    for side in SIDES:
        assert await pair.labels(side) == {"old-0", "old-2", "old-3", "old-4", "new"}


async def test_deletion_beside_records_copied_by_another_pair_is_carried(
    pair: RealPair, tmp_path: Path
) -> None:
    """Of three stores, each in sync with the two others: the journal knows the new records on both sides."""
    (tmp_path / "third").mkdir()
    third = DjangoPlace(tmp_path / "third" / "records")
    others = [RealPair(pair.directory, pair.left, third), RealPair(pair.directory, pair.right, third)]
    for each in others:
        await each.cycle()
    await pair.left.put(full("new"))
    for each in others:
        assert (await each.cycle()).ok
    await pair.left.remove("old-0")

    report = await pair.cycle()

    assert (report.right.deleted, report.adopted) == (1, [])
