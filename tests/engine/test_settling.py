"""A record that may be half saved is not synced, however busy its store is; and none waits forever."""

from __future__ import annotations

import shutil
from functools import partial

import anyio
import pytest
from anyio import to_thread

from smtd import pairing
from smtd.engine.cycle import is_unchanged
from smtd.engine.pair import Policy
from smtd.journal import entries
from smtd.journal.entries import LONGEST, STILL
from smtd.journal.journal import open_journal
from smtd.journal.pair import PairJournal
from smtd.merge.deletion_guard import DeletionLimit
from smtd.merge.sides import Both
from smtd.stores.django.sqlite import SqliteFile
from tests.build import PROJECT, change, commented, full, key, record
from tests.stores.places import DjangoPlace

pytestmark = pytest.mark.halved

HALF = record("new")
WHOLE = change(full("new"), outcome="as expected")


class Files:
    """Two SQLite files as the daemon uses them; each cycle is one of a new process."""

    def __init__(self, directory):
        self.left = DjangoPlace(directory / "left.sqlite")
        self.right = DjangoPlace(directory / "right.sqlite")
        self._state = directory / "state"
        #: The files to which other programs are writing.
        self.busy = {self.left.location.path, self.right.location.path}

    def beside(self, directory):
        """Return another pair with the same left store and the same journal."""
        directory.mkdir()
        other = Files(directory)
        other.left, other._state = self.left, self._state
        return other

    async def cycle(self, *, asked=False, before_end=None, **more):
        """Return how many records a cycle wrote to the right, and whether the pair is unchanged after it.

        During an *asked* cycle time passes.
        """
        with pytest.MonkeyPatch.context() as clock:
            if asked:
                clock.setattr(entries, "STILL", STILL)
            return await self.cycle_at_once(asked=asked, before_end=before_end, **more)

    async def cycle_at_once(self, *, asked, before_end=None, **more):
        """Return the result of `cycle` without time passing during it."""
        locations, ended = Both(self.left.location, self.right.location), []

        async def note(pair):
            if before_end is not None:
                await before_end()
            ended.append(await is_unchanged(pair))

        async with open_journal(self._state) as journal, pairing.open_stores(locations) as stores:
            policy = Policy(wait_to_settle=asked, **more)
            report = await pairing.sync(journal, "pair", locations, stores, policy, ended=note)
            assert [report.failed, report.conflicts] == [[], []]
            self.held = [each.label for each in report.held]
        return report.right.written, *ended

    async def shown(self):
        """Return what the right side holds under each label."""
        async with self.right.open() as store:
            return {key.label: digest for key, digest in (await store.scan()).digests.items()}

    async def outcomes(self):
        """Return the outcome of each record of the right side, by label."""
        async with self.right.open() as store:
            return {
                each.label: each.outcome for each in (await store.read((await store.scan()).digests)).values()
            }

    async def same(self):
        """Say whether both sides are equal."""
        async with self.left.open() as store:
            left = {key.label: digest for key, digest in (await store.scan()).digests.items()}
        return left == await self.shown()

    async def history(self):
        """Return what was done to the record "new" on the right, in order."""
        async with open_journal(self._state) as journal:
            return await journal._db.fetch(
                "SELECT action, label FROM history WHERE side = 'right' AND label = 'new' ORDER BY id"
            )


@pytest.fixture
async def files(tmp_path, monkeypatch):
    """A pair in sync, to whose stores programs write all the time; no time passes between two cycles."""
    files = Files(tmp_path)
    await files.left.put(record("old"), record("older"))
    await files.cycle(asked=True)
    begin_look = SqliteFile.begin_look

    async def busy(file, *, wait=True):
        await begin_look(file, wait=False)
        return file.path not in files.busy

    monkeypatch.setattr(SqliteFile, "begin_look", busy)
    monkeypatch.setattr(entries, "STILL", 1e6)
    monkeypatch.setattr(entries, "LONGEST", 1e6)
    return files


@pytest.fixture
def time_goes_by(monkeypatch):
    """Return a function that makes unchanged records count as unchanged for long enough."""
    return lambda: monkeypatch.setattr(entries, "STILL", 0.0)


@pytest.mark.parametrize("others", [True, False], ids=["others go on", "others stop"])
async def test_half_saved_state_is_never_copied(files, time_goes_by, others):
    await files.left.put(HALF)
    shown = [await files.cycle()]
    await files.left.put(WHOLE)
    shown.append(await files.cycle())
    if others:
        await files.left.put(commented(record("old"), "meanwhile"))
    time_goes_by()
    last = [await files.cycle(), await files.cycle()]

    assert shown == [(0, False), (0, False)]
    assert last == [(1, not others), (others, True)]
    assert await files.history() == [("create", "new")]
    assert await files.same()


async def test_record_that_keeps_changing_is_copied_in_the_end(files, monkeypatch):
    for turn in range(3):
        await files.left.put(change(HALF, outcome=str(turn)))
        assert (await files.cycle())[0] == 0
    monkeypatch.setattr(entries, "LONGEST", 0.0)
    await files.left.put(WHOLE)

    assert await files.cycle() == (1, True)
    assert await files.same()


async def test_record_deleted_and_inserted_again_is_not_deleted_elsewhere(files, time_goes_by):
    """By a program that replaces a row by another one."""
    await files.left.remove("old")
    gone = await files.cycle()
    await files.left.put(record("old"))
    back = await files.cycle()
    time_goes_by()

    assert (gone, back) == ((0, False), (0, False))
    assert await files.cycle() == (0, True)
    assert sorted(await files.shown()) == ["old", "older"]


async def test_deletion_is_carried_when_the_record_does_not_come_back(files, time_goes_by):
    await files.left.remove("old")
    await files.cycle()
    time_goes_by()

    assert await files.cycle() == (1, True)
    assert sorted(await files.shown()) == ["older"]


async def test_half_saved_record_is_not_merged_with_the_other_side(files, time_goes_by):
    """Nor overwritten: the other side waits, too."""
    await files.left.put(commented(record("old"), "left"))
    await files.right.put(change(record("old"), reason="ha"))
    assert (await files.cycle())[0] == 0
    await files.right.put(change(record("old"), reason="half, and the rest"))
    assert (await files.cycle())[0] == 0
    time_goes_by()
    await files.cycle()

    async with files.left.open() as store:
        (found,) = (await store.read([key("old")])).values()
    assert (found.outcome, found.reason) == ("left", "half, and the rest")
    assert await files.same()


async def test_unsettled_record_of_another_project_keeps_no_pair_busy(files):
    await files.left.put(WHOLE, project="Other")

    assert await files.cycle(projects=frozenset({PROJECT})) == (0, True)


async def test_requested_sync_copies_all_records(files):
    """It waits until no record may be half saved."""
    await files.left.put(WHOLE)

    assert await files.cycle(asked=True) == (1, True)
    assert await files.same()


async def test_requested_sync_copies_no_half_saved_record(files):
    await files.left.put(HALF)

    assert await files.cycle_at_once(asked=True) == (0, False)


async def test_record_that_another_pair_finds_settled_is_copied(files, tmp_path):
    """That pair looked while this one's cycle ended: nothing had changed, but one record had settled."""
    other = files.beside(tmp_path / "other")
    await other.cycle(asked=True)
    await files.left.put(WHOLE)

    first = await files.cycle(before_end=partial(other.cycle, asked=True))

    assert first == (0, False)
    assert await files.cycle() == (1, True)
    assert await files.same()


async def test_half_saved_record_seen_by_another_pair_is_not_copied(files, tmp_path, monkeypatch):
    """This pair has looked; now it reads the left record of a change on its right side from the index."""
    other = files.beside(tmp_path / "other")
    await other.cycle(asked=True)
    files.busy.remove(files.right.location.path)
    await files.right.put(change(record("old"), reason="right"))
    at_one_moment, turns = PairJournal.at_one_moment, iter([True])

    async def after_another_look(journal, work):
        if next(turns, False):
            await files.left.put(commented(record("old"), "ha"))
            await other.cycle()
        return await at_one_moment(journal, work)

    monkeypatch.setattr(PairJournal, "at_one_moment", after_another_look)
    assert await files.cycle() == (0, False)
    await files.left.put(commented(record("old"), "half, and the rest"))
    files.busy.clear()
    await files.cycle()

    async with files.left.open() as store:
        (found,) = (await store.read([key("old")])).values()
    assert (found.outcome, found.reason) == ("half, and the rest", "right")


async def test_deletion_guard_counts_a_row_of_single_deletions_together(files, time_goes_by):
    """A program deletes one record after the other, faster than a deletion settles."""
    limit = DeletionLimit(count=2, share=0.2)
    await files.left.put(*[record(f"more-{number}") for number in range(8)])
    await files.cycle(asked=True)
    time_goes_by()
    for label in ("more-0", "more-1", "more-2"):
        await files.left.remove(label)
        await files.cycle(limit=limit)
    await files.cycle(limit=limit)

    assert files.held == ["more-0", "more-1", "more-2"]
    assert len(await files.shown()) == 10


async def test_unreadable_state_during_a_save_is_no_failure(files):
    """A program inserts a row, and then deletes the one that it replaces."""
    await files.left.put(commented(record("other"), "new"))
    files.left.run("UPDATE django_store_record SET label = 'old' WHERE label = 'other'")

    assert await files.cycle() == (0, False)


async def test_store_restored_while_others_write_reverts_no_edit(files, time_goes_by):
    """It counts as replaced until smtd has decided its old states."""
    backup = files.left.location.path.with_name("backup")
    shutil.copy(files.left.location.path, backup)
    await files.left.put(commented(record("old"), "new"))
    await files.cycle(asked=True)
    shutil.copy(backup, files.left.location.path.with_name("new"))
    files.left.location.path.with_name("new").replace(files.left.location.path)
    await files.cycle()
    time_goes_by()
    await files.cycle()

    assert (await files.outcomes())["old"] == "new"
    assert await files.same()


async def test_requested_sync_waits_for_single_deletions_in_a_row(files, monkeypatch):
    """Each of them delays the settling of all, up to a second after the first."""
    monkeypatch.setattr(entries, "LONGEST", LONGEST)
    labels = [f"more-{number:02}" for number in range(12)]
    await files.left.put(*map(record, labels))
    await files.cycle(asked=True)

    async def delete():
        for label in labels:
            statement = f"DELETE FROM django_store_record WHERE label = '{label}'"
            await to_thread.run_sync(files.left.run, statement)
            await anyio.sleep(0.04)

    async with anyio.create_task_group() as group:
        group.start_soon(delete)
        await anyio.sleep(0.02)
        await files.cycle(asked=True, limit=DeletionLimit(count=100, share=1.0))

    assert sorted(await files.shown()) == ["old", "older"]
