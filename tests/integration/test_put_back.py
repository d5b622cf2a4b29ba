"""A store that was restored from a copy deletes nothing, whatever the means."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from anyio import to_thread

from smtd import pairing
from smtd.errors import StoreUnreachable
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES, Both, Side
from smtd.stores import incarnation
from smtd.stores.base import Change, Outcome, Scan, Store
from smtd.stores.index import TrackedStore
from smtd.stores.location import Location
from smtd.stores.shelf.driver import GNU
from tests.backups import copied, copied_with_times, mirrored, moved, run, unpacked
from tests.build import change, commented, full, key, tagged
from tests.peers.environments import Environment
from tests.stores.kept import RealPair, RealPlace
from tests.stores.places import DjangoPlace, contents, dumb_place, foreign_place, sqlite3_place

pytestmark = [pytest.mark.disk, pytest.mark.halved]

OLD = [full(f"old-{number}") for number in range(4)]
NEW = [full(f"new-{number}") for number in range(3)]
KINDS: dict[str, Callable[[Path], RealPlace]] = {
    "dbm.dumb": dumb_place,
    "dbm.sqlite3": sqlite3_place,
    "SQLite": DjangoPlace,
}


def exchanged(backup: Path, home: Path) -> None:
    """Replace the files by new ones with the old times."""
    for file in backup.iterdir():
        shutil.copy2(file, home / ".new")
        (home / ".new").replace(home / file.name)


def made_anew(backup: Path, home: Path) -> None:
    for file in backup.iterdir():
        (home / file.name).unlink()
        run("cp", file, home)


class Meddled:
    """The store *inner*, to whose pair other programs do something at a moment of its next cycle."""

    def __init__(self, inner: Store, moment: str, happen: Callable[[], None]) -> None:
        self._inner, self._todo = inner, {moment: happen}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        await to_thread.run_sync(self._todo.pop("before the scan", lambda: None))
        found = await self._inner.scan(projects)
        await to_thread.run_sync(self._todo.pop("after the scan", lambda: None))
        return found

    async def track(self, *words: Any, **more: Any) -> Any:
        await to_thread.run_sync(self._todo.pop("before the scan", lambda: None))
        found = await cast(TrackedStore, self._inner).track(*words, **more)
        await to_thread.run_sync(self._todo.pop("after the scan", lambda: None))
        return found

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        await to_thread.run_sync(self._todo.pop("before a write", lambda: None))
        return await self._inner.write(changes)

    async def token(self) -> bytes | None:
        await to_thread.run_sync(self._todo.pop("at the end", lambda: None))
        return await self._inner.token()


MEANS = [copied, copied_with_times, moved, mirrored, unpacked, made_anew]


async def kept(kind: str, directory: Path) -> RealPair:
    """Return a store of *kind*, in sync with a database, with a copy of its files from then."""
    (directory / "home").mkdir()
    left, right = KINDS[kind](directory / "home" / "records"), DjangoPlace(directory / "right.sqlite")
    made = await RealPair(directory / "state", left, right).synced(OLD)
    run("cp", "-rp", directory / "home", directory / "backup")
    return made


@pytest.fixture(params=KINDS)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> RealPair:
    """A pair with a store of each kind on the left."""
    return await kept(request.param, tmp_path)


@pytest.fixture
async def dumb(tmp_path: Path) -> RealPair:
    """A pair with a dumb shelf on the left."""
    return await kept("dbm.dumb", tmp_path)


@pytest.fixture
async def sqlite(tmp_path: Path) -> RealPair:
    """A pair with a database on the left."""
    return await kept("SQLite", tmp_path)


def put_back(pair: RealPair, means: Callable[[Path, Path], None]) -> None:
    means(pair.directory.parent / "backup", pair.directory.parent / "home")


async def is_another(location: Location, before: incarnation.Mark | None) -> bool:
    """Say whether the file at *location* is another one than that of the mark *before*."""
    now = await to_thread.run_sync(location.mark)
    return await to_thread.run_sync(location.is_another, before, now)


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("kind", KINDS)
async def test_every_means_of_restoring_a_store_is_recognized(
    kind: str, means: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """The copy lacks one record; the file shows it, whatever its times and its inode."""
    (tmp_path / "home").mkdir()
    place = KINDS[kind](tmp_path / "home" / "records")
    await place.put(*OLD)
    run("cp", "-rp", tmp_path / "home", tmp_path / "backup")
    await place.put(NEW[0])
    before = await to_thread.run_sync(place.location.mark)
    assert not await is_another(place.location, before)

    means(tmp_path / "backup", tmp_path / "home")

    assert await is_another(place.location, before)
    now = await to_thread.run_sync(place.location.mark)
    assert not await is_another(place.location, now)


@pytest.mark.parametrize("kind", ["dbm.sqlite3", "SQLite"])
async def test_reading_a_mark_leaves_no_files(kind: str, tmp_path: Path) -> None:
    """Neither in WAL mode, in which a reader creates files, nor in any other."""
    (tmp_path / "home").mkdir()
    place = KINDS[kind](tmp_path / "home" / "records")
    await place.put(*OLD)
    with closing(sqlite3.connect(place.location.path)) as db:
        db.execute("PRAGMA journal_mode = wal")

    before = await to_thread.run_sync(place.location.mark)
    assert not await is_another(place.location, before)

    assert list(contents(tmp_path / "home")) == ["records"]


@pytest.mark.parametrize(
    ("text", "followed"),
    [
        ("1:10:512:100:7", True),
        ("2:10:512:100:7", True),  # after a mount
        ("1:11:512:100:7", False),
        ("1:10:511:100:7", False),
        ("1:10:512:99:7", False),
        ("1:10:512:100:6", False),
        ("1:10:900:900:9:9:5", True),
        ("1:10::100", True),  # the database was locked
    ],
)
def test_file_with_any_value_that_went_back_is_another_one(text: str, followed: bool) -> None:
    """A value that one of the two marks lacks does not count."""
    before, now = incarnation.read("1:10:512:100:7"), incarnation.read(text)

    assert before is not None
    assert now is not None
    assert before.is_followed_by(now) is followed
    assert incarnation.read(str(now)) == now
    assert now.completed(before).highest in (now.highest, before.highest)
    assert incarnation.read("") is None


async def test_ordinary_changes_make_no_other_file(pair: RealPair) -> None:
    """Deletions are carried from a store in use."""
    await pair.left.put(*NEW)
    await pair.cycle()
    await pair.left.remove("new-2")
    await pair.left.remove("old-0")
    await pair.left.put(full("later"))

    report = await pair.cycle()

    assert (report.adopted, report.right.deleted, report.right.created) == ([], 2, 1)
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT)


@pytest.mark.parametrize(("means", "lost"), [(copied, 1), (moved, 3)])
async def test_copy_that_lacks_a_few_records_deletes_nothing(
    pair: RealPair, means: Callable[[Path, Path], None], lost: int
) -> None:
    """They are far below the limit of the guard; both sides have them afterwards, and the plan says so."""
    await pair.left.put(*NEW[:lost])
    assert (await pair.cycle()).right.created == lost

    put_back(pair, means)
    planned = await pair.cycle(dry_run=True)
    report = await pair.cycle()

    assert (report.left.deleted, report.right.deleted, report.held) == (0, 0, [])
    assert (report.ok, report.adopted, report.left.created) == (True, [Side.LEFT], lost)
    assert (planned.left.created, planned.right.deleted) == (lost, 0)
    every = {one.label for one in [*OLD, *NEW[:lost]]}
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT) == every
    again = await pair.cycle()
    assert (again.ok, again.adopted, again.left.written + again.right.written) == (True, [], 0)


async def test_edits_that_a_copy_lacks_come_back(dumb: RealPair) -> None:
    """No user reverted them: appended lines and tags are on both sides afterwards."""
    later = [tagged(commented(OLD[0], "seen again"), "figure-3"), *OLD[1:]]
    await dumb.left.put(later[0])
    assert (await dumb.cycle()).right.updated == 1

    put_back(dumb, copied_with_times)
    report = await dumb.cycle()

    assert (report.ok, report.adopted, report.left.updated, report.right.written) == (True, [Side.LEFT], 1, 0)
    for side in SIDES:
        held = (await dumb.records(side))[key("old-0")]
        assert (held.outcome, held.tags) == (later[0].outcome, later[0].tags)


async def test_edit_that_a_copy_lacks_and_that_cannot_be_merged_is_a_conflict(sqlite: RealPair) -> None:
    """Only a user may overwrite the newer text."""
    await sqlite.left.put(change(OLD[0], outcome="diverged after all"))
    await sqlite.cycle()

    put_back(sqlite, copied_with_times)
    report = await sqlite.cycle()

    assert [(each.label, each.fields) for each in report.conflicts] == [("old-0", ("outcome",))]
    assert report.left.written + report.right.written == 0
    assert (await sqlite.records(Side.RIGHT))[key("old-0")].outcome == "diverged after all"
    await sqlite.left.put(full("later"))
    again = await sqlite.cycle()
    assert ([each.label for each in again.conflicts], again.right.updated) == (["old-0"], 0)


async def test_edit_in_an_exchanged_file_is_copied(dumb: RealPair) -> None:
    """A program that mirrors a directory replaces files, too; new contents are new."""
    backup = dumb.directory.parent / "backup"
    shutil.rmtree(backup)
    await dumb.left.put(change(OLD[0], outcome="diverged after all"))
    run("cp", "-rp", backup.parent / "home", backup)

    put_back(dumb, exchanged)
    report = await dumb.cycle()

    assert (report.ok, report.adopted, report.right.updated) == (True, [], 1)


async def test_restored_target_of_a_one_way_pair_is_filled_again(dumb: RealPair) -> None:
    """A user's deletions in the target stay; what a copy of it lacks comes back."""
    dumb.places = dumb.places.swapped
    mode = Mode.LEFT_TO_RIGHT
    await dumb.left.put(*NEW)
    assert (await dumb.cycle(mode=mode)).right.created == 3

    put_back(dumb, copied)
    report = await dumb.cycle(mode=mode)

    assert (report.ok, report.adopted, report.right.created) == (True, [Side.RIGHT], 3)


async def test_later_records_in_a_restored_copy_hide_no_loss(sqlite: RealPair) -> None:
    """After more runs its row numbers are as high as before, but of other records."""
    await sqlite.left.put(*NEW)
    await sqlite.cycle()

    put_back(sqlite, copied)
    await sqlite.left.put(full("work"), full("more work"), full("yet more"), full("at last"))
    report = await sqlite.cycle()

    assert (report.ok, report.adopted) == (True, [Side.LEFT])
    assert (report.left.created, report.right.created, report.right.deleted) == (3, 4, 0)


@pytest.mark.parametrize("moment", ["before the scan", "after the scan", "at the end"])
async def test_copy_restored_during_a_cycle_deletes_nothing(pair: RealPair, moment: str) -> None:
    """The file that was scanned counts, not the one before or after."""
    await pair.left.put(*NEW)
    await pair.cycle()
    await pair.left.put(full("more"))
    async with pairing.open_stores(pair.places.map(lambda place: place.location)) as stores:
        meddled = Meddled(stores.left, moment, lambda: put_back(pair, moved))
        during = await pair.cycle(Both(meddled, stores.right))

    after = await pair.cycle()

    assert (during.right.deleted, after.right.deleted) == (0, 0)
    assert [*during.adopted, *after.adopted] == [Side.LEFT]
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT) >= {one.label for one in NEW}


async def test_copy_restored_after_half_a_cycle_deletes_nothing(pair: RealPair) -> None:
    """A power cut that reverts a commit looks the same: the journal has baselines of that cycle."""

    def fail() -> None:
        raise StoreUnreachable("the power failed")

    shutil.rmtree(pair.directory.parent / "backup")
    run("cp", "-rp", pair.directory.parent / "home", pair.directory.parent / "backup")
    await pair.right.put(full("theirs"))
    await pair.left.put(*NEW)
    async with pairing.open_stores(pair.places.map(lambda place: place.location)) as stores:
        with pytest.raises(StoreUnreachable):
            await pair.cycle(Both(stores.left, Meddled(stores.right, "before a write", fail)))
    assert "theirs" in await pair.labels(Side.LEFT)

    put_back(pair, copied)
    await pair.left.put(full("work goes on"))
    report = await pair.cycle()

    assert (report.adopted, report.right.deleted) == ([Side.LEFT], 0)
    assert "theirs" in await pair.labels(Side.LEFT) & await pair.labels(Side.RIGHT)


async def test_copy_found_by_an_unfinished_cycle_deletes_nothing(sqlite: RealPair) -> None:
    """Baselines of half a cycle must not make the copy count as the original."""
    await sqlite.left.put(*NEW)
    await sqlite.cycle()
    put_back(sqlite, copied)
    await sqlite.left.put(full("here"))
    await sqlite.right.put(full("there"))

    def fail() -> None:
        raise StoreUnreachable("the power failed")

    async with pairing.open_stores(sqlite.places.map(lambda place: place.location)) as stores:
        with pytest.raises(StoreUnreachable):
            await sqlite.cycle(Both(stores.left, Meddled(stores.right, "before a write", fail)))
    report = await sqlite.cycle()

    assert report.right.deleted == 0
    assert await sqlite.labels(Side.LEFT) == await sqlite.labels(Side.RIGHT) >= {one.label for one in NEW}


async def test_file_replaced_by_smtd_itself_stays_the_same_store(
    dbm_environment: Environment, tmp_path: Path
) -> None:
    """smtd writes a gdbm by replacing the file; deletions are carried from it afterwards."""
    (tmp_path / "home").mkdir()
    left = foreign_place(GNU, tmp_path / "home" / "records", dbm_environment.python)
    pair = await RealPair(tmp_path / "state", left, DjangoPlace(tmp_path / "right.sqlite")).synced(OLD)
    await pair.right.put(full("there"))
    assert (await pair.cycle()).left.created == 1
    # smtd's last write to a shelf without a lock does not count as deleted; the rest does.
    await pair.left.remove("old-0")

    report = await pair.cycle()

    assert (report.ok, report.adopted, report.right.deleted) == (True, [], 1)
