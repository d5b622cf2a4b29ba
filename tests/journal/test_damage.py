"""smtd keeps a damaged journal aside, starts a new one, and reports that once.

An intact one stays in its place.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import resource
import signal
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from smtd.errors import JournalError
from smtd.journal import integrity
from smtd.journal.journal import open_journal
from tests.build import record
from tests.journal.noting import baseline, limited, line_of, note, process
from tests.test_denied import ORDINARY

#: The pair that another process opens.
PAIR = ("left", "another")


def file(directory):
    """Return the journal file of a state directory."""
    return directory / "journal.sqlite"


async def known_journal(directory, *, size=300):
    """Create a journal in which one pair has *size* baselines, and close it."""
    baselines = [baseline(record(f"run-{n}")) for n in range(size)]
    async with open_journal(directory) as journal, journal.pair("left", "right") as known:
        await known.begin_cycle()
        await note(known, baselines=baselines)


async def baselines(directory):
    """Return how many baselines the pair has."""
    async with open_journal(directory) as journal, journal.pair("left", "right") as known:
        return len(await known.baselines(None))


async def events(directory):
    """Return all events."""
    async with open_journal(directory) as journal:
        return [msgspec.json.decode(text) for _, text in await journal.events.after(0, 100)]


def aside(directory):
    """Return the journals that were moved aside."""
    return sorted(
        path
        for path in directory.glob("journal.sqlite.damaged-*")
        if not path.name.endswith(("-wal", "-shm"))
    )


def overwrite(path, *, start, size=3000):
    """Overwrite a part of a file, beginning at the share *start*, with nonsense."""
    with path.open("r+b") as opened:
        opened.seek(int(start * path.stat().st_size))
        opened.write(b"\xa5" * size)


def cut(path):
    """Cut off the second half of a file."""
    os.truncate(path, path.stat().st_size // 2)


DAMAGES = {
    "no database": lambda path: path.write_bytes(b"no database at all, but long enough" * 100),
    "only its name": lambda path: path.write_bytes(b"SQLite format 3\0" + b"x" * 5000),
    "its beginning overwritten": lambda path: overwrite(path, start=0.0),
    "its middle overwritten": lambda path: overwrite(path, start=0.5, size=30_000),
    "half of it": cut,
    "its schema": lambda path: path.write_bytes(
        path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABL\xff")
    ),
}


@pytest.mark.parametrize("how", DAMAGES)
async def test_damaged_journal_is_kept_aside_and_replaced_by_a_new_one(tmp_path, caplog, how):
    """With one warning, and an event that says where the old one is; the new one works like any other."""
    await known_journal(tmp_path)
    DAMAGES[how](file(tmp_path))
    found = file(tmp_path).read_bytes()

    with caplog.at_level(logging.WARNING):
        assert await baselines(tmp_path) == 0
        await known_journal(tmp_path)
        assert await baselines(tmp_path) == 300

    (place,) = aside(tmp_path)
    assert re.fullmatch(r"journal\.sqlite\.damaged-\d{8}T\d{6}Z", place.name)
    assert place.read_bytes() == found
    (warning,) = caplog.messages
    assert f"it is kept as {place}; smtd syncs the stores from scratch and deletes nothing" in warning
    (event,) = await events(tmp_path)
    assert (event["event"], event["kept"]) == ("journal lost", str(place))
    assert "it is damaged" in event["why"]
    assert stat.S_IMODE(file(tmp_path).stat().st_mode) == 0o600


async def test_other_files_of_a_damaged_journal_are_moved_with_it(tmp_path):
    """Its write-ahead log may have what the file lacks, and must never be used for the new journal."""
    await known_journal(tmp_path)
    with process(tmp_path, *PAIR, "keep") as other:
        assert line_of(other) == "open\n"
        other.kill()
    log = (tmp_path / "journal.sqlite-wal").read_bytes()
    assert log
    DAMAGES["no database"](file(tmp_path))

    assert await baselines(tmp_path) == 0

    (place,) = aside(tmp_path)
    assert place.with_name(f"{place.name}-wal").read_bytes() == log


async def test_second_damaged_journal_overwrites_no_other(tmp_path):
    """Not even within one second."""
    for _ in range(3):
        await known_journal(tmp_path, size=1)
        DAMAGES["no database"](file(tmp_path))
    await known_journal(tmp_path, size=1)

    assert len(aside(tmp_path)) == 3


@pytest.mark.parametrize("emptied", [True, False])
async def test_missing_journal_is_reported_if_there_was_one(tmp_path, caplog, emptied):
    """The state directory shows that pairs were synced; the very first start is no loss."""
    await known_journal(tmp_path)
    assert (await events(tmp_path), caplog.messages) == ([], [])
    if emptied:
        file(tmp_path).write_bytes(b"")
    else:
        file(tmp_path).unlink()

    with caplog.at_level(logging.WARNING):
        assert await baselines(tmp_path) == 0
        await baselines(tmp_path)

    (event,) = await events(tmp_path)
    assert (event["event"], event["why"], event["kept"]) == (
        "journal lost",
        "it has disappeared",
        None,
    )
    (warning,) = caplog.messages
    assert "is lost: it has disappeared; smtd syncs the stores from scratch" in warning


async def test_events_after_a_loss_get_new_numbers(tmp_path):
    """No number is used twice, although smtd does not know which were used: a gap shows."""
    async with open_journal(tmp_path) as journal:
        await journal.events.add(["{}"] * 5)
    DAMAGES["no database"](file(tmp_path))

    async with open_journal(tmp_path) as journal:
        await journal.events.add(["{}"])
        (first, _), (second, _) = await journal.events.after(5, 10)

    assert first > 1_000_000_000
    assert second == first + 1


async def test_locked_journal_does_not_count_as_damaged(tmp_path, monkeypatch):
    """It stays in its place, and an error says what is wrong."""
    monkeypatch.setattr(integrity, "PATIENCE", 0.1)
    await known_journal(tmp_path)
    with closing(sqlite3.connect(file(tmp_path), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalError, match=r"cannot be used: database is locked; fix this"):
            await baselines(tmp_path)

    assert aside(tmp_path) == []
    assert await baselines(tmp_path) == 300


async def test_path_that_is_no_file_does_not_count_as_a_damaged_journal(tmp_path):
    """Whatever is in its place stays."""
    file(tmp_path).mkdir()
    (file(tmp_path) / "something").touch()

    with pytest.raises(JournalError, match="is a directory, not a file; put the file back"):
        await baselines(tmp_path)

    assert (file(tmp_path) / "something").exists()


async def test_journal_that_cannot_be_opened_does_not_count_as_damaged(tmp_path):
    """A process without free file descriptors must wait, not replace it. (Root may open any file.)"""
    await known_journal(tmp_path)
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    try:
        with (
            limited(resource.RLIMIT_NOFILE, max(taken) + 1),
            pytest.raises(JournalError, match="cannot be used"),
        ):
            await baselines(tmp_path)
    finally:
        for each in taken:
            os.close(each)

    assert aside(tmp_path) == []
    assert await baselines(tmp_path) == 300


async def test_journal_on_a_full_disk_does_not_count_as_damaged(tmp_path):
    """smtd cannot write, but keeps what it has."""
    await known_journal(tmp_path)
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN  # otherwise the limit kills the process
    with (
        limited(resource.RLIMIT_FSIZE, 0),
        pytest.raises(JournalError, match=r"cannot be used: .*; fix this, nothing is lost"),
    ):
        await known_journal(tmp_path)

    assert aside(tmp_path) == []
    assert await baselines(tmp_path) == 300


async def test_journal_that_may_not_be_written_does_not_count_as_damaged(tmp_path):
    """The message says what to do."""
    await known_journal(tmp_path)
    file(tmp_path).chmod(0o444)

    with process(tmp_path, *PAIR, rights=ORDINARY) as other:
        told = line_of(other)

    assert "journal.sqlite; allow this user to read and write it" in told
    assert told.endswith("; nothing is lost\n")
    assert aside(tmp_path) == []


async def test_version_in_a_damaged_journal_is_not_trusted(tmp_path):
    """It need not come from a newer smtd."""
    await known_journal(tmp_path)
    with closing(sqlite3.connect(file(tmp_path))) as db:
        db.execute("PRAGMA user_version = 99")
    overwrite(file(tmp_path), start=0.4, size=30_000)

    assert await baselines(tmp_path) == 0


async def test_large_journal_is_checked_whole_only_after_a_crash(tmp_path, monkeypatch):
    """The cost of an ordinary start does not grow with the journal."""
    monkeypatch.setattr(integrity, "SMALL", 0)
    await known_journal(tmp_path)
    overwrite(file(tmp_path), start=0.4, size=30_000)

    async with open_journal(tmp_path):
        pass
    assert aside(tmp_path) == []

    (tmp_path / "journal.note").unlink()
    assert await baselines(tmp_path) == 0
    assert len(aside(tmp_path)) == 1


async def test_damage_found_while_running_is_repaired_by_the_next_start(tmp_path, monkeypatch):
    """An error reports it; although the journal is large and was closed, the next start checks all of it."""
    monkeypatch.setattr(integrity, "SMALL", 0)
    await known_journal(tmp_path)
    overwrite(file(tmp_path), start=0.1, size=100_000)

    with pytest.raises(JournalError, match=r"is damaged \(.*\); stop every smtd and start it again"):
        await baselines(tmp_path)

    assert await baselines(tmp_path) == 0
    assert len(aside(tmp_path)) == 1


async def test_damaged_journal_in_use_by_another_process_stays(tmp_path):
    """That process would otherwise write to a file that no process reads any more."""
    await known_journal(tmp_path)
    with process(tmp_path, *PAIR, "keep") as other:
        assert line_of(other) == "open\n"
        DAMAGES["no database"](file(tmp_path))

        with process(tmp_path, *PAIR) as second:
            answer = second.communicate()[0]
        other.kill()

    assert "journal.sqlite is damaged (file is not a database); stop every smtd and start it again" in answer
    assert aside(tmp_path) == []
    assert await baselines(tmp_path) == 0


async def test_processes_that_open_a_damaged_journal_at_once_share_the_new_one(tmp_path):
    """One of them moves the damaged one aside."""
    await known_journal(tmp_path)
    DAMAGES["its middle overwritten"](file(tmp_path))

    others = [process(tmp_path, *PAIR) for _ in range(4)]
    answers = [other.communicate() for other in others]

    assert [said for said, _ in answers] == ["open\n"] * 4
    assert len(aside(tmp_path)) == 1
    assert [event["event"] for event in await events(tmp_path)] == ["journal lost"]


@pytest.mark.parametrize(
    "note", [b"\xff", b'{"\xff": 1}', b'{"a": ' + b"[" * 100_000], ids=["no JSON", "bytes", "deep"]
)
async def test_unreadable_or_unwritable_note_stops_nothing(tmp_path, note):
    """It only saves work."""
    await known_journal(tmp_path)
    (tmp_path / "journal.note").write_bytes(note)
    (tmp_path / ".journal.note.new").mkdir()

    assert await baselines(tmp_path) == 300


async def test_damaged_journal_that_cannot_be_moved_aside_is_an_error(tmp_path, monkeypatch):
    """For example on a disk that became read-only, which only root can create. No new journal is started."""
    file(tmp_path).write_bytes(b"SQLite format 3\0" + b"x" * 5000)

    def read_only(_self, _target):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", read_only)

    with pytest.raises(JournalError, match=r"cannot be used: Read-only file system; fix this first"):
        async with open_journal(tmp_path):
            pass
    assert file(tmp_path).stat().st_size == 5016
