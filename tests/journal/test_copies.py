"""A copy of the journal is complete and private; if it is restored, smtd does not trust its baselines."""

from __future__ import annotations

import logging
import resource
import shutil
import sqlite3
import stat
from contextlib import closing
from threading import Event

import anyio
import anyio.lowlevel
import msgspec
import pytest

from smtd.errors import JournalError, UsageError
from smtd.journal import backup
from smtd.journal.checkpoint import Rotation
from smtd.journal.journal import open_journal
from smtd.journal.write_log import Landed
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Side
from smtd.merge.write import Write
from smtd.records.canonical import digest
from tests.build import key, record, tagged
from tests.journal.noting import baseline, limited, note

A, B = record("a"), record("b")


async def cycle(directory, *baselines):
    """Run a cycle of a pair that overwrites a record, and agrees on some."""
    async with open_journal(directory) as journal, journal.pair("left", "right") as known:
        number = await known.begin_cycle()
        after = digest(tagged(B, "x"))
        await known.intend(
            number, [Write(key("b"), Side.RIGHT, digest(B), after, because(Code.MERGED), None, B)]
        )
        await note(
            known,
            baselines=[baseline(each) for each in baselines],
            landed=[Landed(key("b"), Side.RIGHT, digest(B), after)],
        )


async def known(directory):
    """Return all that a cycle would trust about the pair."""
    async with open_journal(directory) as journal, journal.pair("left", "right") as pair:
        return (
            set(await pair.baselines(None)),
            await pair.baseline_record(key("a")),
            await pair.begun(),
            await pair.write_log.all(Side.RIGHT),
            await pair.checkpoints.rotation(Side.LEFT),
        )


NOTHING: tuple[object, ...] = (set(), None, [], {}, None)


async def events(directory):
    """Return the numbers and names of all events."""
    async with open_journal(directory) as journal:
        return [(n, msgspec.json.decode(text)["event"]) for n, text in await journal.events.after(0, 100)]


def history(path):
    """Return the labels in the history of a journal file."""
    with closing(sqlite3.connect(path)) as db:
        return [label for (label,) in db.execute("SELECT label FROM history")]


async def copied(directory, target):
    """Copy the journal to *target*."""
    async with open_journal(directory) as journal:
        return await journal.copy(target)


async def test_copy_under_a_name_of_smtds_own_is_refused(tmp_path):
    """The next start would take it for smtd's file of added pairs."""
    await cycle(tmp_path / "state", A)
    (tmp_path / "link").symlink_to("state")

    with pytest.raises(UsageError, match=r"smtd itself uses .*pairs\.json"):
        await copied(tmp_path / "state", tmp_path / "link" / "pairs.json")

    assert not (tmp_path / "state" / "pairs.json").exists()


async def test_copy_is_one_complete_file_readable_only_by_its_owner(tmp_path):
    """With all that the journal has, and no other file beside it."""
    await cycle(tmp_path / "state", A)
    target = tmp_path / "copies" / "copy"
    target.parent.mkdir()

    size = await copied(tmp_path / "state", target)

    assert [path.name for path in target.parent.iterdir()] == ["copy"]
    assert (target.stat().st_size, stat.S_IMODE(target.stat().st_mode)) == (size, 0o600)
    with closing(sqlite3.connect(target)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT label FROM agreed").fetchall() == [("a",)]


class Gate(Event):
    """An event that is never set, and that holds the copy after its first pages until the gate opens."""

    def __init__(self):
        super().__init__()
        self.reached, self.opened = Event(), Event()

    def is_set(self):
        self.reached.set()
        return not self.opened.wait(30)


async def test_copy_has_the_state_of_one_moment(tmp_path, monkeypatch):
    """Writes during the copy succeed, and are not in it."""
    await cycle(tmp_path / "state", *(record(f"run-{n}") for n in range(500)))
    monkeypatch.setattr(backup, "_PAGES", 1)
    journal, target, gate = tmp_path / "state" / "journal.sqlite", tmp_path / "copy", Gate()

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, backup.copy, journal, target, gate)
        await anyio.to_thread.run_sync(gate.reached.wait)
        await cycle(tmp_path / "state", A)
        gate.opened.set()

    assert len((await known(tmp_path / "state"))[0]) == 501
    with closing(sqlite3.connect(target)) as db:
        assert db.execute("SELECT count(*), max(label) FROM agreed").fetchall() == [(500, "run-99")]
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("what", ["a file", "a link to nowhere", "a directory"])
async def test_copy_overwrites_nothing(tmp_path, what):
    """Whatever is at its place stays."""
    target = tmp_path / "copy"
    if what == "a file":
        target.write_text("precious")
    elif what == "a directory":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = target.lstat()

    with pytest.raises(UsageError, match="copy already exists; name a new file"):
        await copied(tmp_path / "state", target)

    assert target.lstat() == before
    assert not (tmp_path / "nowhere").exists()


async def test_copy_needs_an_existing_directory(tmp_path):
    """smtd creates none."""
    with pytest.raises(UsageError, match="nowhere/copy cannot be created: No such file or directory"):
        await copied(tmp_path / "state", tmp_path / "nowhere" / "copy")


def test_aborted_copy_leaves_no_file(tmp_path):
    """Half a copy is useless."""
    given_up = Event()
    given_up.set()
    anyio.run(cycle, tmp_path / "state", A)

    with pytest.raises(JournalError, match="smtd stopped before the copy was complete"):
        backup.copy(tmp_path / "state" / "journal.sqlite", tmp_path / "copy", given_up)

    assert not (tmp_path / "copy").exists()


async def test_copy_on_a_full_disk_leaves_no_file(tmp_path):
    """And the error says so."""
    await cycle(tmp_path / "state", A)
    async with open_journal(tmp_path / "state") as journal:
        with (
            limited(resource.RLIMIT_FSIZE, 8192),
            pytest.raises(JournalError, match=r"cannot be copied to .*copy: .*; no file was left"),
        ):
            await journal.copy(tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


async def put_back(directory, how):
    """Restore an older journal: the copy made by `copy`, or a plain file, as *how* says."""
    await cycle(directory, A)
    async with open_journal(directory) as journal:
        await journal.events.add(['{"event": "old"}'])
    if how == "a copy":
        await copied(directory, directory / "older")
    else:
        shutil.copy(directory / "journal.sqlite", directory / "older")
    await cycle(directory, B)
    async with open_journal(directory) as journal:
        await journal.events.add(['{"event": "newer"}'] * 3)
        async with journal.pair("left", "right") as pair:
            await pair.checkpoints.set_rotation(Side.LEFT, Rotation(None, 1.0))
    shutil.move(directory / "older", directory / "journal.sqlite")


@pytest.mark.parametrize("how", ["a copy", "a file"])
async def test_restored_journal_is_trusted_only_with_later_baselines(tmp_path, caplog, how):
    """And with no open writes. smtd keeps the history and the events, and reports the restore once."""
    await put_back(tmp_path, how)

    with caplog.at_level(logging.WARNING):
        assert await known(tmp_path) == NOTHING
        (first, _), (second, what) = await events(tmp_path)

    assert history(tmp_path / "journal.sqlite") == ["b"]
    assert (first, what) == (1, "journal put back")
    assert second > 1_000_000_000  # number 2 was given to another event, which is lost
    assert len(caplog.messages) == 1
    assert "was restored from an older copy: smtd keeps its history" in caplog.text
    await cycle(tmp_path, A)
    assert (await known(tmp_path))[0] == {key("a")}


async def test_copy_in_another_state_directory_is_not_trusted_either(tmp_path):
    """There is no note beside it, but the copy has its own `application_id`."""
    await cycle(tmp_path / "state", A)
    (tmp_path / "other").mkdir()
    await copied(tmp_path / "state", tmp_path / "other" / "journal.sqlite")

    assert (await known(tmp_path / "other"), (await known(tmp_path / "state"))[0]) == (NOTHING, {key("a")})


async def test_copy_restored_while_another_smtd_runs_is_refused(tmp_path):
    """The other smtd would continue with what it had in memory."""
    await cycle(tmp_path, A)
    await copied(tmp_path, tmp_path / "copy")

    async with open_journal(tmp_path):
        shutil.move(tmp_path / "copy", tmp_path / "journal.sqlite")
        for ending in ("-wal", "-shm"):
            (tmp_path / f"journal.sqlite{ending}").unlink()
        with pytest.raises(JournalError, match="was restored while another smtd runs; stop that smtd first"):
            await known(tmp_path)
