"""smtd migrates a real journal of version 8 (d4d3430), in either order of the sides.

That journal ends with a crash: three writes to the right side have arrived, and their intents are open.
Before that a cycle was undone, two records came into conflict, of which a user has resolved one, 28 deletions
were held, of which a user has approved one, and the right side had refused a record. `d4d3430.sql` has its
rows.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from smtd.engine.pair import Policy
from smtd.engine.report import Hold
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both, Side
from smtd.output.english import sentence
from tests.build import PROJECT, RUNNING, change, commented, record, tagged
from tests.engine.world import RefusingStore, TestStore, World, counts, written
from tests.journal.schemas import schema

DUMP = Path(__file__).parent / "d4d3430.sql"
RUNS = [f"run-{number:02}" for number in range(34)]
HELD = RUNS[1:28]
UNDONE, EDITED = record("undone"), commented(record("edited"), "by a person")
RESOLVED = change(record("resolved"), version="beef")
LAST = tagged(record("run-33"), "x")


def stores() -> Both[TestStore]:
    """Return both stores as the crash left them."""
    left, right = TestStore("left"), RefusingStore("right")
    right.refused = frozenset({"refused"})
    mine = [change(record("conflict"), version="beef"), tagged(UNDONE, "mistake"), record("refused")]
    mine.append(change(record("running"), tags=RUNNING, duration=None))
    for each in [*map(record, RUNS[28:33]), LAST, EDITED, RESOLVED, *mine]:
        left.put(PROJECT, each)
    for each in [*map(record, RUNS[1:33]), LAST, EDITED, RESOLVED, UNDONE]:
        right.put(PROJECT, each)
    right.put(PROJECT, change(record("conflict"), version="cafe"))
    return Both(left, right)


@pytest.fixture(params=[False, True], ids=["in its order", "in the other order"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """Return the pair with that journal."""
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        db.executescript(schema(8) + DUMP.read_text("utf-8"))
        db.execute("PRAGMA user_version = 8")
    both = stores()
    world = World(tmp_path, both.left, both.right)
    return world.mirrored if request.param else world


async def test_migrated_journal_keeps_all_that_was_open(world: World) -> None:
    """smtd writes nothing that it should not, and whatever was held is still held, for the same reasons."""
    before = world.contents
    lost = Side.LEFT if world.left.location == "left" else Side.RIGHT  # the side whose records are gone

    report = await world.cycle(force_retry=False)

    assert (counts(report), world.contents) == (written(), before)
    assert [each.label for each in report.conflicts] == ["conflict"]
    held = {each.label: each for each in report.held}
    assert held.keys() == {*HELD, "running", "undone"}
    assert {held[label].kind for label in HELD} == {Hold.DELETION}
    assert sentence(held["run-01"].why) == (
        f"deletion held: 28 of 38 records disappeared from the {lost.value} store within minutes"
    )
    assert sentence(held["undone"].why) == "cycle 2 was undone"
    assert [(each.label, each.side, sentence(each.why)) for each in report.failed] == [
        (
            "refused",
            lost.other,
            f"the {lost.other.value} store cannot hold it: its label is too long",
        )
    ]


async def test_arrived_writes_of_the_migrated_journal_are_finished(world: World) -> None:
    """The users' decisions about them have ended, and no intent is open."""
    await world.cycle(force_retry=False)

    assert world.journal("SELECT count(*) FROM intent") == [(0,)]
    choices = world.journal("SELECT choice, count(*) FROM decision GROUP BY choice ORDER BY choice")
    assert choices == [("held", 27), ("rest", 1)]
    baselines = {label for (label,) in world.journal("SELECT label FROM agreed")}
    assert ("run-00" in baselines, {"resolved", "run-33", "edited"} <= baselines) == (False, True)


async def test_history_of_the_migrated_journal_is_intact(world: World) -> None:
    """Each reason names the side that it meant."""
    left = Side.LEFT if world.left.location == "left" else Side.RIGHT

    async with open_journal(world.directory) as journal:
        sealed = (await journal.history.check()).entries
        async with journal.pair(world.left.location, world.right.location) as known:
            pair = world.pair(known, Policy())
            entries = await pair.journal.history.entries()

    told = {(each.side, each.action, sentence(each.reason)) for each in entries}
    assert sealed > len(entries) > 30
    assert told == {
        (left.other, "create", f"new on the {left.value}"),
        (left.other, "update", f"changed on the {left.value}"),
        (left.other, "update", "cycle 2 was undone"),
        (left, "update", f"changed on the {left.other.value}"),
    }
