"""A damaged or missing journal: kept aside, begun anew, told once. What is no damage stays in its place."""

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
from tests.journal.noting import agreement, limited, line_of, note, process

#: Which pair another process opens.
PAIR = ("left", "another")


def file(directory):
    """Return the journal file of a state directory."""
    return directory / "journal.sqlite"


async def known_journal(directory, *, size=300):
    """Make a journal in which one pair has agreed on *size* records, and close it."""
    agreed = [agreement(record(f"run-{n}")) for n in range(size)]
    async with open_journal(directory) as journal, journal.pair("left", "right") as known:
        await known.begin_cycle()
        await note(known, agreements=agreed)


async def agreed(directory):
    """Return how many records the pair has agreed on."""
    async with open_journal(directory) as journal, journal.pair("left", "right") as known:
        return len(await known.agreed(None))


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
    """Put nonsense into a file, at a share *start* of it."""
    with path.open("r+b") as opened:
        opened.seek(int(start * path.stat().st_size))
        opened.write(b"\xa5" * size)


def cut(path):
    """Take the second half of a file away."""
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
async def test_damaged_journal_is_kept_aside_and_begun_anew(tmp_path, caplog, how):
    """With one warning, and an event that says where the old one is; then it is used as any."""
    await known_journal(tmp_path)
    DAMAGES[how](file(tmp_path))
    found = file(tmp_path).read_bytes()

    with caplog.at_level(logging.WARNING):
        assert await agreed(tmp_path) == 0
        await known_journal(tmp_path)
        assert await agreed(tmp_path) == 300

    (place,) = aside(tmp_path)
    assert re.fullmatch(r"journal\.sqlite\.damaged-\d{8}T\d{6}Z", place.name)
    assert place.read_bytes() == found
    (warning,) = caplog.messages
    assert f"it is kept as {place}; smtd syncs the stores from scratch and deletes nothing" in warning
    (event,) = await events(tmp_path)
    assert (event["event"], event["kept"]) == ("journal lost", str(place))
    assert "it is damaged" in event["why"]
    assert stat.S_IMODE(file(tmp_path).stat().st_mode) == 0o600


async def test_what_belongs_to_a_damaged_journal_goes_with_it(tmp_path):
    """Its write-ahead log may hold what the file does not; it is never taken for the new journal's."""
    await known_journal(tmp_path)
    with process(tmp_path, *PAIR, "keep") as other:
        assert line_of(other) == "open\n"
        other.kill()
    log = (tmp_path / "journal.sqlite-wal").read_bytes()
    assert log
    DAMAGES["no database"](file(tmp_path))

    assert await agreed(tmp_path) == 0

    (place,) = aside(tmp_path)
    assert place.with_name(f"{place.name}-wal").read_bytes() == log


async def test_second_damaged_journal_overwrites_no_other(tmp_path):
    """Even within one second."""
    for _ in range(3):
        await known_journal(tmp_path, size=1)
        DAMAGES["no database"](file(tmp_path))
    await known_journal(tmp_path, size=1)

    assert len(aside(tmp_path)) == 3


@pytest.mark.parametrize("emptied", [True, False])
async def test_missing_journal_is_told_if_there_was_one(tmp_path, caplog, emptied):
    """The state directory remembers that pairs were synced; the first start ever is no loss."""
    await known_journal(tmp_path)
    assert (await events(tmp_path), caplog.messages) == ([], [])
    if emptied:
        file(tmp_path).write_bytes(b"")
    else:
        file(tmp_path).unlink()

    with caplog.at_level(logging.WARNING):
        assert await agreed(tmp_path) == 0
        await agreed(tmp_path)

    (event,) = await events(tmp_path)
    assert (event["event"], event["why"], event["kept"]) == (
        "journal lost",
        "it has disappeared",
        None,
    )
    (warning,) = caplog.messages
    assert "is lost: it has disappeared; smtd syncs the stores from scratch" in warning


async def test_events_are_numbered_on_after_a_loss(tmp_path):
    """No number means two things, though nobody knows which were given: a gap shows."""
    async with open_journal(tmp_path) as journal:
        await journal.events.add(["{}"] * 5)
    DAMAGES["no database"](file(tmp_path))

    async with open_journal(tmp_path) as journal:
        await journal.events.add(["{}"])
        (first, _), (second, _) = await journal.events.after(5, 10)

    assert first > 1_000_000_000
    assert second == first + 1


async def test_locked_journal_is_no_damaged_one(tmp_path, monkeypatch):
    """It stays where it is, and an error says what is the matter."""
    monkeypatch.setattr(integrity, "PATIENCE", 0.1)
    await known_journal(tmp_path)
    with closing(sqlite3.connect(file(tmp_path), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalError, match=r"cannot be used: database is locked; fix this"):
            await agreed(tmp_path)

    assert aside(tmp_path) == []
    assert await agreed(tmp_path) == 300


async def test_journal_that_cannot_be_opened_is_no_damaged_one(tmp_path):
    """What stands in its place is left there."""
    file(tmp_path).mkdir()
    (file(tmp_path) / "something").touch()

    with pytest.raises(JournalError, match="is a directory, not a file; put the file back"):
        await agreed(tmp_path)

    assert (file(tmp_path) / "something").exists()


async def test_journal_that_may_not_be_opened_is_no_damaged_one(tmp_path):
    """Who has run out of files waits; it is not replaced. (To root no file is closed.)"""
    await known_journal(tmp_path)
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    try:
        with (
            limited(resource.RLIMIT_NOFILE, max(taken) + 1),
            pytest.raises(JournalError, match="cannot be used"),
        ):
            await agreed(tmp_path)
    finally:
        for each in taken:
            os.close(each)

    assert aside(tmp_path) == []
    assert await agreed(tmp_path) == 300


async def test_journal_on_a_full_disk_is_no_damaged_one(tmp_path):
    """Nothing can be written for want of room; what is known stays known."""
    await known_journal(tmp_path)
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN  # else the limit kills
    with (
        limited(resource.RLIMIT_FSIZE, 0),
        pytest.raises(JournalError, match=r"cannot be used: .*; fix this, nothing is lost"),
    ):
        await known_journal(tmp_path)

    assert aside(tmp_path) == []
    assert await agreed(tmp_path) == 300


async def test_damaged_journal_of_a_newer_smtd_is_not_taken_for_that(tmp_path):
    """What a damaged file says of its version says nothing."""
    await known_journal(tmp_path)
    with closing(sqlite3.connect(file(tmp_path))) as db:
        db.execute("PRAGMA user_version = 99")
    overwrite(file(tmp_path), start=0.4, size=30_000)

    assert await agreed(tmp_path) == 0


async def test_large_journal_is_read_whole_only_if_it_was_not_closed(tmp_path, monkeypatch):
    """A start costs what happened, not what is known; after a crash it costs more."""
    monkeypatch.setattr(integrity, "SMALL", 0)
    await known_journal(tmp_path)
    overwrite(file(tmp_path), start=0.4, size=30_000)

    async with open_journal(tmp_path):
        pass
    assert aside(tmp_path) == []

    (tmp_path / "journal.note").unlink()
    assert await agreed(tmp_path) == 0
    assert len(aside(tmp_path)) == 1


async def test_damage_that_is_found_later_ends_in_order_and_is_mended_by_the_next_start(
    tmp_path, monkeypatch
):
    """An error says so; though the journal is large and was closed, the next start looks at all of it."""
    monkeypatch.setattr(integrity, "SMALL", 0)
    await known_journal(tmp_path)
    overwrite(file(tmp_path), start=0.1, size=100_000)

    with pytest.raises(JournalError, match=r"is damaged \(.*\); stop every smtd and start it again"):
        await agreed(tmp_path)

    assert await agreed(tmp_path) == 0
    assert len(aside(tmp_path)) == 1


async def test_damaged_journal_that_another_process_uses_stays(tmp_path):
    """It would write on into a file that nobody reads any more."""
    await known_journal(tmp_path)
    with process(tmp_path, *PAIR, "keep") as other:
        assert line_of(other) == "open\n"
        DAMAGES["no database"](file(tmp_path))

        with process(tmp_path, *PAIR) as second:
            answer = second.communicate()[0]
        other.kill()

    assert "journal.sqlite is damaged (file is not a database); stop every smtd and start it again" in answer
    assert aside(tmp_path) == []
    assert await agreed(tmp_path) == 0


async def test_processes_that_open_a_damaged_journal_at_once(tmp_path):
    """One moves it aside, all go on with the new one."""
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
async def test_note_that_cannot_be_read_or_written_stops_nothing(tmp_path, note):
    """It only spares work."""
    await known_journal(tmp_path)
    (tmp_path / "journal.note").write_bytes(note)
    (tmp_path / ".journal.note.new").mkdir()

    assert await agreed(tmp_path) == 300


async def test_damaged_journal_that_cannot_be_moved_aside_is_told(tmp_path, monkeypatch):
    """As on a disk that became read-only, which cannot be made without being root; nothing is begun anew."""
    file(tmp_path).write_bytes(b"SQLite format 3\0" + b"x" * 5000)

    def read_only(_self, _target):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", read_only)

    with pytest.raises(JournalError, match=r"cannot be used: Read-only file system; fix this first"):
        async with open_journal(tmp_path):
            pass
    assert file(tmp_path).stat().st_size == 5016
