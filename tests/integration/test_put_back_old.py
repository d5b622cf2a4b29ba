"""A store of Sumatra before 0.8 that was restored from a copy deletes nothing in the store that it fills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smtd.merge.sides import Side
from smtd.stores.discovery import find
from tests.backups import copied, copied_with_times, mirrored, run
from tests.stores import old_databases as old
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace

pytestmark = [pytest.mark.disk, pytest.mark.halved]


class OldPlace:
    """A database of an earlier Sumatra in *home*, and what a user does there."""

    def __init__(self, home: Path, version: str) -> None:
        self.home, self.version = home, version
        self.path = old.make(home / "records.sqlite", version)
        self.location = find(str(self.path))

    def add(self, *labels: str) -> None:
        for label in labels:
            old.add(self.path, self.version, label=label)

    def delete(self, label: str) -> None:
        old.run(self.path, "DELETE FROM django_store_record WHERE label = ?", label)

    def comment(self, label: str, outcome: str) -> None:
        old.run(self.path, "UPDATE django_store_record SET outcome = ? WHERE label = ?", outcome, label)

    def keep(self) -> Path:
        """Make a backup, and return its path."""
        run("cp", "-rp", self.home, self.home.parent / "backup")
        return self.home.parent / "backup"


@pytest.fixture(params=["0.4", "0.6", "0.7"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> OldPlace:
    """A database of 0.4 and of 0.6, which reuse row numbers, and of 0.7, which does not."""
    (tmp_path / "home").mkdir()
    made = OldPlace(tmp_path / "home", request.param)
    made.add("first", "second")
    return made


async def filled(place: OldPlace) -> RealPair:
    """Return the pair of *place* and the new store that was filled from it."""
    directory = place.home.parent
    pair = RealPair(directory / "state", place, DjangoPlace(directory / "new.sqlite"))  # type: ignore[arg-type]
    await pair.cycle()
    return pair


@pytest.mark.parametrize("means", [copied, copied_with_times, mirrored])
async def test_restored_old_store_deletes_nothing(
    place: OldPlace, means: Callable[[Path, Path], None]
) -> None:
    """It lacks today's run; its mirror keeps that, and the next cycle has nothing to do."""
    backup = place.keep()
    place.add("run-of-today")
    pair = await filled(place)

    means(backup, place.home)
    report = await pair.cycle()

    assert (report.right.deleted, report.adopted) == (0, [Side.LEFT])
    assert "run-of-today" in await pair.labels(Side.RIGHT)
    again = await pair.cycle()
    assert (again.adopted, again.right.written) == ([], 0)


async def test_edit_that_a_restored_old_store_lacks_stays_in_its_mirror(place: OldPlace) -> None:
    """No user removed the comment."""
    backup = place.keep()
    pair = await filled(place)
    place.comment("first", "42\nseen again")
    assert (await pair.cycle()).right.updated == 1

    copied_with_times(backup, place.home)
    report = await pair.cycle()

    assert (report.right.written, report.adopted) == (0, [Side.LEFT])
    assert {one.outcome for one in (await pair.records(Side.RIGHT)).values()} == {"42", "42\nseen again"}


async def test_later_records_in_a_restored_old_store_hide_no_loss(place: OldPlace) -> None:
    """It has as many runs and writes as before, but others."""
    backup = place.keep()
    place.add("run-of-today")
    pair = await filled(place)

    copied(backup, place.home)
    place.add("another run")
    place.comment("first", "seen")
    report = await pair.cycle()

    assert (report.right.deleted, report.right.created, report.adopted) == (0, 1, [Side.LEFT])


async def test_deletions_in_an_old_store_are_carried(place: OldPlace) -> None:
    """Also that of the newest record, whose number the next one may get."""
    place.add("third", "fourth")
    pair = await filled(place)
    place.delete("fourth")
    first = await pair.cycle()
    place.delete("first")

    second = await pair.cycle()

    assert [(each.adopted, each.right.deleted) for each in (first, second)] == [([], 1), ([], 1)]
