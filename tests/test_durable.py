"""smtd's writes, and its reads before a baseline, are on the disk before the journal records them."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest

from smtd import durable, sqlite_files
from smtd.stores.shelf.contents import Swap
from smtd.stores.shelf.dumb import DumbFile

pytestmark = pytest.mark.disk


class Disk:
    """The files and directories that were synced, by name and in order, and those that were renamed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.error: int | None = None
        self._sync, self._replace = os.fsync, Path.replace
        monkeypatch.setattr(os, "fsync", self.sync)
        monkeypatch.setattr(Path, "replace", lambda path, place: self.replace(path, place))

    def sync(self, handle: int) -> None:
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        self._sync(handle)
        self.done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")

    def replace(self, path: Path, place: Path) -> Path:
        self.done.append(f"rename to {place.name}")
        return self._replace(path, place)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_replacing_file_is_synced_before_and_its_directory_after(disk: Disk, home: Path) -> None:
    (home / "new").write_bytes(b"new")

    durable.replace(home / "new", home / "place")

    assert disk.done == ["sync new", "rename to place", "sync home"]
    assert (home / "place").read_bytes() == b"new"


def test_files_are_synced_and_their_directory_once(disk: Disk, home: Path) -> None:
    """The absence of files is durable, too: a removed rollback journal must not come back."""
    for name in ("one", "two"):
        (home / name).touch()

    durable.sync([home / "one", home / "absent", home / "two"])

    assert disk.done == ["sync one", "sync two", "sync home"]


def test_link_is_followed_to_the_directory_of_its_file(disk: Disk, home: Path, tmp_path: Path) -> None:
    (home / "file").touch()
    (tmp_path / "link").symlink_to(home / "file")

    durable.sync([tmp_path / "link"])

    assert disk.done == ["sync file", "sync home"]


def test_missing_path_is_ignored(home: Path) -> None:
    durable.sync([home / "gone" / "file"])


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errno.EINVAL, nullcontext()),
        (errno.EROFS, nullcontext()),
        (errno.EIO, pytest.raises(OSError, match="error")),
    ],
)
def test_failing_disk_is_an_error_and_a_file_system_without_sync_is_none(
    disk: Disk, home: Path, error: int, outcome: AbstractContextManager[object]
) -> None:
    (home / "file").touch()
    disk.error = error

    with outcome:
        durable.sync([home / "file"])
    with closing(sqlite3.connect(home / "file")), outcome:
        durable.sync_open(home / "file")


def test_database_is_synced_without_losing_a_lock(disk: Disk, home: Path) -> None:
    """Opening and closing it once more would let others write into the middle of a transaction (fcntl(2))."""
    path = home / "records"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE thing (id INTEGER)")
        db.execute("BEGIN EXCLUSIVE")

        sqlite_files.flush(path)

        assert disk.done[-1] == "sync home"
        assert "sync records" in disk.done
        write = "db.execute('INSERT INTO thing VALUES (1)')"
        insert = f"import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0); {write}"
        other = subprocess.run(
            [sys.executable, "-c", insert, path], capture_output=True, text=True, check=False
        )
        assert "locked" in other.stderr


def test_all_file_systems_are_synced_if_a_process_cannot_see_its_handles(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    (home / "file").touch()
    synced: list[str] = []
    monkeypatch.setattr(durable, "_HANDLES", str(home / "no such directory"))
    monkeypatch.setattr(os, "sync", lambda: synced.append("all"))

    durable.sync_open(home / "file")

    assert synced == ["all"]


def test_commits_of_a_database_are_counted_except_in_write_ahead_mode(home: Path) -> None:
    """There SQLite's counter does not change."""
    path = home / "records"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE thing (id INTEGER)")
        before = sqlite_files.commits(path)
        db.execute("INSERT INTO thing VALUES (1)")
        after = sqlite_files.commits(path)
        db.execute("PRAGMA journal_mode = wal")

        assert before is not None
        assert after == before + 1
        assert sqlite_files.commits(path) is None
    assert sqlite_files.commits(path) is None  # no program has it open


def test_swap_of_a_dumb_shelf_is_durable(disk: Disk, home: Path) -> None:
    """The value is written before the index that refers to it, and the directory last."""
    shelf = DumbFile(home / "records")
    assert shelf.replace({b"Project": Swap(None, b"first")})
    disk.done.clear()

    old = shelf.read()[0][b"Project"]
    assert shelf.replace({b"Project": Swap(old, b"second")})

    assert disk.done[0] == "sync records.dat"
    assert disk.done[-2:] == ["rename to records.dir", "sync home"]


def test_dumb_shelf_of_another_program_can_be_made_durable(disk: Disk, home: Path) -> None:
    for ending in ("dat", "dir", "bak"):
        (home / f"records.{ending}").touch()

    DumbFile(home / "records").flush()

    assert disk.done == ["sync records.dat", "sync records.dir", "sync records.bak", "sync home"]


def test_handle_of_a_replaced_file_is_not_used_for_the_new_one(tmp_path: Path) -> None:
    """A handle that was found before is used only while it is one of the current file."""
    place, other = tmp_path / "records", tmp_path / "other"
    place.write_text("old", "utf-8")
    other.write_text("new", "utf-8")
    with place.open("rb") as old:
        assert next(iter(durable.own_handles(place))) == old.fileno()
        other.replace(place)
        assert list(durable.own_handles(place)) == []
        with place.open("rb") as new:
            assert next(durable.own_handles(place)) == new.fileno()
