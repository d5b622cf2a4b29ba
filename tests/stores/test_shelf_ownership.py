"""Whoever may use a shelf before smtd writes to it may use it afterwards."""

from __future__ import annotations

import os
import pwd
import stat
import struct
from pathlib import Path

import pytest

from smtd.stores.shelf import ownership
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.ndbm import NdbmFile
from smtd.stores.shelf.swaps import Swap
from tests.peers.environments import Environment
from tests.stores.places import by_module

ACL = "system.posix_acl_access"
#: Its owner and the user 4321 read and write, the group reads.
GRANTED = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, 2**32 - 1), (2, 6, 4321), (4, 4, 2**32 - 1), (16, 6, 2**32 - 1), (32, 0, 2**32 - 1))
)

#: Only root gives files away.
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
def test_index_that_was_replaced_has_the_owner_and_group_of_the_one_before(
    shelf: DumbFile, index: Path
) -> None:
    """So has the backup of it, which is the index before."""
    os.chown(index, 1000, 5678)
    index.chmod(0o664)

    write(shelf)

    assert owned(index) == (1000, 5678, 0o664)
    assert owned(index.with_suffix(".bak")) == (1000, 5678, 0o664)


@as_root
def test_shelf_that_was_swapped_has_the_owner_and_group_of_the_one_before(
    tmp_path: Path, dbm_environment: Environment
) -> None:
    """A file of dbm.ndbm that belongs to a group still does after smtd wrote to it."""
    by_module(dbm_environment.python, "dbm.ndbm", tmp_path / "records", {b"P": b"one"})
    path = tmp_path / "records.db"
    os.chown(path, 1000, 5678)
    path.chmod(0o664)
    before = path.stat().st_ino

    assert NdbmFile(path, str(dbm_environment.python)).replace({b"P": Swap(b"one", b"two")})

    assert owned(path) == (1000, 5678, 0o664)
    assert path.stat().st_ino != before


def test_index_that_was_replaced_has_the_access_control_list_of_the_one_before(
    shelf: DumbFile, index: Path
) -> None:
    """And what programs noted at the file."""
    set_attribute(index, ACL, GRANTED)
    set_attribute(index, "user.note", b"kept")

    write(shelf)

    assert os.getxattr(index, ACL) == GRANTED
    assert os.getxattr(index, "user.note") == b"kept"


def test_index_without_an_access_control_list_gets_none_from_its_directory(
    shelf: DumbFile, index: Path
) -> None:
    """What a directory gives to new files is nothing that this file had."""
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


def test_new_index_is_never_open_to_more_than_the_one_before(
    shelf: DumbFile, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even before it is in its place, and whatever was planted there."""
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
    """Another user than the owner of the files, of the *groups*."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def become(self, *groups: int) -> None:
        self._monkeypatch.setattr(os, "geteuid", lambda: 4321)
        self._monkeypatch.setattr(os, "getegid", lambda: groups[0])
        self._monkeypatch.setattr(os, "getgroups", lambda: list(groups))


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Somebody:
    return Somebody(monkeypatch)


def test_shelf_of_a_group_is_only_read_by_who_is_not_in_it(
    shelf: DumbFile, index: Path, somebody: Somebody
) -> None:
    """A new index would not belong to the group: the sentence says to whom it belongs, and what to do."""
    index.chmod(0o666)
    somebody.become(4321)

    why = shelf.read_only_reason()

    assert why.startswith("records.dir belongs to ")
    assert "run smtd as " in why


def test_shelf_of_an_owner_who_is_in_its_group_is_written_by_the_others_of_it(
    shelf: DumbFile, index: Path, somebody: Somebody
) -> None:
    """The new owner is another one, and nobody is shut out."""
    index.chmod(0o660)
    somebody.become(4321, index.stat().st_gid)

    assert shelf.read_only_reason() == ""


def test_shelf_whose_group_may_only_read_is_not_taken_from_its_owner(
    shelf: DumbFile, index: Path, somebody: Somebody
) -> None:
    """Though the directory would let us."""
    index.chmod(0o640)
    somebody.become(4321, index.stat().st_gid)

    assert "cannot create a new file that they can use" in shelf.read_only_reason()


def test_shelf_that_everybody_may_write_is_written_by_anybody_of_its_group(
    shelf: DumbFile, index: Path, somebody: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if nothing is known of its owner, as in a container."""
    index.chmod(0o666)
    somebody.become(4321, index.stat().st_gid)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)

    assert shelf.read_only_reason() == ""
