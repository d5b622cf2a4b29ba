"""While the daemon runs, a link or a project comes to name another store, or other files take its place."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from smtd import filestat, pairing
from smtd.daemon.jobs import Sync
from smtd.errors import StoreUnreachable, UsageError
from smtd.merge.sides import Both
from smtd.records.record import Key
from smtd.stores.discovery import find
from smtd.stores.location import Location
from tests.build import commented, full, key
from tests.daemon.working import working
from tests.projects import make_project
from tests.stores.places import DjangoPlace, ShelfPlace, dumb_place, sqlite3_place

CORPUS = Path(__file__).parents[1] / "stores" / "corpus"


@pytest.fixture
def hub(tmp_path: Path) -> DjangoPlace:
    """The place of the right store."""
    return DjangoPlace(tmp_path / "hub.sqlite")


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """A symbolic link to a store, once it is pointed to one."""
    return tmp_path / "link"


def repoint(link: Path, target: Path) -> None:
    """Make *link* lead to *target*."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def found(left: Path, right: DjangoPlace) -> Callable[[], Both[Location]]:
    """Return what finds both stores by their words, as the daemon does before each cycle."""
    return lambda: Both(find(str(left)), find(str(right.path), may_be_new=True))


async def held(place: DjangoPlace) -> set[Key]:
    """Return the keys of the records at *place*."""
    async with place.open() as store:
        return {*(await store.scan()).digests}


# Links and projects


async def test_new_target_of_a_link_is_watched_and_shown(
    tmp_path: Path, link: Path, hub: DjangoPlace
) -> None:
    """An edit there is noticed at once, and not at the next poll, five minutes later."""
    for name in ("first", "later"):
        await DjangoPlace(tmp_path / name).put(full("run"))
    repoint(link, tmp_path / "first")

    async with working(found(link, hub), tmp_path) as worker:
        repoint(link, tmp_path / "later")
        await worker.submit(Sync())
        shown, watched = worker.status.left.location, worker.session._watch._watched[worker.session].paths

    assert (shown, tmp_path / "later" in watched) == (str(tmp_path / "later"), True)


async def test_link_repointed_during_a_cycle_deletes_nothing(
    tmp_path: Path, link: Path, hub: DjangoPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other store, an old copy, never had the record; no user deleted it."""
    first = DjangoPlace(tmp_path / "first")
    await first.put(*(full(f"run-{number}") for number in range(20)))
    shutil.copy(first.path, tmp_path / "old")
    await first.put(full("newest"))
    repoint(link, first.path)
    sync, moves = pairing.sync, iter([False, True])

    async def late(*args: Any, **options: Any) -> Any:
        if next(moves, False):
            await to_thread.run_sync(repoint, link, tmp_path / "old")
        return await sync(*args, **options)

    monkeypatch.setattr(pairing, "sync", late)
    async with working(found(link, hub), tmp_path) as worker:
        await worker.submit(Sync())

    assert key("newest") in await held(hub)


@pytest.mark.parametrize("by", ["project", "link"])
async def test_store_named_during_the_search_is_synced_from_the_next_cycle_on(
    tmp_path: Path, by: str, link: Path, hub: DjangoPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finding the other side may take ten seconds, if a program has locked it."""
    laptop = tmp_path / "laptop"
    word, point = (
        (laptop, partial(make_project, laptop)) if by == "project" else (link, partial(repoint, link))
    )
    for name in ("first", "later"):
        await DjangoPlace(tmp_path / name).put(full(name))
    await hub.put(full("hub"))
    point(tmp_path / "first")
    sync, synced = pairing.sync, list[Path]()

    async def watched(journal: Any, name: str, locations: Both[Location], *args: Any, **options: Any) -> Any:
        synced.append(Path(locations.left.name))
        return await sync(journal, name, locations, *args, **options)

    monkeypatch.setattr(pairing, "sync", watched)
    news = iter(["later"])

    def locate() -> Both[Location]:
        left = find(str(word))
        for name in news:
            point(tmp_path / name)  # a user is quicker than the look at the other side
        return Both(left, find(str(hub.path)))

    async with working(locate, tmp_path) as worker:
        for _ in range(2):
            await worker.submit(Sync())

    assert key("later") in await held(hub)
    assert synced[-1].name == "later"  # it is identified by that file, and baselines are stored for it


async def test_project_repointed_within_a_second_is_followed(
    tmp_path: Path, hub: DjangoPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where times are in whole seconds, young files may change and keep the same status."""
    laptop, look = tmp_path / "laptop", filestat._stat
    for name in ("first", "later"):
        await DjangoPlace(tmp_path / name).put(full(name))
    await hub.put(full("hub"))

    def coarse(path: Path) -> tuple[int, ...] | None:
        if path.name != "project":
            return look(path)
        found = os.stat(path)
        now = int(found.st_mtime) // 60 * 60 * 1_000_000_000
        seen = (found.st_dev, found.st_ino, found.st_size, now, now)
        filestat._note(seen)
        return seen

    monkeypatch.setattr(filestat, "_stat", coarse)
    make_project(laptop, tmp_path / "first")
    async with working(found(laptop, hub), tmp_path) as worker:
        make_project(laptop, tmp_path / "later")
        for _ in range(2):
            await worker.submit(Sync())

    assert key("later") in await held(hub)


async def test_store_that_arrives_in_a_moved_project_is_its_store(tmp_path: Path, hub: DjangoPlace) -> None:
    """As for a daemon that starts now: Sumatra uses it, too."""
    old = make_project(tmp_path / "old", tmp_path / "old" / ".smt" / "records")
    new = make_project(tmp_path / "new", old / "records")
    for place in (DjangoPlace(old / "records"), hub):
        await place.put(full("run"))

    async with working(found(tmp_path / "new", hub), tmp_path) as worker:
        shutil.copy(old / "records", new / "records")
        await DjangoPlace(new / "records").put(full("later"))
        await worker.submit(Sync())

    assert key("later") in await held(hub)


# The shelf of a project


@pytest.fixture
def shelf(tmp_path: Path) -> ShelfPlace:
    """The place of the shelf of a project in `laptop`, whose Python has another dbm (here that of 3.13)."""
    place = tmp_path / "laptop" / ".smt" / "records"
    make_project(tmp_path / "laptop", place, kind="ShelveRecordStore")
    return sqlite3_place(place)


async def test_shelf_created_later_is_copied_and_has_no_other_beside_it(
    tmp_path: Path, shelf: ShelfPlace, hub: DjangoPlace
) -> None:
    """dbm.whichdb would take a second one for the shelf, and Sumatra would no longer see its own records."""
    await hub.put(full("other"), project="Other")
    async with working(found(tmp_path / "laptop", hub), tmp_path) as worker:
        await shelf.put(full("run"))
        await hub.put(full("colleague's"))
        await worker.submit(Sync())

    assert key("run") in await held(hub)
    assert not shelf.location.path.with_name("records.dat").exists()


async def test_missing_shelf_is_offline_and_synced_once_it_is_back(
    tmp_path: Path, shelf: ShelfPlace, hub: DjangoPlace
) -> None:
    """A project file does not say which kind its shelf has: smtd creates no other one in its place."""
    home = shelf.location.path.parent
    for place in (shelf, hub):
        await place.put(full("run"))

    async with working(found(tmp_path / "laptop", hub), tmp_path) as worker:
        shelf.location.path.rename(tmp_path / "away")
        for _ in range(2):  # the daemon retries
            with pytest.raises(StoreUnreachable, match="is missing, but was synced before"):
                await worker.submit(Sync())
        assert [file.name for file in home.iterdir()] == ["project"]
        (tmp_path / "away").rename(shelf.location.path)
        await shelf.put(commented(full("run"), "seen"))
        await worker.submit(Sync())

    async with hub.open() as store:
        assert str((await store.read([key("run")]))[key("run")].outcome).endswith("seen")


# Other files in place of a store


async def test_shelf_that_appears_beside_a_database_of_its_name_is_reported(
    tmp_path: Path, hub: DjangoPlace
) -> None:
    """As by a daemon that starts now: Sumatra may write to either."""
    left = DjangoPlace(tmp_path / "left")
    await left.put(full("run"))
    async with working(found(left.path, hub), tmp_path) as worker:
        await dumb_place(left.path).put(full("other"))
        with pytest.raises(UsageError, match="both an SQLite store and a shelf"):
            await worker.submit(Sync())


async def test_pair_whose_stores_become_one_file_halts(tmp_path: Path, hub: DjangoPlace) -> None:
    """As it would not start: edits there have no copy any more."""
    left = DjangoPlace(tmp_path / "left")
    for place in (left, hub):
        await place.put(full("run"))

    def locate() -> Both[Location]:  # as Daemon._located
        both = found(left.path, hub)()
        if both.left.shares_file(both.right):
            raise UsageError("name two different stores")
        return both

    async with working(locate, tmp_path) as worker:
        hub.path.unlink()
        os.link(left.path, hub.path)
        with pytest.raises(UsageError, match="name two different stores"):
            await worker.submit(Sync())


async def test_shelf_that_became_a_database_is_read_as_one(tmp_path: Path, hub: DjangoPlace) -> None:
    """It was converted: Sumatra on Python 3.13 leaves an empty table `Dict` in a database."""
    place, new = sqlite3_place(tmp_path / "store"), DjangoPlace(tmp_path / "new")
    await place.put(full("run"))
    await hub.put(full("run"))
    await new.put(full("run"), full("later"))
    with closing(sqlite3.connect(new.path)) as db:
        db.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")

    async with working(found(tmp_path / "store", hub), tmp_path) as worker:
        os.replace(new.path, tmp_path / "store")
        for _ in range(2):
            await worker.submit(Sync())

    with closing(sqlite3.connect(tmp_path / "store")) as db:
        assert db.execute("SELECT count(*) FROM Dict").fetchone() == (0,)
    assert key("later") in await held(hub)


async def test_database_restored_to_an_older_schema_is_synced_at_once(
    tmp_path: Path, hub: DjangoPlace
) -> None:
    """From before an upgrade: no cycle fails, and no notification reports damage."""
    left = DjangoPlace(tmp_path / "left")
    for place in (left, hub):
        await place.put(full("run"))

    async with working(found(left.path, hub), tmp_path) as worker:
        shutil.copy(CORPUS / "django074.sqlite", tmp_path / "old")
        os.replace(tmp_path / "old", left.path)

        assert (await worker.submit(Sync())).ok
