"""A record that may be half saved is not carried, however busy its store is; and none waits for ever."""

from __future__ import annotations

import shutil
from functools import partial

import anyio
import pytest
from anyio import to_thread

from smtd import pairing
from smtd.engine.cycle import is_settled
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

HALF = record("new")
WHOLE = change(full("new"), outcome="as expected")


class Files:
    """Two SQLite files as the daemon keeps them; each cycle is one of a process of its own."""

    def __init__(self, directory):
        self.left = DjangoPlace(directory / "left.sqlite")
        self.right = DjangoPlace(directory / "right.sqlite")
        self._state = directory / "state"
        #: To which of them others are writing.
        self.busy = {self.left.location.path, self.right.location.path}

    def beside(self, directory):
        """Return another pair with the same left store and the same journal."""
        directory.mkdir()
        other = Files(directory)
        other.left, other._state = self.left, self._state
        return other

    async def cycle(self, *, asked=False, before_end=None, **more):
        """Return how many records a cycle wrote to the right, and whether the pair is settled after it.

        Of one that is *asked* for the time goes by.
        """
        with pytest.MonkeyPatch.context() as clock:
            if asked:
                clock.setattr(entries, "STILL", STILL)
            return await self.cycle_at_once(asked=asked, before_end=before_end, **more)

    async def cycle_at_once(self, *, asked, before_end=None, **more):
        """Return what `cycle` returns of one during which no time goes by."""
        locations, ended = Both(self.left.location, self.right.location), []

        async def note(pair):
            if before_end is not None:
                await before_end()
            ended.append(await is_settled(pair))

        async with open_journal(self._state) as journal, pairing.open_stores(locations) as stores:
            policy = Policy(wait_to_settle=asked, **more)
            report = await pairing.sync(journal, "pair", locations, stores, policy, ended=note)
            assert [report.failed, report.conflicts] == [[], []]
            self.held = [each.label for each in report.held]
        return report.right.written, *ended

    async def shown(self):
        """Return what the right side has under each label."""
        async with self.right.open() as store:
            return {key.label: digest for key, digest in (await store.scan()).digests.items()}

    async def outcomes(self):
        """Return what the records of the right side say of their outcome, by their labels."""
        async with self.right.open() as store:
            return {
                each.label: each.outcome for each in (await store.read((await store.scan()).digests)).values()
            }

    async def same(self):
        """Say whether both sides have the same."""
        async with self.left.open() as store:
            left = {key.label: digest for key, digest in (await store.scan()).digests.items()}
        return left == await self.shown()

    async def history(self):
        """Return what was done to the right, in order."""
        async with open_journal(self._state) as journal:
            return await journal._db.fetch(
                "SELECT action, label FROM history WHERE side = 'right' AND label = 'new' ORDER BY id"
            )


@pytest.fixture
async def files(tmp_path, monkeypatch):
    """A pair in sync, to whose stores others are writing all the time; between two cycles no time goes by."""
    files = Files(tmp_path)
    await files.left.put(record("old"), record("older"))
    await files.cycle(asked=True)
    settle = SqliteFile.settle

    async def busy(file, *, wait=True):
        await settle(file, wait=False)
        return file.path not in files.busy

    monkeypatch.setattr(SqliteFile, "settle", busy)
    monkeypatch.setattr(entries, "STILL", 1e6)
    monkeypatch.setattr(entries, "LONGEST", 1e6)
    return files


@pytest.fixture
def time_goes_by(monkeypatch):
    """Let a record that stayed as it was be one that stayed so for long enough."""
    return lambda: monkeypatch.setattr(entries, "STILL", 0.0)


@pytest.mark.parametrize("others", [True, False], ids=["others go on", "others stop"])
async def test_state_in_the_middle_of_a_save_is_never_carried(files, time_goes_by, others):
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


async def test_record_that_changes_all_the_time_is_carried_in_the_end(files, monkeypatch):
    for turn in range(3):
        await files.left.put(change(HALF, outcome=str(turn)))
        assert (await files.cycle())[0] == 0
    monkeypatch.setattr(entries, "LONGEST", 0.0)
    await files.left.put(WHOLE)

    assert await files.cycle() == (1, True)
    assert await files.same()


async def test_record_that_is_made_anew_is_not_deleted(files, time_goes_by):
    """A program that deletes a row and inserts another one in its place."""
    await files.left.remove("old")
    gone = await files.cycle()
    await files.left.put(record("old"))
    back = await files.cycle()
    time_goes_by()

    assert (gone, back) == ((0, False), (0, False))
    assert await files.cycle() == (0, True)
    assert sorted(await files.shown()) == ["old", "older"]


async def test_deletion_is_carried_when_the_record_stays_away(files, time_goes_by):
    await files.left.remove("old")
    await files.cycle()
    time_goes_by()

    assert await files.cycle() == (1, True)
    assert sorted(await files.shown()) == ["older"]


async def test_half_of_a_save_is_not_merged_with_what_the_other_side_has(files, time_goes_by):
    """Nor written over: the other side waits, too."""
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


async def test_record_of_a_project_that_is_not_kept_keeps_no_pair_awake(files):
    await files.left.put(WHOLE, project="Other")

    assert await files.cycle(projects=frozenset({PROJECT})) == (0, True)


async def test_who_asks_for_a_sync_gets_all_that_is_there(files):
    """It waits until no record may be half saved."""
    await files.left.put(WHOLE)

    assert await files.cycle(asked=True) == (1, True)
    assert await files.same()


async def test_who_asks_for_a_sync_does_not_get_half_of_a_save_either(files):
    await files.left.put(HALF)

    assert await files.cycle_at_once(asked=True) == (0, False)


async def test_record_that_another_pair_finds_settled_is_carried(files, tmp_path):
    """That one looked while this pair's cycle ended: nothing had changed, but one record was whole."""
    other = files.beside(tmp_path / "other")
    await other.cycle(asked=True)
    await files.left.put(WHOLE)

    first = await files.cycle(before_end=partial(other.cycle, asked=True))

    assert first == (0, False)
    assert await files.cycle() == (1, True)
    assert await files.same()


async def test_half_of_a_save_that_another_pair_sees_in_between_is_not_carried(files, tmp_path, monkeypatch):
    """This pair has looked, and reads in the index what a record holds that changed on its right side."""
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


async def test_guard_sees_deletions_in_slices_as_if_they_came_at_once(files, time_goes_by):
    """Those of a program that deletes one record after the other, faster than a deletion settles."""
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


async def test_state_that_cannot_be_read_in_the_middle_of_a_save_is_no_failure(files):
    """A program that inserts a row and then deletes the one that it replaces."""
    await files.left.put(commented(record("other"), "new"))
    files.left.run("UPDATE django_store_record SET label = 'old' WHERE label = 'other'")

    assert await files.cycle() == (0, False)


async def test_store_that_was_put_back_while_others_write_takes_no_edit_back(files, time_goes_by):
    """It is another one until what it has as it once was is decided."""
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


async def test_who_asks_for_a_sync_waits_for_deletions_that_come_one_by_one(files, monkeypatch):
    """Each of them keeps all from settling, up to a second after the first."""
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
