"""Shelves of Sumatra 0.2 to 0.7 are read completely, never written, and copied into new stores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from smtd.errors import StoreRefused
from smtd.records.record import Key, Parameters, Record
from smtd.stores.base import Change, Outcome, Result
from smtd.stores.shelf import forms, inert, loaded, messages, worker
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.inert import Inert, Ref
from tests.build import record
from tests.peers.stores import copy_store
from tests.stores import golden
from tests.stores.old_shelves import PROJECT, SHELVES, opened, own, whole
from tests.stores.places import CORPUS, contents, dumb_place

UTC = timezone.utc


@pytest.fixture(params=SHELVES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each shelf."""
    return copy_store(CORPUS / request.param, tmp_path / "old" / request.param)


def asked(pickled: dict[str, Any], zone: str = "Europe/Paris") -> messages.Records:
    """Return the child's answer about records."""
    answer = worker.answer(messages.Read(inert.dump(pickled), timezone=zone))
    assert isinstance(answer, messages.Records)
    return answer


# Reading


async def test_every_field_of_every_old_record_is_read(path: Path) -> None:
    """As Sumatra 0.8.1 would understand them, except for times, which it would not."""
    found = await whole(opened(path))

    assert golden.said(found) == golden.expected(path.name)
    assert {of.project for of in found} == {PROJECT}
    assert [one.unmodelled_fields for one in found.values() if one.unmodelled_fields] == []


async def test_unmodelled_attributes_of_old_records_are_kept(tmp_path: Path) -> None:
    """Nothing that older Sumatras stored is lost, and all of it has classes of 0.8.1."""
    found = (await whole(opened(copy_store(CORPUS / "c021_py27", tmp_path / "old"))))[own("rec-01")]

    kept = {name: inert.load(value.data) for name, value in found.opaque.items()}
    assert kept.keys() == {"on_changed", "dependencies"}
    assert kept["on_changed"] == "error"
    assert [found.opaque["dependencies"].expressed, found.opaque["on_changed"].expressed] == [True, False]
    assert kept["dependencies"][0].state == {
        "name": "dep_python",
        "path": "/tmp/nowhere/python",
        "version": "1.0",
        "diff": "",
        "source": None,
        "in_stdlib": False,
    }
    assert type(kept["dependencies"][0]).ref == Ref("sumatra.dependency_finder.python", "Dependency")


@pytest.mark.parametrize("name", [*SHELVES, "c081_dumb"])
def test_version_of_a_record_is_recognized_by_its_contents(name: str) -> None:
    """Of each record."""
    pickle = DumbFile(CORPUS / name).read()[0][b"corpus"]

    answer = worker.answer(messages.Read(pickle, [], timezone="Europe/Paris"))

    assert answer == messages.Records([], SHELVES.get(name, ""))
    assert {forms.form(one) for one in inert.load(pickle).values()} == {SHELVES.get(name, "0.8")}


# Times


def old(moment: datetime, **changes: Any) -> Inert:
    """Return a record of 0.7 with these changes, run when the clock showed *moment*."""
    pickled: dict[str, Inert] = inert.load(DumbFile(CORPUS / "c074_py37").read()[0][b"corpus"])
    pickled["rec-00"].state.update(timestamp=moment, **changes)
    return pickled["rec-00"]


def times(moment: datetime, zone: str) -> list[datetime | None]:
    """Return the times of a record and of its data that say that the clock showed *moment*."""
    state = {"path": "a", "digest": "0" * 40, "creation": moment, "metadata": {}}
    key = inert.new("sumatra.datastore.base", "DataKey", state)
    (held,) = asked({"rec-00": old(moment, output_data=[key])}, zone).held
    assert held.problem == ""
    one = msgspec.msgpack.decode(held.record, type=Record)
    return [one.timestamp, one.output_data[0].creation]


@pytest.mark.parametrize(
    ("local", "in_utc"),
    [
        (datetime(2020, 1, 1, 12, 30, 0, 5), datetime(2020, 1, 1, 11, 30, 0, 5, tzinfo=UTC)),
        (datetime(2020, 7, 1, 12, 30), datetime(2020, 7, 1, 10, 30, tzinfo=UTC)),
        # The clock shows 02:30 twice, then never.
        (datetime(2020, 10, 25, 2, 30), datetime(2020, 10, 25, 0, 30, tzinfo=UTC)),
        (datetime(2020, 3, 29, 2, 30), datetime(2020, 3, 29, 1, 30, tzinfo=UTC)),
    ],
    ids=["winter", "summer", "twice", "never"],
)
def test_local_times_are_read_in_the_configured_zone(local: datetime, in_utc: datetime) -> None:
    """Older Sumatras stored local times; smtd returns UTC."""
    assert times(local, "Europe/Paris") == [in_utc, in_utc]


@pytest.fixture
def machine_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set the zone of this machine by TZ."""
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("zone", "hour"), [("Asia/Tokyo", 3), ("WST+5WDT,M3.2.0,M11.1.0", 17)])
async def test_default_zone_is_that_of_this_machine(
    zone: str, hour: int, tmp_path: Path, machine_in: pytest.MonkeyPatch
) -> None:
    """Also in the child process."""
    machine_in.setenv("TZ", zone)
    place = dumb_place(tmp_path / "old")
    await place.edit(lambda held: held.update(one=old(datetime(2020, 1, 1, 12), label="one")), PROJECT)

    found = await whole(opened(place.location.path, ""))

    expected = datetime(2020, 1, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo")) if hour == 3 else None
    assert found[own("one")].timestamp == (expected or datetime(2020, 1, 1, 17, tzinfo=UTC))


async def test_unknown_zone_is_an_error(path: Path) -> None:
    """Nothing is read in another one."""
    with pytest.raises(StoreRefused, match=r"the shelf .* cannot be read: .*'Europe/Pariss'"):
        await opened(path, "Europe/Pariss").scan()


async def test_change_of_the_zone_makes_the_shelf_another(path: Path) -> None:
    """The same file has other records then, so it does not count as unchanged."""
    one, same, other = opened(path), opened(path), opened(path, "Asia/Tokyo")
    await one.scan()

    token = await one.token()

    assert token is not None
    assert [await store.unchanged_since(token) for store in (same, other)] == [True, False]


@pytest.mark.parametrize("moment", [datetime.min, datetime.max])
def test_time_that_utc_cannot_represent_makes_one_record_unreadable(moment: datetime) -> None:
    """And no other."""
    records = {"one": old(moment, label="one"), "two": old(datetime(2020, 1, 1), label="two")}

    problems = {
        held.label: held.problem
        for held in asked(records, "Asia/Tokyo" if moment.year == 1 else "America/New_York").held
    }

    assert problems == {"one": f"its time {moment} cannot be converted to UTC", "two": ""}


# Writing


async def test_old_shelf_is_not_written(path: Path) -> None:
    """Every write is refused with one sentence, before a scan and after, and no byte changes."""
    before = contents(path.parent)
    refused = Outcome(Result.REFUSED, worker.READ_ONLY)
    changes = [Change(own("new"), record("new"), None), Change(Key("Other", "new"), record("new"), None)]

    unscanned = opened(path)
    first = await unscanned.write(changes)
    store = opened(path)
    scan = await store.scan()
    removal = Change(own("rec-00"), None, scan.digests[own("rec-00")])
    second = await store.write([*changes, removal])

    assert first == [refused] * 2
    assert second == [refused] * 3
    assert store.capabilities.read_only == unscanned.capabilities.read_only == worker.READ_ONLY
    assert contents(path.parent) == before


async def test_old_shelf_is_not_written_after_a_rest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """smtd remembers that while it keeps no record."""
    monkeypatch.setattr(loaded, "LARGE_AT_REST", 0)
    before = contents(path.parent)
    store = opened(path)
    scan, token = await store.scan(), await store.token()
    store.rest()

    assert store.capabilities.read_only == worker.READ_ONLY
    assert await store.token() == token
    outcome = await store.write([Change(own("new"), record("new"), None)])
    assert outcome == [Outcome(Result.REFUSED, worker.READ_ONLY)]
    store.rest()
    assert await store.scan() == scan
    assert contents(path.parent) == before


# Unreadable shelves and records


async def test_shelf_of_sumatra_01_is_refused(tmp_path: Path) -> None:
    """It has no projects; every call gives one sentence."""
    simulation = inert.new("sumatra.records", "SimRecord", {"group": "default"})
    place = dumb_place(tmp_path / "simulation_records")
    with place.pickles(place.location.path) as file:
        file[b"default_20090101-000000"] = inert.dump(simulation)

    with pytest.raises(StoreRefused) as refusal:
        await opened(place.location.path).scan()

    assert str(refusal.value) == (
        f"the shelf {place.location.path} cannot be read: it was written by Sumatra 0.1, which had no"
        " projects; smtd reads shelves of 0.2 to 0.8"
    )


def test_record_with_a_removed_class_is_reported() -> None:
    """No 0.8.1 could load it, so it is copied nowhere."""
    gone = inert.new("sumatra.external.NeuroTools.stgen", "StGen", {})

    (held,) = asked({"rec-00": old(datetime(2020, 1, 1), note=gone)}).held

    assert held.problem == (
        "it holds a sumatra.external.NeuroTools.stgen.StGen, which Sumatra 0.8.1 does not have"
    )


# Old forms of parts


def part(name: str, value: Any, **changes: Any) -> Record:
    """Return the record of 0.7 with one part in the form of an older Sumatra."""
    (held,) = asked({"rec-00": old(datetime(2020, 1, 1), **{name: value}, **changes)}).held
    assert held.problem == ""
    return msgspec.msgpack.decode(held.record, type=Record)


def subversion(path: str | None) -> Inert:
    """Return a repository of 0.2 and its working copy."""
    module = "sumatra.versioncontrol._subversion"
    repository = inert.new(module, "SubversionRepository", {"url": "svn://lab/code"})
    copy = inert.new(module, "SubversionWorkingCopy", {"path": path, "repository": repository})
    repository.state["wc"] = copy
    return repository


def test_working_copy_outside_its_repository_is_kept() -> None:
    """One at the place of the repository says nothing."""
    elsewhere, here = (part("repository", subversion(path)) for path in ("/home/ada", "svn://lab/code"))

    assert elsewhere.repository == here.repository
    assert "repository" not in here.opaque
    kept = inert.load(elsewhere.opaque["repository"].data).state
    assert (kept["upstream"], kept["wc"].state["path"]) == (None, "/home/ada")


def test_mpi_info_of_launch_modes_is_kept() -> None:
    """Launch modes of 0.2 had it beside their arguments."""
    state = {"n": 2, "mpirun": "mpiexec", "hosts": [], "mpi_info": {"version": "1"}}

    found = part("launch_mode", inert.new("sumatra.launch", "DistributedLaunchMode", state))

    assert "mpi_info" not in found.launch_mode.parameters
    assert inert.load(found.opaque["mpi_info"].data) == {"version": "1"}


def test_file_of_parameters_is_kept() -> None:
    """In a set that 0.8.1 can load."""
    state = {"_sections": {"s": {"__name__": "s", "a": "1"}}, "_defaults": {"b": "2"}, "source_file": "x.ini"}

    found = part("parameters", inert.new("sumatra.parameters", "ConfigParserParameterSet", state))

    assert found.parameters == Parameters("ConfigParserParameterSet", "[DEFAULT]\nb = 2\n\n[s]\na = 1\n\n")
    kept = inert.load(found.opaque["parameters"].data).state
    assert kept["source_file"] == "x.ini"
    assert "_proxies" in kept


@pytest.mark.parametrize("data_key", ["[u'a', 'b']", ["a", "b"]])
def test_data_without_digests_get_those_that_sumatra_ignores(data_key: Any) -> None:
    """0.3 kept only their paths."""
    pickled = old(datetime(2020, 1, 1), data_key=data_key, input_data=["c"])
    del pickled.state["output_data"]

    (held,) = asked({"rec-00": pickled}).held

    found = msgspec.msgpack.decode(held.record, type=Record)
    assert [(key.path, key.digest) for key in found.output_data] == [("a", "0" * 40), ("b", "0" * 40)]
    assert [(key.path, key.digest) for key in found.input_data] == [("c", "0" * 40)]
    assert "data_key" not in found.opaque
