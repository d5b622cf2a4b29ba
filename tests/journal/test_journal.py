"""The journal file is reopened, checked, locked, and stays intact."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta

import anyio
import pytest

from smtd.errors import JournalError
from smtd.journal.checkpoint import Checkpoint
from smtd.journal.journal import VERSION, open_journal
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Both, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import digest
from smtd.stores.base import Change
from smtd.stores.index import readable
from smtd.stores.memory import MemoryStore
from tests.build import full, key, record, tagged
from tests.journal.noting import baseline, note, process

A, B = record("a"), record("b")


def elsewhere(directory, left, right):
    """Open a pair in another process and return what that prints."""
    with process(directory, left, right) as other:
        return other.communicate()[0]


def file(directory):
    """Return the journal file of a state directory."""
    return directory / "journal.sqlite"


def execute(directory, statement, *values):
    """Change the journal file without smtd."""
    with closing(sqlite3.connect(file(directory))) as db:
        db.execute(statement, values)
        db.commit()


async def test_journal_creates_a_private_directory(tmp_path):
    """Records may contain what only their owner may read."""
    state = tmp_path / "state" / "smtd"

    async with open_journal(state):
        pass

    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE(file(state).stat().st_mode) == 0o600


async def test_reopened_journal_has_all_baselines(tmp_path):
    """With complete records."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        await note(known, baselines=[baseline(full()), baseline(A)])

    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        baselines, ancestor = await known.baselines(None), await known.baseline_record(key("full"))

    assert baselines == {each.key: each.digests for each in (baseline(full()), baseline(A))}
    assert ancestor == full()


async def test_journal_keeps_pairs_apart(tmp_path):
    """A baseline of one pair does not count for another one, even if they share a store."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as known:
            await note(known, baselines=[baseline(A)])
        async with journal.pair("third", "right") as one, journal.pair("left", "third") as other:
            found = [
                await one.baselines(None),
                await other.baselines(None),
                await other.baseline_record(key("a")),
            ]

    assert found == [{}, {}, None]


async def test_pair_is_the_same_in_either_order_of_its_sides(tmp_path):
    """Whichever process is first, or both at once."""
    numbers = []

    async def ask(journal, left, right):
        async with journal.pair(left, right) as known:
            numbers.append(known.number)

    async with open_journal(tmp_path) as journal, anyio.create_task_group() as group:
        group.start_soon(ask, journal, "a", "b")
        group.start_soon(ask, journal, "b", "a")

    async with open_journal(tmp_path) as journal:
        assert [*await journal.pairs()] == [numbers[0]] == [numbers[1]]


async def test_journal_of_a_newer_smtd_is_refused(tmp_path):
    """An older smtd does not touch it."""
    async with open_journal(tmp_path):
        pass
    execute(tmp_path, f"PRAGMA user_version = {VERSION + 1}")

    with pytest.raises(JournalError, match=rf"written by a newer smtd \(version {VERSION + 1}\)"):
        async with open_journal(tmp_path):
            pass


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE agreed",
        "DROP TABLE history",
        "UPDATE ancestor SET record = x'00'",
        "UPDATE ancestor SET record = 'text'",
        "UPDATE ancestor SET record = substr(record, 1, 20)",
        "UPDATE ancestor SET record = x'789c010000ffff00000001'",
    ],
)
async def test_damage_inside_the_journal_is_an_error_of_the_journal(tmp_path, damage):
    """Whatever part is unreadable, the error names the journal, not a store."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        await note(known, baselines=[baseline(A)])

    with pytest.raises(JournalError, match="journal"):
        await damaged(tmp_path, damage)


async def damaged(directory, damage):
    """Damage the journal and use all of it."""
    execute(directory, damage)
    async with open_journal(directory) as journal, journal.pair("left", "right") as known:
        await known.baselines(None)
        await known.baseline_record(key("a"))
        await known.intend(await known.begin_cycle(), [intent(A)])


def intent(before):
    """Return the intent to update a record on the right side."""
    after = digest(tagged(before, "x"))
    return Write(key(before.label), Side.RIGHT, digest(before), after, because(Code.MERGED), None, before)


@pytest.mark.parametrize("error", [OSError(5, "the disk is gone"), sqlite3.OperationalError("no such table")])
async def test_error_of_a_store_is_not_blamed_on_the_journal(tmp_path, error):
    """An error while the journal is open stays what it is."""
    with pytest.raises(type(error), match=str(error.args[-1])):
        async with open_journal(tmp_path):
            raise error


async def test_unusable_state_directory_is_an_error(tmp_path):
    """A file in its place is named."""
    (tmp_path / "state").write_text("a file")

    with pytest.raises(JournalError, match=r"state directory .*state cannot be used"):
        async with open_journal(tmp_path / "state"):
            pass


@pytest.mark.parametrize(
    ("right", "answer"),
    [
        ("right", "another smtd is syncing the pair left and right; wait until it has finished\n"),
        ("third", "open\n"),
    ],
    ids=["the same pair", "another pair"],
)
async def test_pair_is_locked_against_another_process(tmp_path, right, answer):
    """Two smtd never sync one pair at the same time; the second one gets an error. Other pairs are synced."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right"):
        assert await anyio.to_thread.run_sync(elsewhere, tmp_path, "left", right) == answer


async def test_pair_is_unlocked_after_use(tmp_path):
    """Also by an error: the next process may sync it."""
    async with open_journal(tmp_path) as journal:
        with pytest.raises(KeyError, match="the end"):
            async with journal.pair("left", "right"):
                raise KeyError("the end")

        assert await anyio.to_thread.run_sync(elsewhere, tmp_path, "left", "right") == "open\n"


async def test_pair_is_locked_within_a_process_too(tmp_path, monkeypatch):
    """One process does not sync a pair twice at the same time either."""
    monkeypatch.setattr("smtd.journal.journal.PATIENCE", 0.1)
    async with open_journal(tmp_path) as journal, journal.pair("left", "right"):
        with pytest.raises(JournalError, match="another smtd is syncing"):
            async with journal.pair("left", "right"):
                pass


async def test_other_canonical_version_drops_baselines_and_keeps_the_history(tmp_path, monkeypatch):
    """Digests of another form are useless: the pair is adopted anew, and can still be undone."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        cycle = await known.begin_cycle()
        await known.intend(cycle, [intent(A)])
        await note(known, baselines=[baseline(B)])
        await known.indexes.left.update(
            {key("b"): readable(digest(B), final=True)}, None, b"head", whole=True
        )
        cursors = Both(await known.indexes.left.cursor(), await known.indexes.right.cursor())
        async with known.transaction() as tx:
            tx.save(Checkpoint(cursors, None), [key("a")])
    monkeypatch.setattr(canonical, "VERSION", canonical.VERSION + 1)

    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        found = [
            await known.baselines(None),
            await known.baseline_record(key("b")),
            await known.begun(),
            await known.checkpoints.get(),
            await known.checkpoints.out_of_sync(),
            await known.indexes.left.present(),
            await known.indexes.left.head(None),
            await known.indexes.left.record_counts(None),
            (await known.indexes.left.cursor()).epoch == cursors.left.epoch,
        ]

    assert found == [{}, None, [], None, set(), {}, None, {}, False]
    assert [row[0] for row in rows(tmp_path, "SELECT label FROM history")] == ["a"]


async def test_other_canonical_version_drops_baselines_once(tmp_path, monkeypatch):
    """Baselines under the new form stay."""
    monkeypatch.setattr(canonical, "VERSION", canonical.VERSION + 1)
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        await note(known, baselines=[baseline(A)])

    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        assert list(await known.baselines(None)) == [key("a")]


async def test_other_canonical_version_of_one_pair_leaves_the_others(tmp_path):
    """Each pair has the version of its own digests."""
    async with open_journal(tmp_path) as journal:
        for left in ("old", "new"):
            async with journal.pair(left, "right") as known:
                await note(known, baselines=[baseline(A)])
    execute(tmp_path, "UPDATE pair SET canonical_version = 0 WHERE left_location = 'old'")

    async with open_journal(tmp_path) as journal:
        async with journal.pair("old", "right") as known:
            forgotten = await known.baselines(None)
        async with journal.pair("new", "right") as known:
            kept = await known.baselines(None)

    assert (forgotten, list(kept)) == ({}, [key("a")])


def rows(directory, query):
    """Return the rows of the journal file."""
    with closing(sqlite3.connect(file(directory))) as db:
        return db.execute(query).fetchall()


async def test_journal_contains_no_passwords(tmp_path):
    """It has only the locations of stores, as it gets them."""
    store = MemoryStore("left")
    await store.write([Change(key("a"), A, None)])
    async with open_journal(tmp_path) as journal, journal.pair(store.location, "right"):
        pass

    assert rows(tmp_path, "SELECT left_location, right_location FROM pair") == [("left", "right")]


async def test_missing_state_directory_is_an_error(tmp_path):
    """If the lock of a pair cannot be created, the error names the directory."""
    directory = tmp_path / "state"
    async with open_journal(directory) as journal:
        shutil.rmtree(directory)
        with pytest.raises(JournalError, match=r"state directory .* cannot be used: No such file"):
            async with journal.pair("left", "right"):
                pass


async def test_journal_lists_its_pairs(tmp_path):
    """By number, with the locations of both sides in their first order."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as one, journal.pair("left", "third") as other:
            numbers = one.number, other.number

        assert await journal.pairs() == dict(
            zip(numbers, [("left", "right"), ("left", "third")], strict=True)
        )


async def test_damaged_image_is_an_error_that_names_its_entry(tmp_path):
    """And gives no partial record."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        first = await known.intend(await known.begin_cycle(), [intent(A)])
    execute(tmp_path, "UPDATE history SET record = substr(record, 1, 20)")

    async with open_journal(tmp_path) as journal:
        with pytest.raises(JournalError, match=f"the record in entry {first} of the history is damaged"):
            await journal.history.image(first)


async def test_young_and_small_history_is_not_pruned(tmp_path):
    """Nor is an empty one."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        assert await journal.history.prune(timedelta(days=1), 0) == 0
        await known.intend(await known.begin_cycle(), [intent(A)])

        assert await journal.history.prune(timedelta(days=1), 10**6) == 0
        assert (await journal.history.check()).entries == 1
        execute_twice = await journal.history.prune(timedelta(days=1), 0), await journal.history.check()

    assert (execute_twice[0], execute_twice[1].entries) == (1, 0)


async def test_events_are_numbered_without_gaps_across_restarts(tmp_path, monkeypatch):
    """A late client gets the kept events in order, and no more than it asks for."""
    monkeypatch.setattr("smtd.journal.events.KEPT", 3)
    async with open_journal(tmp_path) as journal:
        await journal.events.add(["one", "two"])
    async with open_journal(tmp_path) as journal:
        await journal.events.add(["three", "four"])

        assert await journal.events.after(0, 10) == [(2, "two"), (3, "three"), (4, "four")]
        assert await journal.events.after(3, 10) == [(4, "four")]
        assert await journal.events.after(0, 1) == [(2, "two")]
        assert await journal.events.after(4, 10) == []
        assert await journal.events.number_before(1) == 3
        assert await journal.events.number_before(3) == 0


async def test_overlapping_cycles_are_pruned_whole(tmp_path):
    """Two pairs run at the same time: neither cycle is cut in the middle, and `forgotten` has both."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as one, journal.pair("left", "third") as other:
            first, second = await one.begin_cycle(), await other.begin_cycle()
            for known, cycle in ((one, first), (other, second), (one, first), (other, second)):
                await known.intend(cycle, [intent(A)])
            await one.intend(await one.begin_cycle(), [intent(B)])
            ((size,),) = await journal._db.fetch("SELECT sum(length(record)) FROM history WHERE id > 1")

        assert await journal.history.prune(timedelta(days=1), size) == 4

        assert (await journal.history.check()).entries == 1
        found = [await journal.history.of(known.number).forgotten() for known in (one, other)]
        assert [each and each.cycle for each in found] == [first, second]
        assert await journal.history.pair_of(second) == other.number
        assert await journal.history.pair_of(4711) is None
        assert await one.began_at() is not None
