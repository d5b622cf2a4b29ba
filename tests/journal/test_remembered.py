"""What the journal remembers of a pair is shown, and can be forgotten, without a trace and without harm."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from smtd.errors import JournalError, UsageError
from smtd.journal.journal import Journal, open_journal
from smtd.journal.write_log import Landed
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Both, Side
from smtd.merge.write import Write
from smtd.records.canonical import digest
from smtd.stores.index import readable
from tests.build import key, record, tagged
from tests.journal.noting import baseline, note

A, B = record("a"), record("b")
A_KEY = key("a")
#: Three pairs; the first two have a store in common.
PAIRS = [Both("left", "right"), Both("left", "other"), Both("one", "two")]


async def write(journal: Journal, stores: Both[str], *, lands: bool = True) -> None:
    """Let a cycle of the pair of *stores* overwrite one record and agree on two."""
    async with journal.pair(stores.left, stores.right) as known:
        cycle = await known.begin_cycle()
        after = tagged(A, str(cycle))
        why = because(Code.CHANGED, Side.LEFT)
        entry = await known.intend(cycle, [Write(A_KEY, Side.RIGHT, digest(A), digest(after), why, after, A)])
        if lands:
            landed = [Landed(A_KEY, Side.RIGHT, digest(A), digest(after))]
            baselines = [baseline(after), baseline(B)]
            await note(known, baselines=baselines, landed=landed, ended=[A_KEY], entries=[entry])
        await known.set_name(f"{stores.left}-{stores.right}")
        await known.indexes.left.update({A_KEY: readable(digest(A), final=True)}, None, b"token", whole=True)


def rows(directory, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of *query* from the journal file."""
    with closing(sqlite3.connect(directory / "journal.sqlite")) as db:
        return db.execute(query).fetchall()


def tables_of_pairs(directory) -> Collection[str]:
    """Return the tables that have a row for each pair."""
    names = [name for (name,) in rows(directory, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [
        name for name in names if "pair" in [row[1] for row in rows(directory, f"PRAGMA table_info({name})")]
    ]


def fill(directory, number: int) -> None:
    """Give the pair *number* a row in each table of pairs, but no open intent."""
    with closing(sqlite3.connect(directory / "journal.sqlite")) as db, db:
        for table in {*tables_of_pairs(directory)} - {"intent"}:
            columns = [row[1] for row in rows(directory, f"PRAGMA table_info({table})")]
            values = [number if name == "pair" else 7 for name in columns if name != "id"]
            names = ", ".join(name for name in columns if name != "id")
            placeholders = ", ".join("?" * len(values))
            db.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({placeholders})", values)


@pytest.fixture
async def journal(tmp_path):
    """A journal in which the cycles of three pairs took turns."""
    async with open_journal(tmp_path) as journal:
        for _ in range(2):
            for stores in PAIRS:
                await write(journal, stores)
        yield journal


async def test_all_pairs_are_listed_with_what_is_remembered(journal: Journal) -> None:
    """By their last names, with the history that would go."""
    found = await journal.remembered()

    assert [each.called for each in found] == ["left-right", "left-other", "one-two"]
    assert [(each.baselines, each.entries, each.unfinished) for each in found] == [(2, 2, 0)] * 3
    assert all(
        each.size > 0 and each.since is not None and each.since <= (each.until or "") for each in found
    )


async def test_pair_without_a_name_is_called_by_its_stores(tmp_path) -> None:
    """It was synced by smtd sync, or before names were remembered."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right"):
            (found,) = await journal.remembered()
        await journal.forget(found.stores)

        assert (found.called, found.since, found.size) == ("left right", None, 0)
        assert await journal.remembered() == []


@pytest.mark.parametrize("stores", PAIRS, ids=str)
async def test_forgotten_pair_leaves_no_row_and_the_history_of_others_intact(
    tmp_path, journal: Journal, stores: Both[str]
) -> None:
    """Whatever the order in which they wrote; later cycles are sealed as before."""
    (number,) = [each.number for each in await journal.remembered() if each.stores == stores]
    others = [each for each in await journal.remembered() if each.stores != stores]
    fill(tmp_path, number)

    await journal.forget(stores)

    left = {
        table: rows(tmp_path, f"SELECT count(*) FROM {table} WHERE pair = {number}")[0][0]
        for table in tables_of_pairs(tmp_path)
    }
    assert set(left.values()) == {0}
    assert await journal.remembered() == others
    assert (await journal.history.check()).entries == 4
    await write(journal, PAIRS[0])
    assert (await journal.history.check()).entries == 5


async def test_index_stays_as_long_as_a_pair_has_the_store(tmp_path, journal: Journal) -> None:
    """A pair that shares a store reads none of it again."""
    await journal.forget(PAIRS[0])
    shared = rows(tmp_path, "SELECT location, (SELECT count(*) FROM entry WHERE store = store.id) FROM store")
    await journal.forget(PAIRS[1])
    rest = rows(tmp_path, "SELECT location FROM store")

    assert sorted(shared) == [("left", 1), ("one", 1), ("other", 0), ("two", 0)]
    assert sorted(rest) == [("one",), ("two",)]


async def test_forgotten_pair_is_adopted_anew(journal: Journal) -> None:
    """As if it had never been synced; an unknown one is no error."""
    await journal.forget(PAIRS[0])
    await journal.forget(PAIRS[0])

    async with journal.pair("left", "right") as known:
        assert await known.baselines(None) == {}
        assert await known.checkpoints.get() is None
    assert await journal.known("one", "two") is not None


async def test_writes_that_a_crash_left_open_are_not_forgotten(tmp_path, journal: Journal) -> None:
    """The journal may have the only copy of the record: of one that was being replaced on a server."""
    await write(journal, PAIRS[2], lands=False)
    before = rows(tmp_path, "SELECT * FROM history")

    with pytest.raises(UsageError, match="sync the pair once more before smtd forgets it"):
        await journal.forget(PAIRS[2])

    assert (await journal.remembered())[2].unfinished == 1
    assert rows(tmp_path, "SELECT * FROM history") == before


async def test_altered_history_is_not_sealed_again(tmp_path, journal: Journal) -> None:
    """A new seal would hide that it was altered."""
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        db.execute("UPDATE history SET label = 'x' WHERE id = 1")
        db.commit()

    with pytest.raises(JournalError, match="the history was altered"):
        await journal.forget(PAIRS[1])

    assert len(await journal.remembered()) == 3


async def test_pair_that_is_forgotten_while_another_process_waits_for_it_is_added_again(
    tmp_path, journal: Journal, monkeypatch
) -> None:
    """Its number may be that of another pair soon."""
    lock, waiting = Journal._alone, [PAIRS[2]]

    @asynccontextmanager
    async def locked(*names):
        if waiting:
            await other.forget(waiting.pop())
        async with lock(*names):
            yield

    async with open_journal(tmp_path) as other:
        monkeypatch.setattr(Journal, "_alone", locked)
        async with journal.pair("one", "two") as known:
            assert await known.baselines(None) == {}
            await known.begin_cycle()

    assert [each.stores for each in await journal.remembered()] == PAIRS
