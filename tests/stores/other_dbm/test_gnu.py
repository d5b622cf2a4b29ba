"""Tests of GNU dbm only: its files, locks and interpreters."""

from __future__ import annotations

import fcntl
import struct
import sys
from pathlib import Path

import pytest

from smtd.errors import StoreError, StoreRefused
from smtd.stores.access import Access
from smtd.stores.base import DONE
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.stores.shelf import foreign, gnu
from smtd.stores.shelf.contents import Swap
from smtd.stores.shelf.driver import GNU
from tests.build import key, record
from tests.peers.environments import Environment
from tests.stores.asking import create, write_to
from tests.stores.places import (
    CORPUS,
    ShelfPlace,
    contents,
    foreign_place,
)

NEW = [create(record("new"))]


@pytest.fixture
def place(tmp_path: Path, dbm_environment: Environment) -> ShelfPlace:
    return foreign_place(GNU, tmp_path / "records", dbm_environment.python)


# Reading


def made(order: str, width: int, magic: int) -> bytes:
    """Return a file with one value, as gdbm on another machine would make it."""
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
def test_file_of_any_machine_is_read(order: str, width: int, magic: int, tmp_path: Path) -> None:
    """With either byte order, and 32 or 64 bits."""
    path = tmp_path / "any.name"
    path.write_bytes(made(order, width, magic))

    assert find(str(path)).driver is GNU
    assert gnu.parse(path.read_bytes()) == {b"key": b"value"}


async def test_truncated_file_is_an_error(place: ShelfPlace) -> None:
    """It is no empty store, and smtd does not write it."""
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


async def test_reading_takes_no_lock(place: ShelfPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save of Sumatra fails if another program holds a lock at that moment."""
    await place.put(record())
    taken: list[int] = []
    monkeypatch.setattr(fcntl, "flock", lambda _file, how: taken.append(how))

    async with place.open() as shelf:
        await shelf.scan()
        token = await shelf.token()
        assert token is not None
        assert await shelf.unchanged_since(token)

    assert taken == []


async def test_change_without_a_new_size_or_time_is_seen(place: ShelfPlace) -> None:
    """gdbm writes through a memory map."""
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


async def test_shelf_is_read_only_without_a_python_with_the_module(
    place: ShelfPlace, without_gnu: str
) -> None:
    """The message says why."""
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


def interpreter(directory: Path, script: str) -> str:
    """Create a program in place of an interpreter."""
    python = directory / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return str(python)


@pytest.fixture
def without_gnu(tmp_path: Path) -> str:
    """An interpreter without dbm.gnu, even if the one of the tests has it."""
    hide = "import sys; sys.modules['_gdbm'] = None; sys.argv = ['-c', *sys.argv[4:]]; exec(sys.argv.pop(1))"
    return interpreter(tmp_path, f'exec "{sys.executable}" -c "{hide}" "$@"')


async def test_python_installed_later_is_used(
    place: ShelfPlace, dbm_environment: Environment, tmp_path: Path
) -> None:
    """Without a restart of smtd or a change of the shelf."""
    await place.put(record())
    location = Location(GNU, place.location.path, access=Access(python=str(tmp_path / "bin" / "python")))

    async with open_store(location) as shelf:
        await shelf.scan()
        assert "does not run" in shelf.capabilities.read_only
        # A link would lead out of its environment, and to a Python without the module.
        interpreter(tmp_path, f'exec "{dbm_environment.python}" "$@"')
        await shelf.scan()

        assert shelf.capabilities.read_only == ""
        assert await shelf.write(NEW) == [DONE]


@pytest.mark.parametrize(
    ("is_there", "said"),
    [
        (False, "python does not run; name the interpreter"),
        (True, r"did not write the shelf .* correctly"),
    ],
    ids=["not there", "lying"],
)
def test_python_that_does_not_write_damages_nothing(tmp_path: Path, is_there: bool, said: str) -> None:
    """A misspelt one is reported; the copy of one that only claims success does not replace the shelf."""
    path = tmp_path / "shelf" / "records"
    path.parent.mkdir()
    path.write_bytes((CORPUS / "c081_gnu").read_bytes())
    python = interpreter(tmp_path, "exit 0") if is_there else "/nowhere/python"

    with pytest.raises(StoreRefused, match=said):
        gnu.GnuFile(path, python).replace({b"new": Swap(None, b"value")})

    assert contents(path.parent) == {"records": (CORPUS / "c081_gnu").read_bytes()}


@pytest.mark.parametrize("name", ["records", "records [1]", "**"])
async def test_old_copies_of_a_killed_smtd_are_removed(
    name: str, tmp_path: Path, dbm_environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a later write, beside a shelf of any name."""
    place = foreign_place(GNU, tmp_path / name, dbm_environment.python)
    left = place.location.path.with_name(f".{name}.abc.smtd.db")
    left.touch()
    monkeypatch.setattr(foreign, "STALE_AFTER", -1.0)

    assert await write_to(place, NEW) == [DONE]

    assert place.files().keys() == {name}


async def test_write_keeps_the_mode_of_the_file(place: ShelfPlace) -> None:
    """The same users can read the shelf afterwards, and no others."""
    place.location.path.chmod(0o640)

    assert await write_to(place, NEW) == [DONE]

    assert place.location.path.stat().st_mode & 0o777 == 0o640
