"""The cycles that wrote, as the history lists them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtd.journal.history import SideCounts
from smtd.journal.journal import Journal, open_journal
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Side
from smtd.merge.write import Write
from tests.build import key, record

A, B = record("a"), record("b")


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """Two pairs: cycles 1 and 3 of the first wrote, and 2 of the second; 4 did not get that far."""
    async with open_journal(tmp_path) as made:
        for right, sides in (
            ("right", (Side.LEFT, Side.RIGHT)),
            ("other", (Side.LEFT,)),
            ("right", (Side.RIGHT,)),
        ):
            async with made.pair("left", right) as pair:
                cycle = await pair.begin_cycle()
                writes = [
                    Write(key(one.label), side, None, b"digest", because(Code.NEW, side.other), one)
                    for side in sides
                    for one in (A, B)
                ]
                first = await pair.intend(cycle, writes)
                await land(made, range(first, first + len(writes)))
        async with made.pair("left", "right") as pair:
            await pair.intend(await pair.begin_cycle(), writes[:1])
        yield made


async def land(journal: Journal, entries: range) -> None:
    """Note that the writes were seen in the store."""
    await journal._db.run_many("UPDATE history SET landed = 1 WHERE id = ?", [(entry,) for entry in entries])


async def test_cycles_are_counted_by_side_newest_first(journal: Journal) -> None:
    """A cycle of which nothing was seen in a store is left out."""
    found, before = await journal.history.cycles()

    assert before is None
    assert [(each.cycle, each.pair, each.left, each.right) for each in found] == [
        (3, 1, SideCounts(), SideCounts(created=2)),
        (2, 2, SideCounts(created=2), SideCounts()),
        (1, 1, SideCounts(created=2), SideCounts(created=2)),
    ]
    assert all(each.at <= each.until for each in found)


async def test_cycles_come_page_by_page(journal: Journal) -> None:
    """Each page names the beginning of the next one."""
    first, before = await journal.history.cycles(limit=2)
    second, end = await journal.history.cycles(before=before, limit=2)

    assert ([each.cycle for each in first], before) == ([3], 3)
    assert ([each.cycle for each in second], end) == ([2, 1], None)
    assert await journal.history.cycles(before=1) == ([], None)


async def test_cycles_of_one_pair(journal: Journal) -> None:
    """The numbers of all pairs are one sequence."""
    found, _ = await journal.history.of(2).cycles()

    assert [each.cycle for each in found] == [2]


async def test_entries_of_a_cycle_come_page_by_page(journal: Journal) -> None:
    """The newest ones first."""
    first = await journal.history.entries(cycle=1, limit=3)
    rest = await journal.history.entries(cycle=1, before=first[-1].id)

    assert [each.id for each in (*first, *rest)] == [4, 3, 2, 1]
