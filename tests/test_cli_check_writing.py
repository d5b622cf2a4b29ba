"""`smtd check` tries to write to each store that a pair would write to, and leaves no trace."""

from __future__ import annotations

import dbm.dumb
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.build import PROJECT, full
from tests.command import Answer, Smtd
from tests.daemon.process import pair_of
from tests.daemon.sqlite_stores import put
from tests.server.process import server_process
from tests.server.served import PASSWORD
from tests.test_cli_check import checked
from tests.test_denied import ORDINARY

YES, NO = "\u2713", "\u2717"


def wrong(answer: Answer) -> list[str]:
    """Return what is wrong, without the symbols."""
    return [line[2:] for line in answer.out.splitlines() if line.startswith(NO)]


def ordinary(smtd: Smtd, text: str) -> Answer:
    """Return the result of `smtd check` for a user whom the system can deny something."""
    config = smtd.directory / "config.toml"
    config.write_text(text, "utf-8")
    command = [*ORDINARY, sys.executable, "-m", "smtd", "-c", str(config), "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=smtd.variables())
    return Answer(done.returncode, done.stdout, done.stderr)


def test_store_that_may_not_be_written_keeps_its_pair_from_syncing(smtd: Smtd, tmp_path: Path) -> None:
    """With what to do; that it can be read is shown, too."""
    put(tmp_path / "left.sqlite", full("run"))
    (tmp_path / "shut").mkdir()
    put(tmp_path / "shut" / "right.sqlite", full("run"))
    (tmp_path / "shut").chmod(0o555)

    answer = ordinary(smtd, pair_of(tmp_path / "left.sqlite", tmp_path / "shut" / "right.sqlite"))
    (tmp_path / "shut").chmod(0o755)

    right = f"{tmp_path}/shut/right.sqlite"
    assert (answer.code, answer.err) == (4, "")
    assert f"  right        {right}  1 record of {PROJECT}\n" in answer.out
    assert wrong(answer) == [
        f"right        {right} cannot be used: permission denied at {tmp_path}/shut; allow this user to"
        " create files in this directory (chmod), or run smtd as its owner",
        "pair pair    its right store right cannot be written; see there",
    ]


@pytest.mark.slow
def test_store_that_a_pair_only_reads_need_not_be_writable(smtd: Smtd, tmp_path: Path) -> None:
    """It is not tried."""
    put(tmp_path / "left.sqlite", full("run"))
    (tmp_path / "left.sqlite").chmod(0o444)

    answer = ordinary(
        smtd, pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite", mode="left-to-right")
    )

    assert (answer.code, wrong(answer)) == (0, [])
    assert f"{YES} left         {tmp_path}/left.sqlite  1 record of {PROJECT}\n" in answer.out
    assert f"{YES} pair pair    left --> right  all projects\n" in answer.out


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_trial_of_an_sqlite_store_leaves_no_trace(smtd: Smtd, tmp_path: Path, mode: str) -> None:
    """The same bytes and times, and no other file."""
    path = tmp_path / "stores" / "left.sqlite"
    path.parent.mkdir()
    put(path, full("run"))
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
    before = path.read_bytes(), path.stat().st_mtime_ns

    answer = checked(smtd, f'[stores.left]\nlocation = "{path}"\n')

    assert answer.out.startswith(f"{YES} left         {path}  1 record of {PROJECT}; can be written\n")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [*path.parent.iterdir()] == [path]


def test_trial_of_a_shelf_leaves_no_trace(smtd: Smtd, tmp_path: Path) -> None:
    """Not even a new time."""
    (tmp_path / "stores").mkdir()
    dbm.dumb.open(str(tmp_path / "stores" / "shelf"), "c").close()
    (tmp_path / "stores" / "shelf.dat").touch()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "stores").iterdir()}

    answer = checked(smtd, f'[stores.left]\nlocation = "{tmp_path}/stores/shelf"\n')

    assert answer.out.startswith(
        f"{YES} left         {tmp_path}/stores/shelf  0 records of no projects; can be"
    )
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "stores").iterdir()} == before


@pytest.mark.slow
def test_pair_of_a_store_in_use_is_not_ready(smtd: Smtd, tmp_path: Path) -> None:
    """While another program keeps the lock for writing."""
    put(tmp_path / "left.sqlite", full("run"))
    with closing(sqlite3.connect(tmp_path / "left.sqlite", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        answer = checked(smtd, pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite"))

    assert answer.code == 4
    assert "is locked by another program; try again later" in wrong(answer)[0]


def test_read_only_kind_of_store_restricts_its_pair(smtd: Smtd, tmp_path: Path) -> None:
    """It is only a source; a pair that can write to neither side is refused."""
    (tmp_path / "old.json").write_text("[]", "utf-8")
    (tmp_path / "older.json").write_text("[]", "utf-8")

    one = checked(smtd, pair_of(tmp_path / "old.json", tmp_path / "right.sqlite"))
    both = checked(smtd, pair_of(tmp_path / "old.json", tmp_path / "older.json"))

    assert one.code == 0
    assert "! pair pair    changes go to the right only: the left store is read-only\n" in one.out
    assert both.code == 4
    assert wrong(both)[0].startswith("pair pair    nothing can be written (left: ")


def test_state_directory_that_cannot_be_used_is_reported(smtd: Smtd, tmp_path: Path) -> None:
    """No pair could sync."""
    (tmp_path / "file").touch()

    answer = checked(smtd, f'[daemon]\nstate_dir = "{tmp_path}/file/state"\n')

    assert answer.code == 2
    assert wrong(answer) == [
        f"state        the state directory {tmp_path}/file/state cannot be used: {tmp_path}/file is not a"
        " directory; name another one (state_dir)"
    ]


def test_everything_is_in_the_json_object(smtd: Smtd, tmp_path: Path) -> None:
    """And nothing else is printed."""
    put(tmp_path / "left.sqlite", full("run"))
    config = tmp_path / "config.toml"
    config.write_text(pair_of(tmp_path / "left.sqlite", tmp_path / "no" / "right.sqlite"), "utf-8")

    answer = smtd("-c", config, "check", "--json")

    problem = f"there is no directory {tmp_path}/no to create right.sqlite in"
    assert (answer.code, answer.err) == (4, "")
    assert json.loads(answer.out) == {
        "ok": False,
        "configuration": str(config),
        "stores": [
            {
                "store": "left",
                "location": f"{tmp_path}/left.sqlite",
                "ok": True,
                "projects": [PROJECT],
                "records": 1,
                "writable": True,
                "notes": [f"1 record of {PROJECT}", "can be written"],
                "warnings": [],
                "problems": [],
            },
            {
                "store": "right",
                "location": None,
                "ok": False,
                "projects": [],
                "records": None,
                "writable": None,
                "notes": [],
                "warnings": [],
                "problems": [problem],
            },
        ],
        "pairs": [
            {
                "pair": "pair",
                "left": "left",
                "right": "right",
                "mode": "two-way",
                "ok": False,
                "projects": None,
                "warnings": [],
                "problems": ["its right store right cannot be used; see there"],
            }
        ],
        "server": None,
        "state": {"ok": True, "notes": [f"{smtd.home}/smtd"], "problems": []},
    }


@pytest.mark.parametrize("name", ["LC_ALL", "LANG"])
def test_symbols_are_ascii_in_a_locale_without_more(name: str, smtd: Smtd, tmp_path: Path) -> None:
    """Whatever Python itself would write there."""
    smtd.more[name] = "C"

    answer = checked(smtd, f'[stores.away]\nlocation = "{tmp_path}/away"\n')

    assert [line[:3] for line in answer.out.splitlines()] == ["NO ", "ok ", "1 s"]


@pytest.mark.slow
def test_rights_at_a_server_of_smtd_are_asked_for(smtd: Smtd, tmp_path: Path) -> None:
    """Reading is not enough; a right to create projects is. Nothing changes there."""
    (tmp_path / "server").mkdir()
    put(tmp_path / "server" / "lab.sqlite", full("run"))
    put(tmp_path / "left.sqlite", full("run"), project="New")
    with server_process(tmp_path / "server", location=tmp_path / "server" / "lab.sqlite") as server:
        url = f"{server.root}records/"

        def asked(projects: str) -> Answer:
            login = f'username = "reader"\npassword = "{PASSWORD}"'
            pair = pair_of(tmp_path / "left.sqlite", url, projects="X").replace('"X"', f'["{projects}"]')
            return checked(smtd, pair.replace("[pairs.", f"{login}\n[pairs."))

        new, denied = asked("New"), asked(PROJECT)
        listed = smtd("-c", tmp_path / "config.toml", "list", "right", "--json").json

    assert (new.code, denied.code) == (0, 4)
    assert wrong(denied)[0] == (
        f"right        permission denied: this user may not write to project {PROJECT} at {url}; ask an owner"
        f" of the project, or an admin, for the right (smtd user grant NAME {PROJECT} write)"
    )
    assert [each["project"] for each in listed["projects"]] == [PROJECT]
