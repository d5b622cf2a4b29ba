"""Shelves go to and fro between smtd and real Sumatra 0.8.1, and neither notices the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.base import DONE, Change
from smtd.stores.shelf import inert
from tests.build import change, commented, full, record, tagged
from tests.peers.environments import Environment
from tests.peers.fixtures import RICH
from tests.peers.stores import PeerStore, Seen
from tests.stores import seen as sumatra
from tests.stores.asking import read_from, scan_and_read, write_to
from tests.stores.places import ShelfPlace, contents, dumb_place, sqlite3_place
from tests.stores.samples import ALL, UNSPEAKABLE, at_home


@pytest.fixture(scope="session")
def rich_seen(plain_environment: Environment, made_rich_shelf: Path) -> Seen:
    """What Sumatra sees in a rich shelf."""
    return PeerStore(plain_environment, "shelf", made_rich_shelf).dump()


@pytest.fixture
def rich(rich_shelf: Path) -> ShelfPlace:
    return dumb_place(rich_shelf)


@pytest.fixture
def peer(plain_environment: Environment, tmp_path: Path) -> PeerStore:
    """Sumatra, at work on a shelf that is not there yet."""
    return PeerStore(plain_environment, "shelf", tmp_path / "shelf" / "records")


def own(label: str) -> Key:
    return Key(RICH, label)


def in_utc(seen: Seen) -> Seen:
    """Return *seen* with all times in one zone, as smtd keeps them: the moments stay."""
    moments = {of: one.timestamp for of, one in sumatra.records(seen).items()}
    return {
        project: {
            label: {**one, "timestamp": "", "timestamp_us": moments[Key(project, label)].isoformat()}
            for label, one in held.items()
        }
        for project, held in seen.items()
    }


async def copy(source: ShelfPlace, target: ShelfPlace) -> None:
    """Let smtd copy everything from *source* to *target*."""
    async with source.open() as left, target.open() as right:
        scan = await left.scan()
        found = await left.read(scan.digests)
        changes = [Change(of, one, None) for of, one in found.items()]
        assert set(await right.write(changes)) == {DONE}
    assert scan.unreadable == {}


async def test_rich_shelf_is_read_whole(rich: ShelfPlace, rich_seen: Seen) -> None:
    """Of a shelf with every sort of record smtd reads what Sumatra does, field by field."""
    expected = sumatra.records(rich_seen)

    scan, found = await scan_and_read(rich, expected)

    assert scan.unreadable == {}
    assert scan.digests.keys() == found.keys() == expected.keys()
    assert [one.beyond_words for one in found.values() if one.beyond_words] == []
    assert {of: _but_parameters(one) for of, one in found.items()} == {
        of: _but_parameters(one) for of, one in expected.items()
    }
    assert [of for of in expected if not canonical.same(found[of], expected[of], "parameters")] == []


def _but_parameters(one: Record) -> Record:
    return change(one, parameters=msgspec.structs.replace(one.parameters, content=""), opaque={})


async def test_rich_shelf_keeps_what_the_model_has_no_words_for(rich: ShelfPlace) -> None:
    """Attributes that only a shelf has come along, and say what they said."""
    found = await read_from(rich, [own("extra-attributes"), own("parameters-json-from-file")])

    extra, from_file = found[own("extra-attributes")], found[own("parameters-json-from-file")]
    assert {name: inert.load(value.data) for name, value in extra.opaque.items()} == {
        "on_changed": "store-diff",
        "parameter_file": "extra-attributes.json",
        "note": "not Sumatra's",
        "numbers": {"a": [1, 2.5]},
    }
    assert from_file.opaque["parameters"].expressed


async def test_every_record_that_smtd_copies_is_loaded_by_sumatra(
    rich: ShelfPlace, peer: PeerStore, rich_seen: Seen
) -> None:
    """Sumatra sees in a copy what it sees in the original: values, classes and all that is extra."""
    peer.path.parent.mkdir()

    await copy(rich, dumb_place(peer.path))

    assert in_utc(peer.dump()) == in_utc(rich_seen)


async def test_every_record_that_smtd_makes_is_loaded_by_sumatra(peer: PeerStore) -> None:
    """What smtd makes of records that came from elsewhere, Sumatra loads and sees the same."""
    place = dumb_place(peer.path)
    peer.path.parent.mkdir()
    records = [at_home(one) for one in ALL]

    async with place.open() as store:
        changes = [Change(own(one.label), one, None) for one in records]
        assert set(await store.write(changes)) == {DONE}

    seen = peer.dump()
    found, expected = sumatra.records(seen), {own(one.label): one for one in records}
    assert found.keys() == expected.keys()
    assert {label: seen[RICH][label]["parameters_as_dict"] for label in UNSPEAKABLE} == UNSPEAKABLE
    spoken = [of for of in expected if of.label not in UNSPEAKABLE]
    assert [of for of in spoken if canonical.differences(found[of], expected[of])] == []


async def test_untouched_records_keep_their_pickled_form(
    rich: ShelfPlace, rich_seen: Seen, plain_environment: Environment
) -> None:
    """A write changes what it is asked to, and nothing of any other record, for Sumatra neither."""
    touched = {own("diff"), own("repeats"), own("new")}
    before = rich.forms()

    async with rich.open() as store:
        found = await store.read([own("diff"), own("repeats")])
        diff, repeats = found[own("diff")], found[own("repeats")]
        outcomes = await store.write(
            [
                Change(own("diff"), tagged(diff, "good"), canonical.digest(diff)),
                Change(own("repeats"), None, canonical.digest(repeats)),
                Change(own("new"), at_home(record("new")), None),
            ]
        )

    assert outcomes == [DONE, DONE, DONE]
    assert _without(rich.forms(), touched) == _without(before, touched)
    after = PeerStore(plain_environment, "shelf", rich.location.path).dump()[RICH]
    labels = {of.label for of in touched}
    assert _without(after, labels) == _without(rich_seen[RICH], labels)
    assert after["diff"] == {**rich_seen[RICH]["diff"], "tags": ["_finished_", "good", "sweep"]}
    assert "repeats" not in after


def _without(those: dict[Any, Any], gone: set[Any]) -> dict[Any, Any]:
    return {name: value for name, value in those.items() if name not in gone}


async def test_untouched_projects_keep_their_bytes(rich: ShelfPlace) -> None:
    """The pickle of a project that is not written to stays as it was, to the byte."""
    before = rich.values()

    assert await write_to(rich, [Change(Key("Other", "run"), record(), None)]) == [DONE]

    after = rich.values()
    assert after[RICH.encode()] == before[RICH.encode()]
    assert set(after) == {RICH.encode(), b"Other"}


async def test_changed_record_changes_in_nothing_else(
    rich: ShelfPlace, rich_seen: Seen, plain_environment: Environment
) -> None:
    """Only what was changed in a record changes for Sumatra; what the writer cannot know stays."""
    labels = ["extra-attributes", "parameters-nt-drawn", "datastore-input-same", "timestamp-offset"]

    async with rich.open() as store:
        found = await store.read([own(label) for label in labels])
        # As they come back from a store that has no room for anything else.
        changed = {of: change(commented(one, "ours"), opaque={}) for of, one in found.items()}
        changes = [Change(of, changed[of], canonical.digest(one)) for of, one in found.items()]
        assert set(await store.write(changes)) == {DONE}

    after = PeerStore(plain_environment, "shelf", rich.location.path).dump()[RICH]
    assert {label: after[label] for label in labels} == {
        label: {**rich_seen[RICH][label], "outcome": "ours"} for label in labels
    }


async def test_rich_shelf_is_written_again_as_it_is(rich: ShelfPlace) -> None:
    """What comes back as it was changes nothing, not even of what the model has no words for."""
    before = rich.forms()

    async with rich.open() as store:
        found = await store.read(before)
        changes = [Change(of, change(one, opaque={}), canonical.digest(one)) for of, one in found.items()]
        assert set(await store.write(changes)) == {DONE}

    assert rich.forms() == before


async def test_sumatra_goes_on_where_smtd_wrote(rich: ShelfPlace, plain_environment: Environment) -> None:
    """Sumatra edits, deletes and adds records in a shelf that smtd rewrote, and smtd reads on."""
    peer = PeerStore(plain_environment, "shelf", rich.location.path)
    new = at_home(full("new"))

    async with rich.open() as store:
        assert await store.write([Change(own("new"), new, None)]) == [DONE]
        peer.edit(RICH, "new", tag="theirs", outcome="été")
        peer.delete(RICH, "diff")
        peer.make_many("sweep", 2)
        found = await store.read([own("new"), own("diff"), Key("sweep", "sweep-00001")])
        scan = await store.scan()

    assert set(found) == {own("new"), Key("sweep", "sweep-00001")}
    theirs = change(tagged(new, "theirs"), outcome="été")
    assert canonical.differences(found[own("new")], theirs) == []
    assert scan.unreadable == {}


async def test_shelf_that_sumatra_holds(rich: ShelfPlace, plain_environment: Environment) -> None:
    """What a run that goes on has overwritten in place is read whole, by the index of before."""
    peer = PeerStore(plain_environment, "shelf", rich.location.path)
    # A shorter record than there is under this label takes the room that the longer one had.
    await rich.put(at_home(record("held", stdout_stderr="x" * 9000)), project=RICH)
    before = contents(rich.location.path.parent)

    with peer.held(RICH, "held"):
        during = contents(rich.location.path.parent)
        scan, found = await scan_and_read(rich, [own("held")])

    assert during["records.dir"] == before["records.dir"]
    assert during["records.dat"] != before["records.dat"]
    assert found[own("held")].user == "Ada Lovelace <ada@lab.example>"
    assert scan.unreadable == {}


async def test_shelf_that_was_written_while_sumatra_held_it(
    rich: ShelfPlace, plain_environment: Environment
) -> None:
    """What smtd wrote meanwhile may be lost, as it says of itself; nothing else is, or is torn."""
    peer = PeerStore(plain_environment, "shelf", rich.location.path)
    before = rich.forms()

    async with rich.open() as store:
        with peer.held(RICH, "held"):
            assert await store.write([Change(own("new"), at_home(record("new")), None)]) == [DONE]
            meanwhile = await store.scan()
        after = await store.scan()

    assert not store.capabilities.exclusive_writes
    assert own("new") in meanwhile.digests
    assert own("new") not in after.digests
    assert set(after.digests) == before.keys() | {own("held"), own("held-2")}


async def test_rich_shelf_of_python_313(
    rich_sqlite3_shelf: Path, rich_seen: Seen, tmp_path: Path, peer: PeerStore
) -> None:
    """A shelf of dbm.sqlite3 is read, and written, as one of dbm.dumb is."""
    there, back = sqlite3_place(tmp_path / "file"), dumb_place(peer.path)
    peer.path.parent.mkdir()

    await copy(sqlite3_place(rich_sqlite3_shelf), there)
    await copy(there, back)

    assert in_utc(peer.dump()) == in_utc(rich_seen)
