"""What smtd makes of an old store, real Sumatra 0.8.1 works on; docs/upgrading.md says how."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio import to_thread

from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.base import DONE, Change
from smtd.stores.legacy import databases, export
from smtd.stores.legacy.snapshot import SnapshotStore
from tests.build import change
from tests.peers.environments import Environment, PeerFailed
from tests.peers.project import SumatraProject
from tests.peers.stores import PeerStore
from tests.stores import old_databases
from tests.stores import seen as sumatra
from tests.stores.asking import write_to
from tests.stores.old_databases import PROJECT, VERSIONS
from tests.stores.old_exports import V07
from tests.stores.places import DjangoPlace, contents

CORPUS = Path(__file__).parent / "corpus"
REAL = ["django074.sqlite", "django_0.4.0.sqlite"]
LABELS = ["20261122-062421", "20261122-062419"]


async def copy(source: Path, target: Path) -> dict[Key, Record]:
    """Let smtd copy an old database, made in Paris, into a new store; return what it had."""
    store = SnapshotStore(databases.SOURCE, source, str(source), "Europe/Paris")
    scan = await store.scan()
    found = await store.read(scan.digests)
    # Sumatra makes the directories of the data stores that it reads of.
    changes = [Change(key, at_home(one, target), None) for key, one in found.items()]
    assert set(await write_to(DjangoPlace(target), changes)) == {DONE}
    assert scan.unreadable == {}
    return {one.key: one.record for one in changes if one.record}


def at_home(one: Record, target: Path) -> Record:
    place = msgspec.structs.replace(one.datastore, parameters={"root": str(target.parent / "Data")})
    return change(one, datastore=place)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """The place of a new store."""
    directory = tmp_path / "new"
    directory.mkdir()
    return directory / "records"


async def assert_seen(environment: Environment, new: Path, copied: dict[Key, Record]) -> None:
    """Sumatra sees in the store what was copied to it, and can make every object of it."""
    found = sumatra.records(await to_thread.run_sync(PeerStore(environment, "django", new).dump))

    assert found.keys() == copied.keys()
    assert {key: differing for key in copied if (differing := differences(found[key], copied[key]))} == {}


def differences(one: Record, other: Record) -> list[str]:
    """Return the fields that differ but for what Sumatra looks up on its own machine."""
    looked_up = {"executable", "repository"}
    # Sumatra fills in a launch mode of which nothing was kept.
    looked_up |= {"launch_mode"} if not other.launch_mode.parameters else set()
    return [name for name in canonical.differences(one, other) if name not in looked_up]


@pytest.mark.parametrize("name", REAL)
async def test_copy_of_a_real_database_is_read_by_sumatra(
    django_environment: Environment, new: Path, name: str
) -> None:
    """Sumatra 0.8.1 reads all that an older one left, at its true times."""
    copied = await copy(CORPUS / name, new)

    assert len(copied) == 2
    await assert_seen(django_environment, new, copied)


async def test_copy_of_every_schema_is_read_by_sumatra(
    django_environment: Environment, new: Path, tmp_path: Path
) -> None:
    """Whatever a schema has no column for, Sumatra 0.8.1 misses nothing."""
    copied: dict[Key, Record] = {}
    for version in VERSIONS:
        path = await to_thread.run_sync(old_databases.make, tmp_path / version, version)
        label = f"of-{version[:3]}-{len(version)}"
        await to_thread.run_sync(old_databases.run, path, "UPDATE django_store_record SET label = ?", label)
        copied |= await copy(path, new)

    assert len(copied) == len(VERSIONS)
    await assert_seen(django_environment, new, copied)


# The project of a person


def as_of_0_7(project: SumatraProject) -> None:
    """Leave of the project's file what 0.7.4 writes into it."""
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
    """A project as 0.7.4 leaves it: its file says less, and its store is of the old schema."""
    django_project.init(PROJECT)
    as_of_0_7(django_project)
    shutil.copyfile(CORPUS / "django074.sqlite", django_project.store_path)
    return django_project


@pytest.fixture
def upgraded(old_project: SumatraProject) -> SumatraProject:
    """The same after the first steps: the old store beside, and a new one in its place."""
    beside = old_project.smt_directory / "records-0.7.sqlite"
    old_project.store_path.rename(beside)
    anyio.run(copy, beside, old_project.store_path)
    return old_project


def test_project_goes_on_with_its_new_store(upgraded: SumatraProject) -> None:
    """Sumatra lists, views and exports what was copied, and `smt run` adds to it."""
    assert upgraded.labels() == LABELS
    assert upgraded.labels("foo") == LABELS[:1]
    assert "2026-11-22 05:24:21" in upgraded.list(long=True)
    assert "hello" not in upgraded.smt("view", LABELS[0])
    assert upgraded.records()[LABELS[0]]["timestamp"] == "2026-11-22 05:24:21+0000"

    upgraded.smt("configure", "--parse-parameters")
    upgraded.run(label="after")
    upgraded.comment(LABELS[1], "still good")
    upgraded.tag("kept", LABELS[1])

    assert upgraded.labels() == ["after", *LABELS]
    assert upgraded.records()[LABELS[1]]["outcome"] == "still good"
    assert upgraded.labels("kept") == [LABELS[1]]


def test_run_before_configure_fails(upgraded: SumatraProject) -> None:
    """Sumatra 0.8.1 asks a project for a setting that 0.7.4 did not write: hence the last step."""
    with pytest.raises(PeerFailed, match="no attribute 'ignore_parameters'"):
        upgraded.run(label="before")


@pytest.mark.parametrize("command", [("list",), ("configure", "--store", "new.sqlite"), ("export",)])
def test_sumatra_cannot_open_the_old_store(old_project: SumatraProject, command: tuple[str, ...]) -> None:
    """Every command of 0.8.1 on a store of 0.7.4 fails, and leaves its records as they were."""
    with pytest.raises(PeerFailed, match="already exists"):
        old_project.smt(*command)

    assert databases.load(old_project.store_path, "Europe/Paris").records.keys() == {
        Key(PROJECT, label) for label in LABELS
    }


def test_upgrade_of_sumatra_leaves_an_empty_store(old_project: SumatraProject) -> None:
    """`smt upgrade` fails half way; the old store is in the directory that it puts aside."""
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
    """A shelf in three files is not one that `smt upgrade` finds; it stays where it is."""
    plain_project.init(PROJECT)
    as_of_0_7(plain_project)
    put_export(plain_project)
    before = contents(plain_project.smt_directory)

    with pytest.raises(PeerFailed, match="FileNotFoundError"):
        plain_project.smt("upgrade")

    assert contents(plain_project.smt_directory) == before
