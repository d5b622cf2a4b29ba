"""A kind of store is one package and one line: smtd knows only what its driver says."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from smtd import pairing
from smtd.cli.ctl import is_path
from smtd.daemon.events import Events
from smtd.daemon.worker import Worker
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport
from smtd.errors import StoreRefused, StoreUnreachable, UsageError
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both, Side
from smtd.stores import registry
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.stores.registry import DRIVERS, open_store
from smtd.stores.retrying import RetryingStore
from smtd.watch import Watch
from tests.build import key
from tests.daemon.working import SETTINGS, put, until_in_sync
from tests.stores.toy import START, TOY, TOY_SERVER


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line for each driver."""
    monkeypatch.setattr(registry, "DRIVERS", (*DRIVERS, TOY, TOY_SERVER))


def made(path: Path) -> Path:
    path.write_text(f"{START}\n", encoding="utf-8")
    return path


async def labels(location: Location) -> set[str]:
    async with open_store(location) as store:
        return {each.label for each in (await store.scan()).digests}


async def synced(state: Path, locations: Both[Location]) -> PairReport:
    async with open_journal(state) as journal, pairing.open_stores(locations) as stores:
        return await pairing.sync(journal, "pair", locations, stores, Policy())


# Detection


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize("name", ["records", "records.db", "records.shelf", "records.json", "records.toy"])
def test_new_kind_is_recognized_by_content(tmp_path: Path, name: str) -> None:
    """Under any name, as the real ones."""
    path = made(tmp_path / name)

    assert find(str(path)) == Location(TOY, path)


@pytest.mark.usefixtures("line")
def test_new_store_of_a_new_kind_is_created_by_its_ending(tmp_path: Path) -> None:
    """If there is nothing yet."""
    assert find(str(tmp_path / "new.toy"), may_be_new=True) == Location(TOY, tmp_path / "new.toy")


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize("name", ["new.toy", "new.db", "new.shelf"])
def test_new_store_of_a_new_kind_is_a_path_for_pair_add(name: str) -> None:
    """By its ending alone, and then not the name of a configured store."""
    assert (is_path(name), is_path("lab"), is_path("toy")) == (True, False, False)


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize("is_there", [True, False])
def test_project_file_may_name_a_new_kind(tmp_path: Path, is_there: bool) -> None:
    """By the class and the key in its driver."""
    store = {"type": "toys.ToyRecordStore", "toy_file": ".smt/records"}
    (tmp_path / ".smt").mkdir()
    (tmp_path / ".smt" / "project").write_text(json.dumps({"name": "P", "record_store": store}), "utf-8")
    if is_there:
        made(tmp_path / ".smt" / "records")

    assert find(str(tmp_path)) == Location(TOY, tmp_path / ".smt" / "records", "P")


@pytest.mark.usefixtures("line")
def test_new_kind_on_a_server_is_named_by_its_address() -> None:
    """With the user, who is not shown."""
    found = find("toy://ada@/tmp/records")

    assert (found.driver, str(found), found.access.username) == (TOY_SERVER, "toy:///tmp/records", "ada")
    assert (found.files, found.is_missing(), found.mark()) == ((), False, None)


@pytest.mark.usefixtures("line")
def test_error_lists_the_new_kind(tmp_path: Path) -> None:
    """The message about a file that is no store names all kinds."""
    (tmp_path / "notes").write_text("to myself", encoding="utf-8")

    with pytest.raises(StoreRefused, match=r"neither a shelf nor .* nor a toy"):
        find(str(tmp_path / "notes"))


def test_kind_without_its_line_is_unknown(tmp_path: Path) -> None:
    """Only the line adds it to smtd."""
    with pytest.raises(StoreRefused, match=r"neither a shelf nor an SQLite file nor an export \(.json\)$"):
        find(str(made(tmp_path / "records")))
    with pytest.raises(UsageError, match="toy:// locations are not supported yet"):
        find("toy://records")


# Opening, incarnation and watching


@pytest.fixture
async def locations(line: None, tmp_path: Path) -> Both[Location]:
    """A new toy store with the record "run", and a database that does not exist yet."""
    names = Both("one.toy", "other.sqlite")
    found = names.map(lambda name: partial(find, str(tmp_path / name), may_be_new=True))
    both = Both(await to_thread.run_sync(found.left), await to_thread.run_sync(found.right))
    await put(both.left, "run")
    return both


async def test_new_kind_is_synced_with_a_real_one(tmp_path: Path, locations: Both[Location]) -> None:
    """In both directions."""
    first = await synced(tmp_path / "state", locations)
    await put(locations.right, "back")
    second = await synced(tmp_path / "state", locations)

    assert (first.right.created, second.left.created) == (1, 1)
    assert await labels(locations.left) == await labels(locations.right) == {"run", "back"}


async def test_new_kind_on_a_server_is_opened_by_its_address(locations: Both[Location]) -> None:
    """With retries and limits, like the stores of all servers."""
    location = await to_thread.run_sync(find, f"toy://ada@{locations.left}")

    async with open_store(location) as store:
        assert isinstance(store, RetryingStore)
        assert set((await store.scan()).digests) == {key("run")}


async def test_restored_store_of_a_new_kind_deletes_nothing(
    tmp_path: Path, locations: Both[Location]
) -> None:
    """Its driver says how to recognize an older copy: here, the file never shrinks."""
    older = await to_thread.run_sync(locations.left.path.read_bytes)
    await put(locations.left, "more")
    await synced(tmp_path / "state", locations)
    await to_thread.run_sync(locations.left.path.write_bytes, older)

    report = await synced(tmp_path / "state", locations)

    assert (report.adopted, report.left.created, report.right.deleted) == ([Side.LEFT], 1, 0)


async def test_missing_store_of_a_new_kind_deletes_nothing(tmp_path: Path, locations: Both[Location]) -> None:
    """It is offline, like one of a real kind."""
    await synced(tmp_path / "state", locations)
    await to_thread.run_sync(locations.left.path.unlink)

    with pytest.raises(StoreUnreachable, match="is missing, but was synced before"):
        await synced(tmp_path / "state", locations)


async def test_new_kind_is_watched(tmp_path: Path, locations: Both[Location]) -> None:
    """A change of its file is synced by itself, long before the next poll."""
    watch = Watch()
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(SETTINGS, lambda: locations, journal, watch, Events(journal.events))
        group.start_soon(watch.run)
        group.start_soon(worker.run)
        await until_in_sync(worker, 1)
        await put(locations.left, "more")

        await until_in_sync(worker, 2)

        group.cancel_scope.cancel()
    assert await labels(locations.right) == {"run", "more"}


# Names


def test_names_of_drivers_never_change() -> None:
    """Journals have them: a store of another name is another store, without baselines."""
    assert sorted(driver.name for driver in DRIVERS) == [
        *("django", "dumb", "export", "gnu", "http", "mysql", "ndbm", "old_django", "postgresql", "sqlite3")
    ]
