"""A database on a read-only file system is read, or the error says why not and what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from anyio import to_thread

from smtd import readonly
from smtd.errors import StoreUnreachable
from smtd.merge.sides import Side
from smtd.stores.discovery import find
from smtd.stores.registry import open_store
from tests.build import key, record
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace

Freeze = Callable[[], None]


def mounts(*words: str | Path) -> bool:
    """Say whether this user may mount file systems, tried with *words*."""
    return subprocess.run(list(map(str, words)), capture_output=True, check=False).returncode == 0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system of its own."""
    place = tmp_path / "mount"
    place.mkdir()
    if os.geteuid() or not mounts("mount", "-t", "tmpfs", "tmpfs", place):
        pytest.skip("nobody but root can mount a file system")
    yield place
    mounts("umount", "-l", place)


@pytest.fixture
def freeze(home: Path) -> Freeze:
    return lambda: subprocess.run(["mount", "-o", "remount,ro", home], check=True)  # type: ignore[return-value]


def in_write_ahead_mode(path: Path) -> Path:
    """Return the path of a database in write-ahead mode, which is created empty if needed."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = wal")
    return path


async def made(path: Path) -> DjangoPlace:
    """Return a database with one record, in write-ahead mode."""
    place = DjangoPlace(path)
    await place.put(record())
    in_write_ahead_mode(path)
    return place


@pytest.mark.root
async def test_database_in_write_ahead_mode_is_read_and_can_be_a_source(
    home: Path, freeze: Freeze, tmp_path: Path
) -> None:
    """SQLite itself cannot open it there."""
    left = await made(home / "records")
    freeze()

    pair = RealPair(tmp_path / "state", left, DjangoPlace(tmp_path / "right"))
    report = await pair.cycle()

    assert (report.ok, report.right.created) == (True, 1)
    assert report.left.read_only == "its file system is mounted read-only"
    assert await pair.labels(Side.RIGHT) == {"run"}


@pytest.mark.root
async def test_remounted_file_system_is_read_again(home: Path, freeze: Freeze) -> None:
    """By the same store object."""
    place = await made(home / "records")
    freeze()
    async with place.open() as store:
        assert len((await store.scan()).digests) == 1
        assert store.capabilities.read_only
        await to_thread.run_sync(mounts, "mount", "-o", "remount,rw", home)
        await place.put(record("later"))

        assert (await store.scan()).digests.keys() == {key("run"), key("later")}
        assert not store.capabilities.read_only


@pytest.mark.root
async def test_write_ahead_log_with_content_is_not_ignored(home: Path, freeze: Freeze) -> None:
    """Its contents were committed. SQLite can read the log with its index; without it, no program can."""
    place = await made(home / "records")
    with closing(sqlite3.connect(place.path)) as db:
        db.execute("UPDATE django_store_record SET outcome = 'in the log'")
        db.commit()
        for ending in ("", "-wal"):
            shutil.copy(f"{place.path}{ending}", home / f"copy{ending}")
    freeze()

    with pytest.raises(StoreUnreachable, match=r"in WAL mode, .*; mount it writable, or run PRAGMA"):
        await to_thread.run_sync(find, str(home / "copy"))


@pytest.mark.root
async def test_interrupted_transaction_is_reported(home: Path, freeze: Freeze) -> None:
    """Without a rollback a reader would see half of it."""
    path = home / "records"
    await DjangoPlace(path).put(record())
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute("CREATE TABLE filling (text)")
        db.executemany("INSERT INTO filling VALUES (?)", [("x" * 4000,)] * 20)
        for ending in ("", "-journal"):
            shutil.copy(f"{path}{ending}", home / f"copy{ending}")
    freeze()

    with pytest.raises(
        StoreUnreachable, match=r"was interrupted while writing to it, .*; mount it writable and list it once"
    ):
        await to_thread.run_sync(find, str(home / "copy"))


MOUNT = "28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n30 28 {number} / {place} ro - {system}\n"


@pytest.mark.parametrize(
    ("system", "frozen"),
    [
        ("ext4 /dev/sdb1 ro,relatime", True),
        ("squashfs /dev/loop0 ro", True),
        ("ext4 /dev/sdb1 rw,relatime", False),  # another mount of it is writable
        ("nfs4 server:/records ro,vers=4.2", False),  # another machine can write to it
        ("fuse.sshfs server:records ro", False),
    ],
)
def test_only_files_that_no_program_can_write_are_read_without_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, frozen: bool
) -> None:
    path = in_write_ahead_mode(tmp_path / "records")
    device = path.stat().st_dev
    mounts = tmp_path / "mounts"
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts.write_text(MOUNT.format(number=number, place=tmp_path, system=system))
    monkeypatch.setattr(readonly, "_MOUNTS", mounts)
    found = os.statvfs(path)
    read_only = os.statvfs_result([*found[:8], found.f_flag | os.ST_RDONLY, found[9]])
    monkeypatch.setattr(os, "statvfs", lambda _path: read_only)

    assert readonly.is_frozen(path) is frozen
    Path(f"{path}-wal").write_bytes(b"x")
    assert not readonly.is_frozen(path)


async def test_writable_database_is_opened_with_locks(tmp_path: Path) -> None:
    place = await made(tmp_path / "records")

    assert not await to_thread.run_sync(readonly.is_frozen, place.path)
    unable = sqlite3.OperationalError("unable to open database file")
    assert await to_thread.run_sync(readonly.obstacle, place.path, unable) == ""
    async with open_store(place.location) as store:
        assert len((await store.scan()).digests) == 1
        assert store.capabilities.read_only == ""
