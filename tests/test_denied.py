"""If smtd may not read a file or directory, the error says so, with the path and the next step."""

from __future__ import annotations

import dbm.dumb
import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smtd import denied
from tests.build import full
from tests.daemon.sqlite_stores import put

#: Root may read any file, unless it gives up these rights.
ORDINARY = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
STEP = "allow this user to read and write it"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory with a shelf and an SQLite file in `stores`, and an empty `state`."""
    (tmp_path / "stores").mkdir()
    (tmp_path / "state").mkdir()
    dbm.dumb.open(str(tmp_path / "stores" / "shelf"), "c").close()
    with closing(sqlite3.connect(tmp_path / "stores" / "new.sqlite")) as db:
        db.execute("VACUUM")
    yield tmp_path
    for name in ("stores", "state"):
        (tmp_path / name).chmod(0o700)


@pytest.mark.parametrize(
    ("shut", "named"),
    [
        ("stores/shelf.dat", "stores/shelf.dat"),
        ("stores/new.sqlite", "stores/new.sqlite"),
        ("stores", "stores/shelf"),
        ("state", "state/journal"),
    ],
)
def test_sync_without_permission_is_an_error(place: Path, shut: str, named: str) -> None:
    """One sentence has the path and what to do; nothing counts as missing, empty or damaged."""
    (place / shut).chmod(0)
    stores = [str(place / "stores" / "shelf"), str(place / "stores" / "new.sqlite")]
    command = [*ORDINARY, sys.executable, "-m", "smtd", "sync", "--state", "state", *stores]

    done = subprocess.run(command, capture_output=True, text=True, cwd=place, check=False)

    assert done.returncode == 4
    assert "permission denied at " in done.stderr
    assert named in done.stderr
    assert STEP in done.stderr


@pytest.mark.parametrize(
    ("shut", "mode", "expected"),
    [
        ("stores/new.sqlite", 0o444, "new.sqlite; allow this user to read and write it"),
        ("stores", 0o555, "stores; allow this user to create files in this directory"),
        ("state/journal.sqlite", 0o444, "journal.sqlite; allow this user to read and write it"),
    ],
)
def test_sync_that_may_read_but_not_write_says_so(
    place: Path, shut: str, mode: int, expected: str, tmp_path: Path
) -> None:
    """SQLite itself says only that a database is read-only, or that it cannot open a file."""
    put(tmp_path / "left.sqlite", full("run"))
    (place / "state" / "journal.sqlite").touch()
    (place / shut).chmod(mode)
    command = [*ORDINARY, sys.executable, "-m", "smtd", "sync", "--state", "state"]

    done = subprocess.run(
        [*command, "left.sqlite", "stores/new.sqlite"], capture_output=True, text=True, cwd=place, check=False
    )

    assert done.returncode == 4
    assert "permission denied at " in done.stderr
    assert expected in done.stderr


def test_program_without_permission_is_reported_with_the_step() -> None:
    """A password command, for example."""
    assert denied.unrun(PermissionError(errno.EACCES, "Permission denied", "pass")) == (
        "permission denied; allow this user to run it (chmod +x)"
    )


def test_operation_that_is_not_permitted_counts_as_denied() -> None:
    """For example on a file with the flag *immutable*."""
    assert denied.why(PermissionError(errno.EPERM, "Operation not permitted", "/x")).startswith(
        "permission denied at /x; allow"
    )


def test_other_reasons_are_not_reported_as_denied() -> None:
    """Only what a change of permissions repairs is."""
    assert denied.why(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert denied.why(OSError("a reason")) == "a reason"


def test_denial_without_a_path_is_reported() -> None:
    """Not every call has one."""
    assert denied.why(PermissionError(errno.EACCES, "Permission denied")).startswith(
        "permission denied; allow"
    )


def test_missing_or_readable_file_is_not_denied(place: Path) -> None:
    """SQLite fails to open a file for other reasons, too."""
    assert denied.at(place / "stores" / "new.sqlite") == denied.at(place / "missing") == ""


@pytest.mark.parametrize("shut", ["config/smtd", "config/smtd/config.toml"])
def test_configuration_without_permission_is_not_ignored(place: Path, shut: str) -> None:
    """Another one would mean another state directory."""
    (place / "config" / "smtd").mkdir(parents=True)
    (place / "config" / "smtd" / "config.toml").touch()
    (place / shut).chmod(0)
    command = [*ORDINARY, sys.executable, "-m", "smtd", "check"]
    environment = os.environ | {"XDG_CONFIG_HOME": str(place / "config")}

    done = subprocess.run(command, capture_output=True, text=True, cwd=place, check=False, env=environment)
    (place / shut).chmod(0o700)

    assert done.returncode == 2
    assert "config.toml cannot be read: permission denied; allow this user to read it" in done.stderr


def test_missing_directory_is_an_error(place: Path) -> None:
    """It has no project; one sentence says what to do."""
    gone = place / "gone"
    gone.mkdir()
    script = f"rmdir {gone}; exec {sys.executable} -m smtd sync {place / 'stores' / 'shelf'}"

    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, cwd=gone, check=False, env=os.environ
    )

    assert done.returncode == 2
    assert (
        "the current directory cannot be read (No such file or directory); change to another" in done.stderr
    )
