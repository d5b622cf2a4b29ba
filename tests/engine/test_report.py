"""The report of a cycle: exact counts, and all that the cycle leaves undone."""

from __future__ import annotations

import pytest

from smtd.engine.report import Conflict, Held, Hold, PairReport, SideReport, empty_report, failure
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Both, Side
from tests.build import PROJECT, RUNNING, change, commented, key, record, tagged
from tests.engine.world import RefusingStore, World, counts, written

TORN = failure(key("a"), Side.LEFT, because(Code.UNREADABLE, Side.LEFT, "torn"))
LABELS = [f"{what} {number}" for what in ("update", "delete", "merge", "same") for number in range(3)]


@pytest.fixture
async def report(tmp_path):
    """The report of a cycle in which everything happens, each a different number of times."""
    right = RefusingStore("right")
    world = World(tmp_path, right=right)
    await world.synced(*map(record, LABELS), record("conflict"))
    for label in ("new 1", "new 2", "new 3", "refused"):
        world.left.put(PROJECT, record(label))
    world.right.put("Other", record("new 4"))
    world.left.put(PROJECT, tagged(record("update 0"), "x"))
    world.left.put(PROJECT, tagged(record("update 1"), "x"))
    world.right.put(PROJECT, tagged(record("update 2"), "x"))
    world.left.remove(PROJECT, "delete 0")
    world.right.remove(PROJECT, "delete 1")
    world.right.remove(PROJECT, "delete 2")
    world.left.put(PROJECT, commented(record("merge 0"), "left"))
    world.right.put(PROJECT, commented(record("merge 0"), "right"))
    world.left.put(PROJECT, tagged(record("merge 1"), "x"))
    world.right.put(PROJECT, tagged(record("merge 1"), "x", "y"))
    world.left.put(PROJECT, change(record("conflict"), version="beef"))
    world.right.put(PROJECT, change(record("conflict"), version="cafe", diff="- a\n"))
    world.left.put(PROJECT, change(record("running"), tags=RUNNING, duration=None))
    right.refused = frozenset({"refused"})
    return await world.cycle()


async def test_report_counts_every_record_once(report):
    """Each created, updated or deleted record counts on the side that was written."""
    assert counts(report) == written(left=(1, 3, 2), right=(3, 3, 1))
    assert (report.left.written, report.right.written) == (6, 7)


async def test_report_counts_what_is_in_sync(report):
    """All records that are equal on both sides after the cycle, written now or not."""
    created, updated, merged, same = 4, 3, 3, 3

    assert report.in_sync == created + updated + merged + same


async def test_report_lists_conflicts_holds_and_failures(report):
    """By project and label."""
    assert report.conflicts == [Conflict(PROJECT, "conflict", ("version", "diff"))]
    assert [(held.project, held.label, held.kind) for held in report.held] == [
        (PROJECT, "running", Hold.RUNNING)
    ]
    assert [(each.project, each.label, each.side) for each in report.failed] == [
        (PROJECT, "refused", Side.RIGHT)
    ]
    assert (report.ok, report.projects) == (False, [PROJECT, "Other"])


@pytest.mark.parametrize(
    "left",
    [
        {"conflicts": [Conflict(PROJECT, "a", ("version",))]},
        {"held": [Held(*key("a"), Hold.RUNNING, because(Code.RUNNING))]},
        {"failed": [TORN]},
    ],
    ids=["conflict", "hold", "failure"],
)
def test_report_with_a_conflict_hold_or_failure_is_not_ok(left):
    """Each waits for a user or for a later cycle."""
    assert not PairReport("pair", SideReport("l"), SideReport("r"), **left).ok


def test_blank_reports_share_nothing():
    """An entry in one report is not in the next one."""
    one, other = empty_report("one", Both("l", "r")), empty_report("other", Both("l", "r"))

    one.failed.append(TORN)
    one.projects.append(PROJECT)
    one.side(Side.LEFT).created += 1

    assert (other.failed, other.projects, other.left.created, one.left.created) == ([], [], 0, 1)
