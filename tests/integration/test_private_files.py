"""All files of smtd can be read only by its user, from the first byte, whatever the umask."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from smtd import private
from tests.build import full
from tests.command import Smtd
from tests.daemon.process import daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import put

#: Runs smtd without a umask. Whenever Python opens, creates or renames anything, or opens a database, it
#: lists some directories, and records what other users may read, write or enter.
WATCHED = """
import os, stat, sys
report = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
places = sys.argv.pop(1).split(":")
os.umask(0)
looking = False

def look(event, _arguments):
    global looking
    if looking or event.partition(".")[0] not in ("open", "os", "shutil", "socket", "sqlite3"):
        return
    looking = True
    for place in places:
        for directory, names, files in os.walk(place):
            names[:] = [name for name in names if not name.startswith(".smtd-")]  # shut, with a socket in it
            for name in names + files:
                try:
                    mode = os.lstat(os.path.join(directory, name)).st_mode
                except FileNotFoundError:
                    continue
                if mode & 0o077:
                    os.write(report, f"{event}: {directory}/{name} {stat.filemode(mode)}\\n".encode())
    looking = False

sys.addaudithook(look)
from smtd.cli.main import main
main()
"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    file = tmp_path / "report"
    file.touch(0o600)
    return file


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A directory that another user created, open to all."""
    made = tmp_path / "state"
    made.mkdir()
    made.chmod(0o1777)
    return made


def test_everything_that_a_sync_creates_is_private(smtd: Smtd, state: Path, report: Path) -> None:
    """The journal, SQLite's files beside it, locks and notes, and each directory on the way."""
    put(smtd.directory / "a.sqlite", full("run"))
    smtd.program = ["-c", WATCHED, str(report), str(state)]

    smtd.sync("a.sqlite", "b.sqlite", "--state", state / "new" / "smtd")
    smtd.sync("a.sqlite", "b.sqlite", "--state", state)

    assert report.read_text("utf-8") == ""
    assert (state / "journal.sqlite").exists()
    assert (state / "new" / "smtd" / "journal.sqlite").exists()


def test_everything_that_a_daemon_creates_is_private(tmp_path: Path, state: Path, report: Path) -> None:
    """Also its socket, the added pairs, delivered notifications, and a copy of the journal."""
    left, right, socket = tmp_path / "left.sqlite", tmp_path / "right.sqlite", state / "run" / "s"
    put(left, full("run"))
    text = pair_of(left, right) + f'[daemon]\nstate_dir = "{state}"\n[notify]\ncommand = ["false"]\n'
    with daemon_process(tmp_path, text, start=False) as daemon:
        daemon.smtd.program = ["-c", WATCHED, str(report), str(state)]
        daemon.smtd.more["SMTD_SOCKET"] = str(socket)
        daemon.start()
        daemon.wait_event(synced)
        put(tmp_path / "third.sqlite", full("other"))
        added = daemon.ctl("pair", "add", "more", str(left), str(tmp_path / "third.sqlite"))
        copied = daemon.ctl("backup", state / "copy")
        made = {path.name for path in state.rglob("*")}
        stopped = daemon.ctl("stop")
        daemon.ended()

    assert (added.code, copied.code, stopped.code) == (0, 0, 0)
    assert {"journal.sqlite", "journal.sqlite-wal", "daemon.lock", "pairs.json", "copy", "run", "s"} <= made
    assert report.read_text("utf-8") == ""


def test_journal_of_an_older_smtd_is_made_private(smtd: Smtd, tmp_path: Path) -> None:
    """Whatever its mode was."""
    put(tmp_path / "a.sqlite", full("run"))
    smtd.sync("a.sqlite", "b.sqlite", "--state", "state")
    journal = tmp_path / "state" / "journal.sqlite"
    journal.chmod(0o644)

    smtd.sync("a.sqlite", "b.sqlite", "--state", "state")

    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_replaced_file_follows_no_planted_link(tmp_path: Path) -> None:
    """In a directory where other users may create files, too."""
    (tmp_path / ".note.new").symlink_to(tmp_path / "elsewhere")

    private.replace(tmp_path / "note", b"mine")

    assert (tmp_path / "note").read_bytes() == b"mine"
    assert not (tmp_path / "elsewhere").exists()
