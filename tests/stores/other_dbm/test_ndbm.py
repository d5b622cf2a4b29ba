"""Tests of Berkeley DB only: its files, and programs that have one open."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyio import to_thread

from smtd.errors import StoreRefused, StoreUnreachable
from smtd.filestat import NotSettled
from smtd.stores.shelf import ndbm, open_files
from smtd.stores.shelf.contents import Swap
from smtd.stores.shelf.driver import NDBM
from tests.build import key, record
from tests.peers.environments import Environment
from tests.stores.asking import create, scan_of
from tests.stores.places import (
    CORPUS,
    HastyTime,
    ShelfPlace,
    contents,
    foreign_place,
    opened_elsewhere,
)

REAL = CORPUS / "c081_ndbm.db"
NEW = [create(record("new"))]


@pytest.fixture
def place(tmp_path: Path, dbm_environment: Environment) -> ShelfPlace:
    return foreign_place(NDBM, tmp_path / "records.db", dbm_environment.python)


# Reading


def test_loop_of_overflow_pages_ends_the_read() -> None:
    """At once."""
    content = bytearray(REAL.read_bytes())
    pages = [start for start in range(4096, len(content), 4096) if content[start + 25] == 7]
    for start in pages:
        content[start + 16 : start + 20] = (pages[0] // 4096).to_bytes(4, "little")

    with pytest.raises(NotSettled):
        ndbm.parse(bytes(content))


def test_other_file_of_berkeley_db_is_no_shelf(tmp_path: Path) -> None:
    """Nor is a hash table of a version that smtd does not know."""
    content = bytearray(REAL.read_bytes())
    content[16] = 4
    path = tmp_path / "records.db"
    path.write_bytes(content)

    with pytest.raises(StoreRefused, match="it is not a hash table of Berkeley DB 4 to 18"):
        ndbm.NdbmFile(path, None).read()


# Programs that have it open


async def test_large_shelf_open_in_another_program_is_not_read(
    place: ShelfPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of it may have been written already."""
    monkeypatch.setattr("smtd.filestat.time", HastyTime)
    await place.put(record(stdout_stderr="x" * ndbm.CACHE))

    told = "another program has it open and holds back a part"
    with opened_elsewhere(place.location.path), pytest.raises(StoreUnreachable, match=told):
        await scan_of(place)

    assert set((await scan_of(place)).digests) == {key("run")}


async def test_program_that_opens_the_file_during_the_swap_loses_no_save(
    place: ShelfPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would save into a file that no program sees, so smtd puts the old file back."""
    await place.put(record())
    inode = place.location.path.stat().st_ino
    asked = iter([False, True, False])

    def is_open_elsewhere(_file: object) -> bool:
        return next(asked, False)

    monkeypatch.setattr(open_files, "is_open_elsewhere", is_open_elsewhere)
    file = ndbm.NdbmFile(place.location.path, place.location.access.python)
    with pytest.raises(NotSettled, match="opened it at the same time"):
        await to_thread.run_sync(file.replace, {b"new": Swap(None, b"value")})

    assert place.location.path.stat().st_ino == inode
    assert place.files().keys() == {"records.db"}
    assert b"new" not in place.values()


def test_shelf_is_read_only_if_open_files_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without that list a shelf cannot be swapped safely."""
    monkeypatch.setattr(open_files, "PROCESSES", tmp_path)
    path = tmp_path / "records.db"
    path.write_bytes(REAL.read_bytes())
    file = ndbm.NdbmFile(path, None)

    with pytest.raises(StoreRefused, match="this machine does not show which programs have it open"):
        file.replace({b"new": Swap(None, b"value")})

    assert file.read()[0].keys() == {b"corpus"}
    assert contents(tmp_path) == {"records.db": REAL.read_bytes()}
