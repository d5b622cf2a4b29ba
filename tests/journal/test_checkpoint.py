"""The checkpoint of a pair: cursors, projects, the last report, and what was not in sync."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from smtd.journal.checkpoint import Checkpoint
from smtd.journal.decisions import Choice, Decision
from smtd.journal.index import Cursor
from smtd.journal.journal import open_journal
from smtd.journal.pair import PairJournal
from smtd.merge.sides import Both
from smtd.records.record import Key
from tests.build import key

CURSORS = Both(Cursor(1, 2), Cursor(3, 4))
REPORTED = Checkpoint(CURSORS, frozenset({"One", "Other"}), "policy", b"report")
NO_TEXT = Key("bad\udcff", "\udcfe")


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[PairJournal]:
    """The journal of a pair."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        yield known


async def saved(known: PairJournal, checkpoint: Checkpoint, out_of_sync: Collection[Key]) -> None:
    """Save *checkpoint*."""
    async with known.transaction() as tx:
        tx.save(checkpoint, out_of_sync)


async def test_new_pair_has_no_checkpoint(known: PairJournal) -> None:
    assert await known.checkpoints.get() is None
    assert await known.checkpoints.out_of_sync() == set()


async def test_checkpoint_is_read_as_it_was_saved(known: PairJournal) -> None:
    await saved(known, REPORTED, [key("a"), NO_TEXT])

    assert await known.checkpoints.get() == REPORTED
    assert await known.checkpoints.out_of_sync() == {key("a"), NO_TEXT}


async def test_next_checkpoint_replaces_the_last_one(known: PairJournal) -> None:
    await saved(known, REPORTED, [key("a"), key("b")])

    await saved(known, Checkpoint(CURSORS, None), [key("b"), key("c")])

    assert await known.checkpoints.get() == Checkpoint(CURSORS, None, "", None)
    assert await known.checkpoints.out_of_sync() == {key("b"), key("c")}


async def test_report_is_void_once_another_cycle_begins(known: PairJournal) -> None:
    """The cursors are not: later changes are decided."""
    await saved(known, REPORTED, [key("a")])

    await known.begin_cycle()

    assert await known.checkpoints.get() == Checkpoint(CURSORS, REPORTED.projects, "policy", None)
    assert await known.checkpoints.out_of_sync() == {key("a")}


async def test_report_is_void_once_a_user_decides_something(known: PairJournal) -> None:
    await saved(known, REPORTED, [])

    await known.decisions.put([Decision(key("a"), Choice.LEFT, Both(b"1", b"2"))])

    found = await known.checkpoints.get()
    assert found is not None
    assert found.report is None


async def test_reopened_key_is_decided_by_the_next_cycle(known: PairJournal) -> None:
    await saved(known, REPORTED, [key("a")])

    async with known.transaction() as tx:
        tx.reopen([key("a"), key("b")])

    found = await known.checkpoints.get()
    assert found is not None
    assert found.report is None
    assert await known.checkpoints.out_of_sync() == {key("a"), key("b")}


async def test_pair_that_is_adopted_anew_has_no_checkpoint(known: PairJournal) -> None:
    await saved(known, REPORTED, [key("a")])

    await known.forget_all(1)

    assert await known.checkpoints.get() is None
    assert await known.checkpoints.out_of_sync() == set()


@pytest.mark.parametrize(
    ("of", "asked", "covers"),
    [
        (None, None, True),
        (None, {"One"}, True),
        ({"One"}, {"One"}, True),
        ({"One", "Other"}, {"One"}, True),
        ({"One"}, {"One", "Other"}, False),
        ({"One"}, None, False),
    ],
)
def test_checkpoint_covers_only_its_own_projects(of, asked, covers) -> None:
    """The cycle did not look at others."""
    checkpoint = Checkpoint(CURSORS, None if of is None else frozenset(of))

    assert checkpoint.covers(None if asked is None else frozenset(asked)) is covers
