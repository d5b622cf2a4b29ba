"""What happens to records if the journal is damaged, lost, copied, or restored from an older copy."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build import full, tagged
from tests.daemon.process import DaemonProcess, daemon_process, pair_of
from tests.daemon.sqlite_stores import held, write


@pytest.fixture
def left(tmp_path: Path) -> Path:
    path = tmp_path / "left.sqlite"
    write(path, *(full(label) for label in ("one", "two", "three", "four")))
    return path


@pytest.fixture
def daemon(tmp_path: Path, left: Path, right: Path) -> Iterator[DaemonProcess]:
    """A daemon that has brought its pair in sync."""
    with daemon_process(tmp_path, pair_of(left, right)) as made:
        assert made.sync()["in_sync"] == 4
        yield made


def spoil(state: Path, how: str) -> None:
    """Damage the journal, or remove it."""
    journal = state / "journal.sqlite"
    if how == "missing":
        journal.unlink()
    else:
        journal.write_bytes(b"nonsense" * 1000)


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_daemon_without_its_journal_deletes_nothing(
    daemon: DaemonProcess, left: Path, right: Path, how: str
) -> None:
    """Both sides get all that either has; the daemon reports that once, also across restarts."""
    daemon.stop()
    write(left, deleted=["one"])
    write(right, full("new"), deleted=["two"])
    spoil(daemon.state, how)

    daemon.start()
    assert daemon.sync()["in_sync"] == 5
    daemon.restart()

    assert held(left).keys() == held(right).keys() == {"one", "two", "three", "four", "new"}
    (lost,) = [event for event in daemon.events() if event["event"] == "journal lost"]
    assert daemon.log.read_text("utf-8").count("smtd syncs the stores from scratch and deletes nothing") == 1
    if how == "damaged":
        assert Path(lost["kept"]).read_bytes() == b"nonsense" * 1000
    else:
        assert lost["kept"] is None


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_sync_command_without_its_journal_deletes_nothing(
    daemon: DaemonProcess, left: Path, right: Path, how: str
) -> None:
    """It reports the loss on standard error."""
    daemon.stop()
    write(left, deleted=["one"])
    spoil(daemon.state, how)

    first = daemon.smtd("sync", left, right, "--json")
    second = daemon.smtd("sync", left, right, "--json")

    assert (first.code, first.pair["in_sync"], first.pair["left"]["created"]) == (0, 4, 1)
    assert "smtd syncs the stores from scratch and deletes nothing" in first.err
    assert (second.code, second.err) == (0, "")
    assert held(left).keys() == held(right).keys() == {"one", "two", "three", "four"}


def test_backup_is_private_and_in_the_current_directory(daemon: DaemonProcess, tmp_path: Path) -> None:
    """The user names it relative to that."""
    answer = daemon.ctl("backup", "copy.sqlite")

    copy = tmp_path / "copy.sqlite"
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{copy}  {copy.stat().st_size:,} bytes\n"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    again = daemon.ctl("backup", copy)
    assert (again.code, again.err) == (2, f"smtd-ctl: {copy} already exists; name a new file\n")
    nowhere = daemon.ctl("backup", "nowhere/copy.sqlite")
    assert (nowhere.code, nowhere.out) == (2, "")
    assert "nowhere/copy.sqlite cannot be created: No such file or directory" in nowhere.err


def test_restored_journal_deletes_nothing_and_doubles_nothing(
    daemon: DaemonProcess, tmp_path: Path, left: Path, right: Path
) -> None:
    """What was synced since stays, and records on one side only do not count as deleted."""
    assert daemon.ctl("backup", tmp_path / "copy.sqlite").code == 0
    again = held(left)["four"]
    edited = tagged(held(left)["two"], "edited")
    write(left, edited, full("new"), deleted=["one", "four"])
    assert daemon.sync()["in_sync"] == 3
    assert held(right).keys() == {"two", "three", "new"}
    daemon.stop()
    # A user restores to the left store what was deleted from both, from a backup of the same night.
    write(left, again)
    write(right, deleted=["three"])
    shutil.copy(tmp_path / "copy.sqlite", daemon.state / "journal.sqlite")
    daemon.start()

    pair = daemon.sync()

    assert (pair["in_sync"], pair["conflicts"], pair["held"], pair["failed"]) == (4, [], [], [])
    assert held(left).keys() == held(right).keys() == {"two", "three", "new", "four"}
    assert held(left)["two"].tags == held(right)["two"].tags == edited.tags
    assert [event["event"] for event in daemon.events()].count("journal put back") == 1
    write(left, deleted=["four"])
    assert daemon.sync()["in_sync"] == 3
    assert "four" not in held(right)
