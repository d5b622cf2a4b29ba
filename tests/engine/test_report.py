"""The report of a cycle: exact counts, and the JSON that scripts read."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from smtd.engine.report import Conflict, Failure, Held, PairReport, SideReport, as_json, blank, turned
from smtd.merge.sides import Both, Side
from tests.build import PROJECT, RUNNING, change, commented, record, tagged
from tests.engine.world import RefusingStore, TestStore, World, counts, written

LABELS = [f"{what} {number}" for what in ("update", "delete", "merge", "same") for number in range(3)]


@pytest.fixture
async def report(tmp_path):
    """The report of a cycle in which everything happens, a different number of times."""
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
    """What was created, updated and deleted is counted on the side that was written to."""
    assert counts(report) == written(left=(1, 3, 2), right=(3, 3, 1))
    assert (report.left.written, report.right.written) == (6, 7)


async def test_report_counts_what_is_in_sync(report):
    """All that both sides hold alike after the cycle is counted, written now or not."""
    created, updated, merged, same = 4, 3, 3, 3

    assert report.in_sync == created + updated + merged + same


async def test_report_names_what_is_left(report):
    """Conflicts, holds and failures are named by project and label."""
    assert report.conflicts == [Conflict(PROJECT, "conflict", ("version", "diff"))]
    assert [(held.project, held.label, held.reason) for held in report.held] == [
        (PROJECT, "running", "running")
    ]
    assert [(each.project, each.label, each.side) for each in report.failed] == [
        (PROJECT, "refused", "right")
    ]
    assert (report.ok, report.projects) == (False, [PROJECT, "Other"])


async def test_json_has_the_shape_of_the_contract(report):
    """Scripts find the keys that the contract names, in its order, with values of its types."""
    printed = json.loads(json.dumps(as_json(0.41234, [report])))
    (pair,) = printed["pairs"]

    assert list(printed) == ["ok", "seconds", "pairs"]
    assert (printed["ok"], printed["seconds"]) == (False, 0.412)
    assert list(pair) == [
        *("pair", "ok", "projects", "in_sync", "left", "right", "conflicts", "held", "failed"),
    ]
    assert (pair["pair"], pair["ok"], pair["projects"], pair["in_sync"]) == (
        "pair",
        False,
        [PROJECT, "Other"],
        13,
    )
    assert pair["left"] | {"records": 0} == {
        "location": "left",
        "created": 1,
        "updated": 3,
        "deleted": 2,
        "read_only": "",
        "records": 0,
    }
    assert pair["right"] | {"records": 0} == {
        "location": "right",
        "created": 3,
        "updated": 3,
        "deleted": 1,
        "read_only": "",
        "records": 0,
    }
    assert pair["conflicts"] == [{"project": PROJECT, "label": "conflict", "fields": ["version", "diff"]}]
    assert [{*each} for each in pair["held"]] == [{"project", "label", "reason", "next", "until", "kind"}]
    assert pair["failed"] == [
        {
            "project": PROJECT,
            "label": "refused",
            "side": "right",
            "error": "the right store cannot hold it: its label is too long",
        }
    ]


def test_json_of_pairs_is_ok_if_all_of_them_are():
    """One pair with something left makes the whole run not ok."""
    good = blank("good", Both("l", "r"))
    held = blank("held", Both("l", "r"))
    held.held.append(Held(PROJECT, "a", "running", "wait", datetime(2024, 2, 29).isoformat()))

    assert as_json(0, [good])["ok"] is True
    assert as_json(0, [])["ok"] is True
    assert as_json(0, [good, held])["ok"] is False
    assert [pair["ok"] for pair in as_json(0, [good, held])["pairs"]] == [True, False]


@pytest.mark.parametrize(
    "left",
    [
        {"conflicts": [Conflict(PROJECT, "a", ("version",))]},
        {"held": [Held(PROJECT, "a", "running", "wait")]},
        {"failed": [Failure(PROJECT, "a", "left", "torn")]},
    ],
    ids=["conflict", "hold", "failure"],
)
def test_report_with_something_left_is_not_ok(left):
    """A conflict, a hold or a failure each wait for a person or for a later cycle."""
    assert not PairReport("pair", SideReport("l"), SideReport("r"), **left).ok


def test_blank_reports_share_nothing():
    """What is noted in one report is not in the next one."""
    one, other = blank("one", Both("l", "r")), blank("other", Both("l", "r"))

    one.failed.append(Failure(PROJECT, "a", "left", "torn"))
    one.projects.append(PROJECT)
    one.side(Side.LEFT).created += 1

    assert (other.failed, other.projects, other.left.created, one.left.created) == ([], [], 0, 1)


def test_swapped_report_names_the_sides_the_other_way_round():
    """A pair that is named the other way round reads as if it had been synced so."""
    report = PairReport(
        "pair",
        SideReport("one", created=1),
        SideReport("other", deleted=2),
        failed=[Failure(PROJECT, "a", "left", "torn")],
        in_sync=3,
    )

    swapped = report.swapped

    assert (swapped.left, swapped.right) == (report.right, report.left)
    assert (swapped.failed, swapped.in_sync) == ([Failure(PROJECT, "a", "right", "torn")], 3)
    assert swapped.swapped == report


async def test_words_of_a_swapped_report_name_the_sides_that_the_person_named(tmp_path):
    """What a report says in words fits the sides that it shows."""
    left = RefusingStore("one")
    world = await World(tmp_path, left, TestStore("other")).synced(record("kept"))
    left.refused = frozenset({"refused"})
    world.right.put(PROJECT, record("refused"))
    left.records.clear()

    report = (await world.cycle()).swapped

    (failure,), (held,) = report.failed, report.held
    assert failure.side == "right"
    assert "left" not in failure.error
    assert ("right" in held.reason, "left" in held.reason) == (True, False)
    assert held.next.index("right") < held.next.index("left")


def test_answer_about_a_record_is_turned_but_for_what_is_in_it():
    """Its fields are of a side; what they hold may bear any name."""
    shown = {
        "differing": ["reason"],
        "fields": {
            "reason": {"left": "the left one", "right": "the right one", "agreed": None},
            "launch_mode": {"left": ["Mode", {"side": "left", "left": 1}], "right": None, "agreed": None},
        },
    }

    assert turned(shown)["fields"] == {
        "reason": {"right": "the left one", "left": "the right one", "agreed": None},
        "launch_mode": {"right": ["Mode", {"side": "left", "left": 1}], "left": None, "agreed": None},
    }
    assert turned({"side": "left", "rule": "new on the left", "agreed": {"left": "a"}}) == {
        "side": "right",
        "rule": "new on the right",
        "agreed": {"right": "a"},
    }


def test_what_json_says_is_turned_round_whole():
    """Names, sides and sentences of ours; what a person wrote stays as it is."""
    said = {
        "left": "0123",
        "right": None,
        "agreed": {"left": "01", "right": "23"},
        "rule": "changed on the left",
        "next": "the next cycle brings it to the right",
        "label": "the left one",
        "history": [{"side": "left", "reason": "new on the right", "cycle": 3}],
    }

    found = turned(said)

    assert found == {
        "right": "0123",
        "left": None,
        "agreed": {"right": "01", "left": "23"},
        "rule": "changed on the right",
        "next": "the next cycle brings it to the left",
        "label": "the left one",
        "history": [{"side": "right", "reason": "new on the left", "cycle": 3}],
    }
    assert turned(found) == said


async def test_report_says_whether_anything_was_written(tmp_path):
    """On either side."""
    world = World(tmp_path)
    world.right.put(PROJECT, record("new"))

    assert [(await world.cycle()).moved, (await world.cycle()).moved] == [True, False]
