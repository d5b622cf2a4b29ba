"""smtd's writes leave a shelf accessible to the same users."""

from __future__ import annotations

import os
import pwd
import stat
import struct
from pathlib import Path

import pytest

from smtd.stores.shelf import ownership
from smtd.stores.shelf.contents import Swap
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.ndbm import NdbmFile
from tests.peers.environments import Environment
from tests.stores.places import by_module

ACL = "system.posix_acl_access"
#: The owner and the user 4321 may read and write, the group may read.
GRANTED = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, 2**32 - 1), (2, 6, 4321), (4, 4, 2**32 - 1), (16, 6, 2**32 - 1), (32, 0, 2**32 - 1))
)

#: Only root can give files away.
as_root = pytest.mark.root


@pytest.fixture
def shelf(tmp_path: Path) -> DumbFile:
    """A dumb shelf with one value."""
    file = DumbFile(tmp_path / "records")
    assert file.replace({b"P": Swap(None, b"one")})
    assert file.replace({b"P": Swap(b"one".ljust(512, b"\0"), b"two")})
    return file


@pytest.fixture
def index(shelf: DumbFile, tmp_path: Path) -> Path:
    return tmp_path / "records.dir"


def held(file: DumbFile) -> bytes:
    return file.read()[0][b"P"]


def write(file: DumbFile) -> None:
    assert file.replace({b"P": Swap(held(file), b"three")})


def owned(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


@as_root
def test_replaced_index_keeps_owner_and_group(shelf: DumbFile, index: Path) -> None:
    """So does its backup, which is the previous index."""
    os.chown(index, 1000, 5678)
    index.chmod(0o664)

    write(shelf)

    assert owned(index) == (1000, 5678, 0o664)
    assert owned(index.with_suffix(".bak")) == (1000, 5678, 0o664)


@as_root
def test_replaced_shelf_keeps_owner_and_group(tmp_path: Path, dbm_environment: Environment) -> None:
    """A file of dbm.ndbm that belongs to a group still does after smtd wrote to it."""
    by_module(dbm_environment.python, "dbm.ndbm", tmp_path / "records", {b"P": b"one"})
    path = tmp_path / "records.db"
    os.chown(path, 1000, 5678)
    path.chmod(0o664)
    before = path.stat().st_ino

    assert NdbmFile(path, str(dbm_environment.python)).replace({b"P": Swap(b"one", b"two")})

    assert owned(path) == (1000, 5678, 0o664)
    assert path.stat().st_ino != before


def test_replaced_index_keeps_its_access_control_list(shelf: DumbFile, index: Path) -> None:
    """And its other extended attributes."""
    set_attribute(index, ACL, GRANTED)
    set_attribute(index, "user.note", b"kept")

    write(shelf)

    assert os.getxattr(index, ACL) == GRANTED
    assert os.getxattr(index, "user.note") == b"kept"


def test_index_without_an_access_control_list_gets_none_from_its_directory(
    shelf: DumbFile, index: Path
) -> None:
    """The defaults of a directory for new files must not apply."""
    set_attribute(index.parent, "system.posix_acl_default", GRANTED)
    index.chmod(0o640)

    write(shelf)

    assert ACL not in os.listxattr(index)
    assert owned(index)[2] == 0o640


def set_attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as exc:
        pytest.skip(f"this file system has no {name}: {exc.strerror}")


def test_new_index_is_never_open_to_more_users(
    shelf: DumbFile, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even before it is in its place, and whatever another user planted there."""
    index.chmod(0o600)
    planted = index.with_name(".records.dir.smtd")
    planted.symlink_to(index.parent / "elsewhere")
    modes = []
    copy = ownership.copy

    def watched(source: Path, new: Path) -> None:
        modes.append(owned(new)[2])
        copy(source, new)

    monkeypatch.setattr(ownership, "copy", watched)
    before = os.umask(0)
    try:
        write(shelf)
    finally:
        os.umask(before)

    assert modes == [0o600, 0o600]
    assert not (index.parent / "elsewhere").exists()


class Somebody:
    """Another user than the owner of the files, with *groups*."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def become(self, *groups: int) -> None:
        self._monkeypatch.setattr(os, "geteuid", lambda: 4321)
        self._monkeypatch.setattr(os, "getegid", lambda: groups[0])
        self._monkeypatch.setattr(os, "getgroups", lambda: list(groups))


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Somebody:
    return Somebody(monkeypatch)


def test_shelf_of_a_foreign_group_is_read_only(shelf: DumbFile, index: Path, somebody: Somebody) -> None:
    """A new index would not belong to the group: the message names the group, and says what to do."""
    index.chmod(0o666)
    somebody.become(4321)

    why = shelf.read_only_reason()

    assert why.startswith("records.dir belongs to ")
    assert "run smtd as " in why


def test_members_of_the_group_can_write_the_shelf_of_a_member(
    shelf: DumbFile, index: Path, somebody: Somebody
) -> None:
    """The owner changes, but no user loses access."""
    index.chmod(0o660)
    somebody.become(4321, index.stat().st_gid)

    assert shelf.read_only_reason() == ""


def test_shelf_that_its_group_may_only_read_is_read_only(
    shelf: DumbFile, index: Path, somebody: Somebody
) -> None:
    """Although the directory would permit a write."""
    index.chmod(0o640)
    somebody.become(4321, index.stat().st_gid)

    assert "cannot create a new file that they can use" in shelf.read_only_reason()


def test_members_of_the_group_can_write_a_world_writable_shelf(
    shelf: DumbFile, index: Path, somebody: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the owner is unknown, as in a container."""
    index.chmod(0o666)
    somebody.become(4321, index.stat().st_gid)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)

    assert shelf.read_only_reason() == ""
