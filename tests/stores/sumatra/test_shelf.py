"""smtd and real Sumatra 0.8.1 exchange shelves, and neither notices the other."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.base import DONE, Change
from smtd.stores.shelf import inert
from tests.build import change, commented, record
from tests.peers.environments import Environment
from tests.peers.fixtures import RICH
from tests.peers.stores import PeerStore, Seen
from tests.stores import seen as sumatra
from tests.stores.asking import read_from, scan_and_read, write_to
from tests.stores.places import ShelfPlace, contents, dumb_place, sqlite3_place
from tests.stores.samples import at_home
from tests.stores.sumatra.contract import RichContract, copy, own


@pytest.fixture
def rich(rich_shelf: Path) -> ShelfPlace:
    return dumb_place(rich_shelf)


@pytest.fixture
def place(tmp_path: Path) -> ShelfPlace:
    """A shelf that does not exist yet."""
    (tmp_path / "shelf").mkdir()
    return dumb_place(tmp_path / "shelf" / "records")


@pytest.fixture
def peer(plain_environment: Environment, place: ShelfPlace) -> PeerStore:
    """Sumatra at work on that shelf."""
    return PeerStore(plain_environment, "shelf", place.location.path)


@pytest.fixture
def rich_peer(plain_environment: Environment, rich: ShelfPlace) -> PeerStore:
    """Sumatra at work on the rich shelf."""
    return PeerStore(plain_environment, "shelf", rich.location.path)


@pytest.fixture(scope="session")
def seen(plain_environment: Environment, made_rich_shelf: Path) -> Seen:
    """What Sumatra sees in a rich shelf."""
    return PeerStore(plain_environment, "shelf", made_rich_shelf).dump()


class TestShelf(RichContract):
    """A shelf of dbm.dumb."""

    def to_the_letter(self, one: Record) -> Record:
        parameters = msgspec.structs.replace(one.parameters, content="")
        return change(one, parameters=parameters, opaque={})

    def comparable(self, seen: Seen) -> Seen:
        return in_utc(seen)


def in_utc(seen: Seen) -> Seen:
    """Return *seen* with all times in UTC, as smtd keeps them."""
    moments = {of: one.timestamp for of, one in sumatra.records(seen).items()}
    return {
        project: {
            label: {**one, "timestamp": "", "timestamp_us": moments[Key(project, label)].isoformat()}
            for label, one in held.items()
        }
        for project, held in seen.items()
    }


async def test_copy_of_a_rich_shelf_keeps_unmodelled_attributes(rich: ShelfPlace) -> None:
    """With their values."""
    found = await read_from(rich, [own("extra-attributes"), own("parameters-json-from-file")])

    extra, from_file = found[own("extra-attributes")], found[own("parameters-json-from-file")]
    assert {name: inert.load(value.data) for name, value in extra.opaque.items()} == {
        "on_changed": "store-diff",
        "parameter_file": "extra-attributes.json",
        "note": "not Sumatra's",
        "numbers": {"a": [1, 2.5]},
    }
    assert from_file.opaque["parameters"].expressed


async def test_untouched_projects_keep_their_bytes(rich: ShelfPlace) -> None:
    """The pickle of a project that is not written stays the same, to the byte."""
    before = rich.values()

    assert await write_to(rich, [Change(Key("Other", "run"), record(), None)]) == [DONE]

    after = rich.values()
    assert after[RICH.encode()] == before[RICH.encode()]
    assert set(after) == {RICH.encode(), b"Other"}


async def test_only_the_changed_fields_of_a_record_change(
    rich: ShelfPlace, seen: Seen, rich_peer: PeerStore
) -> None:
    """For Sumatra; what smtd does not model stays."""
    labels = ["extra-attributes", "parameters-nt-drawn", "datastore-input-same", "timestamp-offset"]

    async with rich.open() as store:
        found = await store.read([own(label) for label in labels])
        # As they come back from a store that keeps nothing else.
        changed = {of: change(commented(one, "ours"), opaque={}) for of, one in found.items()}
        changes = [Change(of, changed[of], canonical.digest(one)) for of, one in found.items()]
        assert set(await store.write(changes)) == {DONE}

    after = rich_peer.dump()[RICH]
    assert {label: after[label] for label in labels} == {
        label: {**seen[RICH][label], "outcome": "ours"} for label in labels
    }


async def test_writing_equal_records_leaves_a_rich_shelf_unchanged(rich: ShelfPlace) -> None:
    """Including what smtd does not model."""
    before = rich.forms()

    async with rich.open() as store:
        found = await store.read(before)
        changes = [Change(of, change(one, opaque={}), canonical.digest(one)) for of, one in found.items()]
        assert set(await store.write(changes)) == {DONE}

    assert rich.forms() == before


@pytest.mark.slow
async def test_shelf_that_sumatra_has_open_is_read_by_its_old_index(
    rich: ShelfPlace, rich_peer: PeerStore
) -> None:
    """Including values that a running Sumatra has overwritten in place."""
    # A shorter record under this label is written to the place of the longer one.
    await rich.put(at_home(record("held", stdout_stderr="x" * 9000)), project=RICH)
    before = contents(rich.location.path.parent)

    with rich_peer.held(RICH, "held"):
        during = contents(rich.location.path.parent)
        scan, found = await scan_and_read(rich, [own("held")])

    assert during["records.dir"] == before["records.dir"]
    assert during["records.dat"] != before["records.dat"]
    assert found[own("held")].user == "Ada Lovelace <ada@lab.example>"
    assert scan.unreadable == {}


@pytest.mark.slow
async def test_only_own_writes_get_lost_in_a_shelf_that_sumatra_has_open(
    rich: ShelfPlace, rich_peer: PeerStore
) -> None:
    """smtd's writes meanwhile may get lost, as documented; nothing else does, and nothing is torn."""
    before = rich.forms()

    async with rich.open() as store:
        with rich_peer.held(RICH, "held"):
            assert await store.write([Change(own("new"), at_home(record("new")), None)]) == [DONE]
            meanwhile = await store.scan()
        after = await store.scan()

    assert not store.capabilities.exclusive_writes
    assert own("new") in meanwhile.digests
    assert own("new") not in after.digests
    assert set(after.digests) == before.keys() | {own("held"), own("held-2")}


async def test_shelf_of_python_313_is_read_and_written(
    rich_sqlite3_shelf: Path, seen: Seen, tmp_path: Path, place: ShelfPlace, peer: PeerStore
) -> None:
    """A shelf of dbm.sqlite3, like one of dbm.dumb."""
    there = sqlite3_place(tmp_path / "file")

    await copy(sqlite3_place(rich_sqlite3_shelf), there)
    await copy(there, place)

    assert in_utc(peer.dump()) == in_utc(seen)
