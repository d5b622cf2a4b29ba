"""Real Sumatra 0.8.1 works with what smtd makes of an old store; docs/how-to/old-sumatra.md has the steps."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from smtd.records.record import Component, Key, Record
from smtd.stores.base import DONE, Change, Store
from smtd.stores.legacy import databases, export
from smtd.stores.legacy.snapshot import SnapshotStore
from smtd.stores.shelf.contents import DbmFile
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.gnu import GnuFile
from smtd.stores.shelf.ndbm import NdbmFile
from smtd.stores.shelf.store import ShelfStore
from tests.build import change, tagged
from tests.peers.environments import Environment, PeerFailed
from tests.peers.fixtures import RICH
from tests.peers.project import SumatraProject
from tests.peers.stores import PeerStore, copy_store
from tests.stores import old_databases
from tests.stores import seen as sumatra
from tests.stores.asking import write_to
from tests.stores.old_databases import PROJECT, VERSIONS
from tests.stores.old_exports import V07
from tests.stores.old_shelves import SHELVES, own, whole
from tests.stores.places import CORPUS, DjangoPlace, Place, ShelfPlace, contents, dumb_place
from tests.stores.samples import ROOT
from tests.stores.sumatra.contract import as_in_a_database, differing

LABELS = ["20261122-062421", "20261122-062419"]


#: The old shelves, and those of 0.8.1 by the Python that reads them.
BACKENDS: dict[str, Callable[[Path], DbmFile]] = {
    **dict.fromkeys((*SHELVES, "c081_dumb"), DumbFile),
    "c081_gnu": lambda path: GnuFile(path, None),
    "c081_ndbm.db": lambda path: NdbmFile(path, None),
}


def at_home(one: Record) -> Record:
    """Return *one* with its data where real Sumatra may create directories, as it does when it reads."""

    def moved(store: Component) -> Component:
        return Component(store.type, {**store.parameters, "root": ROOT})

    return change(one, datastore=moved(one.datastore), input_datastore=moved(one.input_datastore))


async def write_all(place: Place, found: dict[Key, Record]) -> None:
    """Have smtd write all that was *found* into the new store at *place*."""
    assert set(await write_to(place, [Change(of, one, None) for of, one in found.items()])) == {DONE}


async def copied(source: Store, place: Place) -> dict[Key, Record]:
    """Have smtd copy all of *source* into the new store at *place*, and return it."""
    found = {of: at_home(one) for of, one in (await whole(source)).items()}
    await write_all(place, found)
    return found


def old_database(path: Path) -> SnapshotStore:
    """Open a database that was filled in Paris."""
    return SnapshotStore(databases.SOURCE, path, str(path), "Europe/Paris")


def as_seen(one: Record) -> Record:
    """Return *one* without what Sumatra makes up on its machine; it also completes launch modes."""
    return change(as_in_a_database(one), launch_mode=Component(one.launch_mode.type, {}))


async def assert_seen(peer: PeerStore, found: dict[Key, Record]) -> None:
    """Assert that Sumatra sees what was copied, and can make every object of it.

    It writes a reference between parameters as a text without meaning.
    """
    seen = sumatra.records(await to_thread.run_sync(peer.dump))
    for of, one in found.items():
        if "ref('" in one.parameters.content:
            seen[of] = change(seen[of], parameters=one.parameters)
    assert seen.keys() == found.keys()
    assert differing(seen, found, as_seen) == {}


@pytest.fixture
def shelf(tmp_path: Path, plain_environment: Environment) -> tuple[ShelfPlace, PeerStore]:
    """A new shelf, and Sumatra at work in it."""
    path = tmp_path / "new" / "records"
    path.parent.mkdir()
    return dumb_place(path), PeerStore(plain_environment, "shelf", path)


@pytest.fixture
def database(tmp_path: Path, django_environment: Environment) -> tuple[DjangoPlace, PeerStore]:
    """A new SQLite store, and Sumatra at work in it."""
    path = tmp_path / "new" / "records"
    path.parent.mkdir()
    return DjangoPlace(path), PeerStore(django_environment, "django", path)


async def read_together(names: Mapping[str, Callable[[Path], DbmFile]]) -> dict[Key, Record]:
    """Return the records of the shelves *names*, which have different labels then."""
    found: dict[Key, Record] = {}
    for name, read_by in names.items():
        for of, one in (await whole(ShelfStore(read_by(CORPUS / name), name, "Europe/Paris"))).items():
            label = f"{name}-{of.label}"
            found[own(label)] = change(at_home(one), label=label)
    return found


async def test_sumatra_works_on_old_shelves_copied_into_a_new_one(
    shelf: tuple[ShelfPlace, PeerStore],
) -> None:
    """Real Sumatra 0.8.1 loads all records; with an edit of one it saves all of them."""
    place, peer = shelf
    found = await read_together(dict.fromkeys(SHELVES, DumbFile))
    await write_all(place, found)

    await assert_seen(peer, found)
    edited = own(f"{next(iter(SHELVES))}-rec-00")
    await to_thread.run_sync(lambda: peer.edit(edited.project, edited.label, tag="theirs"))
    await assert_seen(peer, found | {edited: tagged(found[edited], "theirs")})


@pytest.mark.soak
async def test_sumatra_reads_all_old_shelves_copied_into_one_database(
    database: tuple[DjangoPlace, PeerStore], django_project: SumatraProject
) -> None:
    """Real Sumatra 0.8.1 lists, shows and exports the new store."""
    place, peer = database
    found = await read_together(BACKENDS)
    await write_all(place, found)

    await assert_seen(peer, found)

    django_project.init("corpus")
    copy_store(place.path, django_project.store_path)
    listed = {of.label for of in found}
    assert set(django_project.labels()) == listed
    long = django_project.list(long=True)
    assert all(label in long for label in listed)
    assert all(f"{name}-rec-01" in django_project.smt("view", f"{name}-rec-01") for name in BACKENDS)
    assert django_project.records().keys() == listed


async def test_sumatra_reads_the_copies_of_old_databases(
    database: tuple[DjangoPlace, PeerStore], tmp_path: Path
) -> None:
    """Of real ones, with their true times, and of every old schema: whatever it lacks, nothing is missed."""
    place, peer = database
    paths = [CORPUS / name for name in ("django074.sqlite", "django_0.4.0.sqlite")]
    paths += [await to_thread.run_sync(old_databases.make, tmp_path / name, name) for name in VERSIONS]
    found: dict[Key, Record] = {}
    for number, path in enumerate(paths):
        for of, one in (await whole(old_database(path))).items():
            label = f"{number}-{of.label}"
            found[of._replace(label=label)] = change(at_home(one), label=label)
    await write_all(place, found)

    assert len(found) == 2 * 2 + len(VERSIONS)
    await assert_seen(peer, found)


async def test_real_export_equals_its_store(django_project: SumatraProject, rich_sqlite: Path) -> None:
    """Record by record, from real Sumatra 0.8.1."""
    django_project.init(RICH)
    os.replace(rich_sqlite, django_project.store_path)
    await to_thread.run_sync(django_project.export)
    file = django_project.smt_directory / "records_export.json"
    before = contents(file.parent)

    found = await to_thread.run_sync(export.load, file, "Asia/Kolkata")

    async with DjangoPlace(django_project.store_path).open() as store:
        held = await whole(store)
    assert (found.version, found.unreadable) == ("0.8", {})
    assert found.records.keys() == held.keys()
    assert differing(found.records, held) == {}
    assert contents(file.parent) == before


# The project of a user


def as_of_0_7(project: SumatraProject) -> None:
    """Leave in the project's file only what 0.7.4 writes into it."""
    file = project.smt_directory / "project"
    written = json.loads(file.read_text(encoding="utf-8"))
    del written["ignore_parameters"]
    file.write_text(json.dumps({**written, "sumatra_version": "0.7.4"}), encoding="utf-8")


def put_export(project: SumatraProject) -> None:
    """Put beside the store what `smt export` of 0.7.4 makes."""
    home = project.smt_directory
    shutil.copyfile(home / "project", home / "project_export.json")
    (home / "records_export.json").write_text(json.dumps([V07]), encoding="utf-8")


@pytest.fixture
def old_project(django_project: SumatraProject) -> SumatraProject:
    """A project as 0.7.4 leaves it: its file has fewer settings, and its store has the old schema."""
    django_project.init(PROJECT)
    as_of_0_7(django_project)
    shutil.copyfile(CORPUS / "django074.sqlite", django_project.store_path)
    return django_project


@pytest.fixture
def upgraded(old_project: SumatraProject) -> SumatraProject:
    """The same project after the first steps: the old store set aside, and a new one in its place."""
    beside = old_project.smt_directory / "records-0.7.sqlite"
    old_project.store_path.rename(beside)
    anyio.run(copied, old_database(beside), DjangoPlace(old_project.store_path))
    return old_project


def test_upgraded_project_works_with_its_new_store(upgraded: SumatraProject) -> None:
    """Sumatra lists, shows and exports what was copied, and `smt run` adds to it.

    It needs a project setting that 0.7.4 did not write: hence the last step.
    """
    assert upgraded.labels() == LABELS
    assert upgraded.labels("foo") == LABELS[:1]
    assert "2026-11-22 05:24:21" in upgraded.list(long=True)
    assert "hello" not in upgraded.smt("view", LABELS[0])
    assert upgraded.records()[LABELS[0]]["timestamp"] == "2026-11-22 05:24:21+0000"

    with pytest.raises(PeerFailed, match="no attribute 'ignore_parameters'"):
        upgraded.run(label="before")
    upgraded.smt("configure", "--parse-parameters")
    upgraded.run(label="after")
    upgraded.comment(LABELS[1], "still good")
    upgraded.tag("kept", LABELS[1])

    assert upgraded.labels() == ["after", *LABELS]
    assert upgraded.records()[LABELS[1]]["outcome"] == "still good"
    assert upgraded.labels("kept") == [LABELS[1]]


def test_sumatra_cannot_open_the_old_store(old_project: SumatraProject) -> None:
    """Every command of 0.8.1 on a store of 0.7.4 fails, and leaves its records unchanged."""
    for command in (("list",), ("configure", "--store", "new.sqlite"), ("export",)):
        with pytest.raises(PeerFailed, match="already exists"):
            old_project.smt(*command)

    assert databases.load(old_project.store_path, "Europe/Paris").records.keys() == {
        Key(PROJECT, label) for label in LABELS
    }


def test_upgrade_of_sumatra_leaves_an_empty_store(old_project: SumatraProject) -> None:
    """`smt upgrade` fails half way; the old store is in the directory that it sets aside."""
    put_export(old_project)

    with pytest.raises(PeerFailed, match="no such table"):
        old_project.smt("upgrade")
    with pytest.raises(PeerFailed, match="no such table"):
        old_project.smt("list")

    (backup,) = old_project.directory.glob(".smt_backup_*")
    assert databases.load(backup / "records.backup", "Europe/Paris").records.keys() == {
        Key(PROJECT, label) for label in LABELS
    }
    assert export.load(backup / "records_export.json", "").records.keys() == {Key(PROJECT, "run")}


def test_upgrade_of_sumatra_fails_with_a_shelf(plain_project: SumatraProject) -> None:
    """`smt upgrade` does not find a shelf in three files; it stays in its place."""
    plain_project.init(PROJECT)
    as_of_0_7(plain_project)
    put_export(plain_project)
    before = contents(plain_project.smt_directory)

    with pytest.raises(PeerFailed, match="FileNotFoundError"):
        plain_project.smt("upgrade")

    assert contents(plain_project.smt_directory) == before
