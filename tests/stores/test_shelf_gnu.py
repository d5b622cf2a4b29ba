"""A shelf in a file of GNU dbm keeps the contract, and Sumatra's lock on it is respected."""

from __future__ import annotations

import fcntl
import random
import struct
import sys
from pathlib import Path

import pytest

from smtd.errors import StoreError, StoreRefused, StoreUnreachable
from smtd.filestat import NotSettled
from smtd.stores.base import DONE
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.stores.shelf import foreign, gnu
from smtd.stores.shelf.driver import GNU
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.swaps import Swap
from tests.build import key, record
from tests.peers.environments import Environment
from tests.stores.asking import create, write_to
from tests.stores.contract import ResumedContract
from tests.stores.places import (
    CORPUS,
    Place,
    ShelfPlace,
    by_module,
    contents,
    foreign_place,
    opened_elsewhere,
)

NEW = [create(record("new"))]


class TestShelfOnGnu(ResumedContract):
    """The contract, kept by dbm.gnu."""

    # All but the last step is that of the shelf on dbm.dumb.
    look_interrupted_at_every = 4
    write_interrupted_at_every = 6

    @pytest.fixture
    def place(self, tmp_path: Path, dbm_environment: Environment) -> Place:
        return foreign_place(GNU, tmp_path / "records", dbm_environment.python)


@pytest.fixture
def place(tmp_path: Path, dbm_environment: Environment) -> ShelfPlace:
    return foreign_place(GNU, tmp_path / "records", dbm_environment.python)


# Reading


def test_file_of_gdbm_is_read_by_its_bytes() -> None:
    """What the real library wrote is read without it, and known by its content."""
    assert find(str(CORPUS / "c081_gnu")).driver is GNU

    found = gnu.parse((CORPUS / "c081_gnu").read_bytes())

    expected = DumbFile(CORPUS / "c081_dumb").read()[0]
    assert found.keys() == expected.keys() == {b"corpus"}
    assert expected[b"corpus"].startswith(found[b"corpus"])


@pytest.mark.parametrize("count", [0, 1, 30, 3000])
def test_every_value_is_found(count: int, tmp_path: Path, dbm_environment: Environment) -> None:
    """Few keys or so many that the directory was doubled, empty values and large ones."""
    chance = random.Random(count)
    lengths = [0, 1, 70, 300_000 if count < 100 else 500]
    given = {b"%d" % number: chance.randbytes(chance.choice(lengths)) for number in range(count)}
    path = tmp_path / "records"

    by_module(dbm_environment.python, "dbm.gnu", path, given)

    assert gnu.parse(path.read_bytes()) == given


def made(order: str, width: int, magic: int) -> bytes:
    """Return a file with one value, as gdbm of another machine would make it."""
    layout = gnu._LAYOUTS[width]
    head = struct.pack(order + "2I", magic, 512)
    header = struct.pack(order + layout.header.replace("8x", "", 1), 512, 2 * width, 1, 512, 2, 2048)
    directory = struct.pack(f"{order}2{layout.offset}", 1024, 1024)
    bucket = struct.pack(order + layout.bucket, 0, 1)
    used, unused = ((5, 1536, 3, 5), (0xFFFFFFFF, 0, 0, 0))
    elements = b"".join(struct.pack(order + layout.element, *one) for one in (used, unused))
    parts = (head + header, directory, bucket + elements, b"keyvalue")
    return b"".join(part.ljust(512, b"\0") for part in parts)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("width", "magic"),
    [(8, 0x13579ACF), (8, 0x13579AD1), (8, 0x13579ACE), (4, 0x13579ACD), (4, 0x13579AD0), (4, 0x13579ACE)],
)
def test_file_of_another_machine(order: str, width: int, magic: int, tmp_path: Path) -> None:
    """Files of machines of either byte order, and of 32 or 64 bits, are read alike."""
    path = tmp_path / "any.name"
    path.write_bytes(made(order, width, magic))

    assert find(str(path)).driver is GNU
    assert gnu.parse(path.read_bytes()) == {b"key": b"value"}


def test_damage_is_an_error_of_ours() -> None:
    """Wherever a file is cut off or altered, the answer is what it holds, or that it is damaged."""
    whole = (CORPUS / "c081_gnu").read_bytes()
    expected = gnu.parse(whole)
    chance = random.Random(1)
    cut = [whole[:length] for length in range(0, len(whole), 97)]
    altered = []
    for _ in range(3000):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 1, 8))):
            content[chance.randrange(5000)] = chance.randrange(256)
        altered.append(bytes(content))

    told = [_told(content) for content in (*cut, *altered)]

    assert told.count("damaged") > len(cut)
    assert told.count("other keys") < len(altered) // 50
    assert gnu.parse(whole) == expected


def _told(content: bytes) -> str:
    try:
        return "well" if gnu.parse(content).keys() == {b"corpus"} else "other keys"
    except NotSettled:
        return "damaged"


async def test_damaged_file_is_told_in_a_sentence(place: ShelfPlace) -> None:
    """A shelf that was cut off is no empty store, nor is it written."""
    await place.put(record())
    path = place.location.path
    path.write_bytes(path.read_bytes()[:6000])
    before = contents(path.parent)

    async with place.open() as shelf:
        with pytest.raises(StoreError, match=f"the shelf {path} cannot be read: "):
            await shelf.scan()
        with pytest.raises(StoreError):
            await shelf.write(NEW)

    assert contents(path.parent) == before


# The lock


async def test_shelf_that_another_program_has_open_is_read(place: ShelfPlace) -> None:
    """gdbm keeps others out while `smt run` lasts; smtd reads all the same, and waits to write."""
    await place.put(record())
    before = place.forms()

    with opened_elsewhere(place.location.path, locked=True):
        async with place.open() as shelf:
            scan = await shelf.scan()
            with pytest.raises(StoreUnreachable, match=r"is open in another program \(smt run\?\)"):
                await shelf.write(NEW)

    assert set(scan.digests) == {key("run")}
    assert place.forms() == before
    assert place.files().keys() == {"records"}
    assert await write_to(place, NEW) == [DONE]


async def test_reading_takes_no_lock(place: ShelfPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save of Sumatra fails if anybody holds a lock at that moment: reading takes none."""
    await place.put(record())
    taken: list[int] = []
    monkeypatch.setattr(fcntl, "flock", lambda _file, how: taken.append(how))

    async with place.open() as shelf:
        await shelf.scan()
        token = await shelf.token()
        assert token is not None
        assert await shelf.unchanged_since(token)

    assert taken == []


async def test_change_that_leaves_no_trace_outside(place: ShelfPlace) -> None:
    """gdbm writes by a memory map: a change is seen although size and times stay."""
    await place.put(record())
    path = place.location.path
    async with place.open() as shelf:
        await shelf.scan()
        token = await shelf.token()
        assert token is not None

        content = path.read_bytes()
        path.write_bytes(content.replace(b"MyProject", b"YourProj_", 1))

        assert not await shelf.unchanged_since(token)


# The interpreter


async def test_python_without_the_module(place: ShelfPlace, without_gnu: str) -> None:
    """Where nobody named a Python with the module, the shelf is only read, and the sentence says why."""
    await place.put(record())
    location = Location(GNU, place.location.path, access=Access(python=without_gnu))
    before = contents(place.location.path.parent)

    async with open_store(location) as shelf:
        scan = await shelf.scan()
        reason = shelf.capabilities.read_only
        (outcome,) = await shelf.write(NEW)

    assert set(scan.digests) == {key("run")}
    assert outcome.reason == reason
    assert reason == (
        f"it is a dbm.gnu, and {without_gnu} has no module dbm.gnu;"
        " name the interpreter whose Sumatra uses it in the store's section of the configuration:"
        ' python = "/usr/bin/python3"'
    )
    assert contents(place.location.path.parent) == before


@pytest.fixture
def without_gnu(tmp_path: Path) -> str:
    """An interpreter that has no dbm.gnu, whatever the one of the tests has."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    hide = "import sys; sys.modules['_gdbm'] = None; sys.argv = ['-c', *sys.argv[4:]]; exec(sys.argv.pop(1))"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{hide}" "$@"\n')
    python.chmod(0o755)
    return str(python)


def test_python_that_is_not_there(tmp_path: Path) -> None:
    """A misspelt interpreter is named, and the shelf not written."""
    path = tmp_path / "records"
    path.write_bytes((CORPUS / "c081_gnu").read_bytes())

    with pytest.raises(StoreRefused, match="/nowhere/python3 does not run; name the interpreter"):
        gnu.GnuFile(path, "/nowhere/python3").replace({b"new": Swap(None, b"value")})

    assert path.read_bytes() == (CORPUS / "c081_gnu").read_bytes()


async def test_python_that_comes_later_is_used(
    place: ShelfPlace, dbm_environment: Environment, tmp_path: Path
) -> None:
    """An interpreter that is installed while smtd runs needs no restart, nor a change of the shelf."""
    await place.put(record())
    python = tmp_path / "python"
    location = Location(GNU, place.location.path, access=Access(python=str(python)))

    async with open_store(location) as shelf:
        await shelf.scan()
        assert "does not run" in shelf.capabilities.read_only
        python.write_text(f'#!/bin/sh\nexec "{dbm_environment.python}" "$@"\n')
        python.chmod(0o755)  # a link would lead out of its environment, and to a Python without the module
        await shelf.scan()

        assert shelf.capabilities.read_only == ""
        assert await shelf.write(NEW) == [DONE]


@pytest.fixture
def lying(tmp_path: Path) -> str:
    """An interpreter that says that it has written."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    return str(python)


def test_what_the_module_wrote_is_read_back(tmp_path: Path, lying: str) -> None:
    """Before the copy takes the place of the shelf, it must hold exactly what it should."""
    path = tmp_path / "records"
    path.write_bytes((CORPUS / "c081_gnu").read_bytes())

    with pytest.raises(StoreRefused, match=r"did not write the shelf .* correctly"):
        gnu.GnuFile(path, lying).replace({b"new": Swap(None, b"value")})

    assert contents(tmp_path) == {"records": (CORPUS / "c081_gnu").read_bytes()}


@pytest.mark.parametrize("name", ["records", "records [1]", "**"])
async def test_copies_of_an_smtd_that_was_killed_are_removed(
    name: str, tmp_path: Path, dbm_environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed smtd left beside a shelf of any name goes with a later write, once it is old."""
    place = foreign_place(GNU, tmp_path / name, dbm_environment.python)
    left = place.location.path.with_name(f".{name}.abc.smtd.db")
    left.touch()
    monkeypatch.setattr(foreign, "LEFT_BEHIND", -1.0)

    assert await write_to(place, NEW) == [DONE]

    assert place.files().keys() == {name}


async def test_mode_of_the_file_stays(place: ShelfPlace) -> None:
    """Who may read the shelf, may read it afterwards, and nobody else."""
    place.location.path.chmod(0o640)

    assert await write_to(place, NEW) == [DONE]

    assert place.location.path.stat().st_mode & 0o777 == 0o640
