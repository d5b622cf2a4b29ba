"""The journal file: reopened, checked, locked, and kept whole."""

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
from smtd.journal.record_codec import pack
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Both, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import digest
from smtd.stores.base import Change
from smtd.stores.index import readable
from smtd.stores.memory import MemoryStore
from tests.build import PROJECT, full, key, record, tagged
from tests.journal.noting import agreement, note, process
from tests.journal.schemas import schema

A, B = record("a"), record("b")


def elsewhere(directory, left, right):
    """Open a pair in another process and return what it says."""
    with process(directory, left, right) as other:
        return other.communicate()[0]


def file(directory):
    """Return the journal file of a state directory."""
    return directory / "journal.sqlite"


def execute(directory, statement, *values):
    """Change the journal file behind smtd's back."""
    with closing(sqlite3.connect(file(directory))) as db:
        db.execute(statement, values)
        db.commit()


async def test_journal_makes_its_directory_for_nobody_else(tmp_path):
    """State is private: records may hold what only their owner may read."""
    state = tmp_path / "state" / "smtd"

    async with open_journal(state):
        pass

    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE(file(state).stat().st_mode) == 0o600


async def test_journal_knows_again_what_it_knew(tmp_path):
    """What was agreed is there after a restart, whole."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        await note(known, agreements=[agreement(full()), agreement(A)])

    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        agreed, ancestor = await known.agreed(None), await known.ancestor(key("full"))

    assert agreed == {each.key: each.digests for each in (agreement(full()), agreement(A))}
    assert ancestor == full()


async def test_journal_keeps_pairs_apart(tmp_path):
    """What one pair agreed on is nothing to another one, also if they share a store."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as known:
            await note(known, agreements=[agreement(A)])
        async with journal.pair("third", "right") as one, journal.pair("left", "third") as other:
            found = [await one.agreed(None), await other.agreed(None), await other.ancestor(key("a"))]

    assert found == [{}, {}, None]


async def test_two_who_name_a_pair_in_either_order_agree_on_one(tmp_path):
    """Whoever comes first; both at once, too."""
    numbers = []

    async def ask(journal, left, right):
        async with journal.pair(left, right) as known:
            numbers.append(known.number)

    async with open_journal(tmp_path) as journal, anyio.create_task_group() as group:
        group.start_soon(ask, journal, "a", "b")
        group.start_soon(ask, journal, "b", "a")

    async with open_journal(tmp_path) as journal:
        assert [*await journal.pairs()] == [numbers[0]] == [numbers[1]]


async def test_journal_of_another_version_is_refused(tmp_path):
    """A journal that a newer smtd made is not touched by an older one."""
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
async def test_journal_that_was_damaged_inside_is_an_error(tmp_path, damage):
    """Whatever part cannot be read, the journal is named, and not the stores."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        await note(known, agreements=[agreement(A)])

    with pytest.raises(JournalError, match="journal"):
        await damaged(tmp_path, damage)


async def damaged(directory, damage):
    """Damage the journal and use all of it."""
    execute(directory, damage)
    async with open_journal(directory) as journal, journal.pair("left", "right") as known:
        await known.agreed(None)
        await known.ancestor(key("a"))
        await known.intend(await known.begin_cycle(), [intent(A)])


def intent(before):
    """Return the intent to update a record on the right side."""
    after = digest(tagged(before, "x"))
    return Write(key(before.label), Side.RIGHT, digest(before), after, because(Code.MERGED), None, before)


@pytest.mark.parametrize("error", [OSError(5, "the disk is gone"), sqlite3.OperationalError("no such table")])
async def test_error_of_a_store_is_not_blamed_on_the_journal(tmp_path, error):
    """What goes wrong while the journal is open goes on as what it is."""
    with pytest.raises(type(error), match=str(error.args[-1])):
        async with open_journal(tmp_path):
            raise error


async def test_directory_that_cannot_be_used_is_an_error(tmp_path):
    """A state directory that is a file is named."""
    (tmp_path / "state").write_text("a file")

    with pytest.raises(JournalError, match=r"state directory .*state cannot be used"):
        async with open_journal(tmp_path / "state"):
            pass


async def test_pair_is_locked_against_another_process(tmp_path):
    """Two smtd never sync one pair at a time; the second one says so."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right"):
        answer = await anyio.to_thread.run_sync(elsewhere, tmp_path, "left", "right")

    assert answer == "another smtd is syncing the pair left and right; wait until it has finished\n"


async def test_other_pair_is_not_locked(tmp_path):
    """Other pairs of the same journal go on in other processes."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right"):
        answer = await anyio.to_thread.run_sync(elsewhere, tmp_path, "left", "third")

    assert answer == "open\n"


async def test_pair_is_free_again_after_use(tmp_path):
    """A pair that is done with may be synced by the next process."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right"):
            pass
        answer = await anyio.to_thread.run_sync(elsewhere, tmp_path, "left", "right")

    assert answer == "open\n"


async def test_pair_is_free_again_after_an_error(tmp_path):
    """A use that fails locks nobody out."""
    with pytest.raises(KeyError, match="the end"):
        async with open_journal(tmp_path) as journal, journal.pair("left", "right"):
            raise KeyError("the end")

    assert elsewhere(tmp_path, "left", "right") == "open\n"


async def test_pair_is_locked_within_a_process_too(tmp_path, monkeypatch):
    """One process does not sync a pair twice at a time either."""
    monkeypatch.setattr("smtd.journal.journal.PATIENCE", 0.1)
    async with open_journal(tmp_path) as journal, journal.pair("left", "right"):
        with pytest.raises(JournalError, match="another smtd is syncing"):
            async with journal.pair("left", "right"):
                pass


async def test_other_canonical_version_forgets_agreement_and_keeps_history(tmp_path, monkeypatch):
    """Digests of another form mean nothing: the pair is adopted anew, and can still be undone."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        cycle = await known.begin_cycle()
        await known.intend(cycle, [intent(A)])
        await note(known, agreements=[agreement(B)])
        await known.indexes.left.update(
            {key("b"): readable(digest(B), final=True)}, None, b"head", whole=True
        )
        cursors = Both(await known.indexes.left.cursor(), await known.indexes.right.cursor())
        async with known.transaction() as tx:
            tx.save(Checkpoint(cursors, None), [key("a")])
    monkeypatch.setattr(canonical, "VERSION", canonical.VERSION + 1)

    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        found = [
            await known.agreed(None),
            await known.ancestor(key("b")),
            await known.begun(),
            await known.checkpoints.get(),
            await known.checkpoints.out_of_sync(),
            await known.indexes.left.all(None),
            await known.indexes.left.head(None),
            await known.indexes.left.held(None),
            (await known.indexes.left.cursor()).epoch == cursors.left.epoch,
        ]

    assert found == [{}, None, [], None, set(), {}, None, {}, False]
    assert [row[0] for row in rows(tmp_path, "SELECT label FROM history")] == ["a"]


async def test_other_canonical_version_is_forgotten_once(tmp_path, monkeypatch):
    """What is agreed on under the new form stays."""
    monkeypatch.setattr(canonical, "VERSION", canonical.VERSION + 1)
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        await note(known, agreements=[agreement(A)])

    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        assert list(await known.agreed(None)) == [key("a")]


async def test_other_canonical_version_of_one_pair_leaves_the_others(tmp_path):
    """Each pair knows which form its digests are of."""
    async with open_journal(tmp_path) as journal:
        for left in ("old", "new"):
            async with journal.pair(left, "right") as known:
                await note(known, agreements=[agreement(A)])
    execute(tmp_path, "UPDATE pair SET canonical_version = 0 WHERE left_location = 'old'")

    async with open_journal(tmp_path) as journal:
        async with journal.pair("old", "right") as known:
            forgotten = await known.agreed(None)
        async with journal.pair("new", "right") as known:
            kept = await known.agreed(None)

    assert (forgotten, list(kept)) == ({}, [key("a")])


def rows(directory, query):
    """Return what the journal file holds."""
    with closing(sqlite3.connect(file(directory))) as db:
        return db.execute(query).fetchall()


async def test_passwords_have_no_place_in_the_journal(tmp_path):
    """The journal knows stores by the locations that it is given, and nothing else of them."""
    store = MemoryStore("left")
    await store.write([Change(key("a"), A, None)])
    async with open_journal(tmp_path) as journal, journal.pair(store.location, "right"):
        pass

    assert rows(tmp_path, "SELECT left_location, right_location FROM pair") == [("left", "right")]


async def test_state_directory_that_is_gone_is_told(tmp_path):
    """A pair whose lock cannot be made says which directory is the matter."""
    directory = tmp_path / "state"
    async with open_journal(directory) as journal:
        shutil.rmtree(directory)
        with pytest.raises(JournalError, match=r"state directory .* cannot be used: No such file"):
            async with journal.pair("left", "right"):
                pass


async def test_journal_names_its_pairs(tmp_path):
    """By number, with the locations of both sides, in the order in which they were named."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as one, journal.pair("left", "third") as other:
            numbers = one.number, other.number

        assert await journal.pairs() == dict(
            zip(numbers, [("left", "right"), ("left", "third")], strict=True)
        )


async def test_history_of_an_older_version_is_kept_and_sealed(tmp_path):
    """What version 5 had overwritten can still be brought back, and is proven from then on."""
    with closing(sqlite3.connect(file(tmp_path))) as db:
        db.executescript(f"{schema(5)} PRAGMA user_version = 5")
        db.execute("INSERT INTO pair VALUES (1, 'left', 'right', ?)", (canonical.VERSION,))
        db.execute("INSERT INTO cycle VALUES (1, 1, '2024-03-31T00:30:00+00:00')")
        written = (1, 1, "2024-03-31T00:30:00+00:00", "right", PROJECT, "a", "update", pack(A))
        db.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)", written)
        db.commit()

    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        (entry,) = await journal.history.entries(known.number)
        assert (entry.key, entry.action, entry.before, entry.landed) == (key("a"), "update", None, True)
        assert await journal.history.image(entry.id) == A
        assert (await journal.history.check()).entries == 1
        await known.intend(await known.begin_cycle(), [intent(B)])
        assert (await journal.history.check()).entries == 2
    execute(tmp_path, "UPDATE history SET label = 'b' WHERE label = 'a'")
    async with open_journal(tmp_path) as journal:
        with pytest.raises(JournalError, match="among its entries 1 to 1"):
            await journal.history.check()


async def test_damaged_image_is_an_error_that_names_its_entry(tmp_path):
    """And not a record of less than there was."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        first = await known.intend(await known.begin_cycle(), [intent(A)])
    execute(tmp_path, "UPDATE history SET record = substr(record, 1, 20)")

    async with open_journal(tmp_path) as journal:
        with pytest.raises(JournalError, match=f"the record in entry {first} of the history is damaged"):
            await journal.history.image(first)


async def test_young_and_small_history_is_kept(tmp_path):
    """Nothing is forgotten before its time, nor of a history that is empty."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        assert await journal.history.prune(timedelta(days=1), 0) == 0
        await known.intend(await known.begin_cycle(), [intent(A)])

        assert await journal.history.prune(timedelta(days=1), 10**6) == 0
        assert (await journal.history.check()).entries == 1
        execute_twice = await journal.history.prune(timedelta(days=1), 0), await journal.history.check()

    assert (execute_twice[0], execute_twice[1].entries) == (1, 0)


async def test_events_are_numbered_without_a_gap_over_restarts(tmp_path, monkeypatch):
    """Whoever comes late gets those that are kept, in order, and no more than they ask for."""
    monkeypatch.setattr("smtd.journal.events.KEPT", 3)
    async with open_journal(tmp_path) as journal:
        await journal.events.add(["one", "two"])
    async with open_journal(tmp_path) as journal:
        await journal.events.add(["three", "four"])

        assert await journal.events.after(0, 10) == [(2, "two"), (3, "three"), (4, "four")]
        assert await journal.events.after(3, 10) == [(4, "four")]
        assert await journal.events.after(0, 1) == [(2, "two")]
        assert await journal.events.after(4, 10) == []


async def test_whole_cycles_are_forgotten_though_they_overlap(tmp_path):
    """Of two pairs at the same time: neither cycle is cut in the middle, and both pairs are told."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as one, journal.pair("left", "third") as other:
            first, second = await one.begin_cycle(), await other.begin_cycle()
            for known, cycle in ((one, first), (other, second), (one, first), (other, second)):
                await known.intend(cycle, [intent(A)])
            await one.intend(await one.begin_cycle(), [intent(B)])
            ((size,),) = await journal._db.fetch("SELECT sum(length(record)) FROM history WHERE id > 1")

        assert await journal.history.prune(timedelta(days=1), size) == 4

        assert (await journal.history.check()).entries == 1
        found = [await journal.history.forgotten(known.number) for known in (one, other)]
        assert [each and each.cycle for each in found] == [first, second]
        assert await journal.history.pair_of(second) == other.number
        assert await journal.history.pair_of(4711) is None
        assert await one.began_at() is not None
