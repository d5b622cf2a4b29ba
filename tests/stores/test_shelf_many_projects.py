"""Many projects of a shelf are written together, in one step: all that can be written lands."""

from __future__ import annotations

import signal
import struct
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from smtd.errors import StoreRefused
from smtd.records.record import Key
from smtd.stores.base import DONE, STALE, Change, Outcome, Result
from smtd.stores.driver import Driver
from smtd.stores.shelf import child, child_requests, inert, messages, worker, writing
from smtd.stores.shelf.contents import Swap
from smtd.stores.shelf.dbm_sqlite3 import Sqlite3File
from smtd.stores.shelf.driver import DUMB, GNU, NDBM, SQLITE3
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.gnu import GnuFile
from smtd.stores.shelf.ndbm import NdbmFile
from tests.build import key, record
from tests.stores.killing import killed
from tests.stores.places import ShelfPlace, dumb_place, foreign_place, sqlite3_place

FILES: dict[Driver, Any] = {
    DUMB: DumbFile,
    GNU: GnuFile,
    NDBM: NdbmFile,
    SQLITE3: Sqlite3File,
}
#: Loads, but needs 320 MB of memory for that.
GREEDY = b"\x80\x02}r" + struct.pack("<I", 20_000_000) + b"."


def made(kind: Driver, directory: Path, request: pytest.FixtureRequest) -> ShelfPlace:
    """Return an empty shelf of *kind*, which its real module can write, too."""
    directory.mkdir()
    if kind in (GNU, NDBM):
        name = "records.db" if kind is NDBM else "records"
        python = request.getfixturevalue("dbm_environment").python
        return foreign_place(kind, directory / name, python)
    return (dumb_place if kind is DUMB else sqlite3_place)(directory / "records")


@pytest.fixture(params=FILES, ids=lambda kind: kind.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ShelfPlace:
    return made(request.param, tmp_path / "shelf", request)


@pytest.fixture
def dumb(tmp_path: Path) -> ShelfPlace:
    (tmp_path / "shelf").mkdir()
    return dumb_place(tmp_path / "shelf" / "records")


def create(*projects: str, label: str = "run") -> list[Change]:
    return [Change(key(label, project), record(label), None) for project in projects]


def spoil(place: ShelfPlace, project: str, value: bytes) -> None:
    with place.pickles(place.location.path) as file:
        file[project.encode()] = value


async def test_projects_written_together_are_readable_by_every_program(place: ShelfPlace) -> None:
    """Beside the others; smtd continues from there as from any own write."""
    await place.put(record("old"), project="A")
    changes = create("A", *(f"P{number}" for number in range(5)), "é\n'")
    async with place.open() as shelf:
        await shelf.scan()
        assert await shelf.write(changes) == [DONE] * 7
        scan, token = await shelf.scan(), await shelf.token()

    assert set(place.forms()) == {key("old", "A"), *(change.key for change in changes)} == set(scan.digests)
    assert token is not None


async def test_project_written_by_another_program_meanwhile_is_merged(
    place: ShelfPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other program's records stay, in that project and in a new one."""
    file = FILES[place.location.driver]
    replace, asked_for = file.replace, list[list[bytes]]()

    def meanwhile(self: Any, swaps: Mapping[bytes, Swap]) -> set[bytes]:
        if not asked_for:
            place._edit(lambda held: held.update(theirs=writing.build(record("theirs"))), b"A")
            place._edit(lambda held: held.update(theirs=writing.build(record("theirs"))), b"C")
        asked_for.append(sorted(swaps))
        return replace(self, swaps)  # type: ignore[no-any-return]

    await place.put(record("old"), project="A")
    async with place.open() as shelf:
        await shelf.scan()
        monkeypatch.setattr(file, "replace", meanwhile)
        assert await shelf.write(create("A", "B")) == [DONE, DONE]
        assert await shelf.token() is None  # smtd does not know yet what the other program wrote

    labels = {"A": ["old", "run", "theirs"], "B": ["run"], "C": ["theirs"]}
    assert set(place.forms()) == {Key(project, label) for project in labels for label in labels[project]}
    assert asked_for == [[b"A", b"B"], [b"A"]]


async def test_stale_project_holds_back_no_other(dumb: ShelfPlace) -> None:
    await dumb.put(record("run"), project="A")
    async with dumb.open() as shelf:
        assert await shelf.write(create("A", "B", "C")) == [STALE, DONE, DONE]
        assert len((await shelf.scan()).digests) == 3


@pytest.mark.parametrize("value", [b"no pickle", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."])
async def test_project_that_cannot_be_loaded_holds_back_no_other(dumb: ShelfPlace, value: bytes) -> None:
    """It alone fails, is reported, and is not replaced."""
    await dumb.put(record("run"), project="A")
    spoil(dumb, "B", value)
    async with dumb.open() as shelf:
        first, second, third = await shelf.write(create("A", "B", "C", label="new"))

        assert (first, third) == (DONE, DONE)
        assert second.result is Result.REFUSED
        assert second.reason.startswith(f"the records of project 'B' in the shelf {dumb.location.path}")
        assert second.reason.endswith("restore it from a backup")
        with pytest.raises(StoreRefused, match="the records of project 'B' in the shelf"):
            await shelf.scan()
        assert len((await shelf.scan(["A", "C"])).digests) == 3

    assert dumb.values()[b"B"] == value


async def test_old_record_in_one_project_makes_the_shelf_read_only(dumb: ShelfPlace) -> None:
    """Also if the shelf was not scanned before, or got such a project after that."""
    old = writing.build(record("old"))
    old.state["timestamp"] = datetime(2014, 5, 1)
    async with dumb.open() as shelf:
        await shelf.scan()
        await dumb.edit(lambda held: held.update(old=old), "A")
        before = dumb.files()

        assert await shelf.write(create("A", "B")) == [Outcome(Result.REFUSED, worker.READ_ONLY)] * 2

    assert dumb.files() == before


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many processes were started, by the kind of request."""
    found: Counter[str] = Counter()
    ask = child.ask

    async def counted(request: messages.Request, *expected: Any, **words: Any) -> Any:
        found[type(request).__name__] += 1
        return await ask(request, *expected, **words)

    monkeypatch.setattr(child, "ask", counted)
    return found


async def test_pickle_that_fills_the_memory_harms_no_other_project(asked: Counter[str]) -> None:
    """smtd trusts no answer of a process that came near its limit, and asks for each pickle alone."""
    reads: dict[str, messages.One] = {"greedy": messages.Read(GREEDY), "broken": messages.Read(b"none")}
    reads["other"] = messages.Read(inert.dump({"run": writing.build(record("run"))}))

    answers = await child_requests.ask_each(reads, messages.Records, shelf="S")

    assert answers["greedy"] == messages.Records([])
    assert str(answers["broken"]).startswith("the records of project 'broken' in the shelf S cannot be read")
    assert [held.problem for held in answers["other"].held] == [""]  # type: ignore[union-attr]
    assert asked == {"Several": 1, "Read": 3}


async def test_request_to_one_process_has_a_limited_size(
    asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pickles and new records count; a larger one is asked for alone."""
    pickle = inert.dump({"run": writing.build(record("run"))})
    wish = messages.WriteOp("new", bytes(len(pickle)), None)
    requests: dict[str, messages.One] = {
        str(number): messages.WriteProject(pickle, []) for number in range(4)
    }
    requests |= {"new": messages.WriteProject(None, [wish]), "large": messages.WriteProject(pickle, [wish])}
    monkeypatch.setattr(child_requests, "LARGE", 2 * len(pickle))

    answers = await child_requests.ask_each(requests, messages.Written, shelf="S")

    assert answers.keys() == requests.keys()
    assert asked == {"Several": 2, "WriteProject": 2}


@pytest.mark.parametrize("kind", [GNU, SQLITE3], ids=lambda kind: kind.name)
def test_killed_swap_leaves_all_old_values_or_all_new_ones(
    kind: Driver, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """At whatever step. (dbm.dumb: test_shelf_torn.py)"""
    place = made(kind, tmp_path / "shelf", request)
    old, new = (
        dict.fromkeys((b"A", b"B", b"C"), b"old"),
        dict.fromkeys((b"A", b"B", b"C", b"D"), b"new" * 3000),
    )
    with place.pickles(place.location.path) as file:
        for name in old:
            file[name] = old[name]
    python = [place.location.access.python] if place.location.access.python else []

    told = killed(
        kind, place.location.path.parent, {name: Swap(old.get(name), new[name]) for name in new}, *python
    )

    assert [ended for ended, _ in told] == [-signal.SIGKILL] * (len(told) - 1) + [0]
    found = [FILES[kind](path, *python).read()[0] for _, path in told]
    assert [values for values in found if values not in (old, new)] == []
    assert found == sorted(found, key=new.__eq__)
    assert found.count(old) > 3
