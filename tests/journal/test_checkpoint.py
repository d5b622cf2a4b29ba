"""The checkpoint of a pair: cursors, projects, the last report, and what was not in sync."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
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


async def test_checkpoint_is_read_as_it_was_saved(known: PairJournal) -> None:
    await saved(known, REPORTED, [key("a"), NO_TEXT])

    assert await known.checkpoints.get() == REPORTED
    assert await known.checkpoints.out_of_sync() == {key("a"), NO_TEXT}


async def reopened(known: PairJournal) -> None:
    async with known.transaction() as tx:
        tx.reopen([key("a"), key("b")])


async def decided(known: PairJournal) -> None:
    await known.decisions.put([Decision(key("a"), Choice.LEFT, Both(b"1", b"2"))])


@pytest.mark.parametrize(
    ("event", "out_of_sync"),
    [(PairJournal.begin_cycle, {key("a")}), (decided, {key("a")}), (reopened, {key("a"), key("b")})],
    ids=["another cycle begins", "a user decides", "keys are reopened"],
)
async def test_report_is_void_once_there_is_more_to_decide(
    known: PairJournal, event: Callable[[PairJournal], Awaitable[None]], out_of_sync: set[Key]
) -> None:
    """The cursors are not: later changes are decided."""
    await saved(known, REPORTED, [key("a")])

    await event(known)

    assert await known.checkpoints.get() == Checkpoint(CURSORS, REPORTED.projects, "policy", None)
    assert await known.checkpoints.out_of_sync() == out_of_sync


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
