"""Tests that smtd and real Sumatra 0.8.1 can share every kind of store, and neither notices the other.

A kind joins with a class of its own and the fixtures `place`, a store without records, and `peer`, Sumatra at
work in it. If Sumatra can fill such a store with a record of every kind, there are also `rich`, that store,
`rich_peer`, and `seen`, what Sumatra sees there before smtd does anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.base import DONE, Change
from tests.build import change, full, record, tagged
from tests.peers.fixtures import RICH
from tests.peers.stores import PeerStore, Seen
from tests.stores import seen as sumatra
from tests.stores.asking import scan_and_read, write_to
from tests.stores.places import Place
from tests.stores.samples import ALL, UNSPEAKABLE, at_home


def own(label: str) -> Key:
    return Key(RICH, label)


async def fill(place: Place, *records: Record) -> None:
    """Have smtd write *records* into the store at *place*."""
    assert set(await write_to(place, [Change(own(one.label), one, None) for one in records])) == {DONE}


async def copy(source: Place, target: Place) -> dict[Key, Record]:
    """Have smtd copy everything from *source* to *target*, and return it."""
    async with source.open() as left, target.open() as right:
        scan = await left.scan()
        found = await left.read(scan.digests)
        assert set(await right.write([Change(of, one, None) for of, one in found.items()])) == {DONE}
    assert scan.unreadable == {}
    return found


def as_in_a_database(one: Record) -> Record:
    """Return *one* without what Sumatra makes up when it reads the record from a database.

    It looks for programs on its own machine, and asks a repository there for its upstream.
    """
    assert one.executable is not None
    assert one.repository is not None
    return change(
        one,
        executable=msgspec.structs.replace(one.executable, path=""),
        repository=msgspec.structs.replace(one.repository, upstream=None),
    )


def differing(
    found: Mapping[Key, Record],
    expected: Mapping[Key, Record],
    said: Callable[[Record], Record] = as_in_a_database,
) -> dict[Key, list[str]]:
    """Return the fields in which *found* differs from *expected*, by record."""
    pairs = {of: (said(found[of]), said(one)) for of, one in expected.items()}
    return {of: fields for of, pair in pairs.items() if (fields := canonical.differences(*pair))}


class SumatraContract:
    """The tests for every store that Sumatra and smtd write in turns."""

    def said(self, one: Record) -> Record:
        """Return *one* without what Sumatra makes up when it reads the record from such a store."""
        return one

    def hears(self, place: Place, one: Record) -> bool:
        """Say whether Sumatra sees all of *one* in such a store."""
        return True

    async def test_sumatra_reads_every_record_that_smtd_creates(self, place: Place, peer: PeerStore) -> None:
        """Also records from other stores, and it sees the same contents."""
        expected = {own(one.label): at_home(one) for one in ALL if place.fits(one)}
        await fill(place, *expected.values())

        seen = peer.dump()

        found = sumatra.records(seen)
        assert found.keys() == expected.keys()
        unspeakable = {label: seen[RICH][label]["parameters_as_dict"] for label in UNSPEAKABLE}
        assert unspeakable == UNSPEAKABLE
        spoken = {
            of: one for of, one in expected.items() if of.label not in UNSPEAKABLE and self.hears(place, one)
        }
        assert differing(found, spoken, self.said) == {}

    async def test_sumatra_works_on_records_that_smtd_wrote(self, place: Place, peer: PeerStore) -> None:
        """It gets, tags, comments, saves and deletes them, and smtd reads the results."""
        ours, gone = at_home(full("ours", input_data=())), at_home(record("gone"))
        await fill(place, gone, ours)

        async with place.open() as store:
            await store.scan()
            peer.edit(RICH, "ours", tag="theirs", outcome="été")
            peer.delete(RICH, "gone")
            peer.make_many(RICH, 2)
            scan = await store.scan()
            found = await store.read([own("ours"), own("gone")])
            token = await store.token()

        assert set(scan.digests) == {own("ours"), own("sweep-00000"), own("sweep-00001")}
        assert scan.unreadable == {}
        theirs = change(tagged(ours, "theirs"), outcome="été")
        assert found.keys() == {own("ours")}
        assert canonical.differences(found[own("ours")], theirs) == []
        assert token is not None


class RichContract(SumatraContract, ABC):
    """Further tests for a store in which Sumatra can save a record of every kind."""

    @abstractmethod
    def to_the_letter(self, one: Record) -> Any:
        """Return the part of *one* that such a store and its reader keep exactly."""

    def comparable(self, seen: Seen) -> Seen:
        """Return *seen* as it must be in a copy."""
        return seen

    async def test_smtd_reads_every_field_of_a_rich_store(self, rich: Place, seen: Seen) -> None:
        """As Sumatra does."""
        expected = sumatra.records(seen)

        scan, found = await scan_and_read(rich, expected)

        assert scan.unreadable == {}
        assert scan.digests.keys() == found.keys() == expected.keys()
        assert [one.unmodelled_fields for one in found.values() if one.unmodelled_fields] == []
        assert {of: self.to_the_letter(one) for of, one in found.items()} == {
            of: self.to_the_letter(one) for of, one in expected.items()
        }
        assert differing(found, expected, self.said) == {}

    async def test_sumatra_reads_every_record_that_smtd_copies(
        self, rich: Place, place: Place, peer: PeerStore, seen: Seen
    ) -> None:
        """It sees in a copy what it sees in the original: values, classes and all extra attributes."""
        await copy(rich, place)

        assert self.comparable(peer.dump()) == self.comparable(seen)

    async def test_smtd_changes_only_what_it_is_asked_to(
        self, rich: Place, rich_peer: PeerStore, seen: Seen
    ) -> None:
        """No other record changes, for Sumatra neither."""
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
        after = rich.forms()
        untouched = before.keys() - {own("diff"), own("repeats")}
        assert {of: after[of] for of in untouched} == {of: before[of] for of in untouched}
        now = rich_peer.dump()[RICH]
        assert now.pop("new")["reason"] == "a first look"
        was = {label: one for label, one in seen[RICH].items() if label != "repeats"}
        assert now == {**was, "diff": {**was["diff"], "tags": ["_finished_", "good", "sweep"]}}
