"""What `--json` prints: the keys of the contract, in its order, and the sides in the order of the reader."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smtd.engine.report import (
    Conflict,
    Held,
    Hold,
    PairReport,
    PlannedAction,
    SideReport,
    empty_report,
    failure,
)
from smtd.journal.history import HistoryEntry
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Both, Side
from smtd.output import shapes
from tests.build import PROJECT, key


@pytest.fixture
def report() -> PairReport:
    """Return the report of a plan that leaves something of each kind undone."""
    new = because(Code.NEW, Side.LEFT)
    return PairReport(
        "lab",
        SideReport("one", created=1),
        SideReport("other", deleted=2),
        [PROJECT],
        3,
        [Conflict(PROJECT, "a", ("version", "diff"))],
        [Held(PROJECT, "b", Hold.DELETION, because(Code.ALL_GONE, Side.RIGHT))],
        [failure(key("c"), Side.RIGHT, because(Code.REFUSED, Side.RIGHT, "too long"))],
        plan="1f",
        actions=[PlannedAction("create", PROJECT, "d", Side.RIGHT, new)],
    )


def running(label: str, until: str | None = None) -> Held:
    """Return the hold of a run that is not over."""
    return Held(PROJECT, label, Hold.RUNNING, because(Code.RUNNING), until)


def test_pair_has_the_shape_of_the_contract(report: PairReport) -> None:
    """Scripts find its keys, with values of its types."""
    found: dict[str, Any] = json.loads(json.dumps(shapes.pair(report)))

    assert list(found) == [
        *("pair", "ok", "projects", "in_sync", "left", "right", "conflicts", "held", "failed"),
        *("plan", "actions"),
    ]
    assert (found["pair"], found["ok"], found["projects"], found["in_sync"]) == ("lab", False, [PROJECT], 3)
    assert found["left"] == {
        "location": "one",
        "created": 1,
        "updated": 0,
        "deleted": 0,
        "read_only": "",
        "records": 0,
    }
    assert found["conflicts"] == [{"project": PROJECT, "label": "a", "fields": ["version", "diff"]}]
    (held,) = found["held"]
    assert list(held) == ["project", "label", "reason", "next", "until", "kind", "code"]
    assert (held["kind"], held["code"], held["until"]) == ("deletion", "all gone", None)
    assert found["failed"] == [
        {
            "project": PROJECT,
            "label": "c",
            "side": "right",
            "error": "the right store cannot hold it: too long",
            "code": "refused",
        }
    ]
    assert found["actions"] == [
        {
            "action": "create",
            "project": PROJECT,
            "label": "d",
            "side": "right",
            "reason": "new on the left",
            "code": "new",
        }
    ]


def test_records_that_wait_are_counted_by_reason(report: PairReport) -> None:
    """Most first, each with the earliest time at which smtd releases one itself."""
    report.held += [
        running("d", "2026-11-25T13:00:00+00:00"),
        running("e", "2026-11-25T12:00:00+00:00"),
        running("f"),
    ]

    conflict, deletion = {"kind": "conflict", "records": 1}, {"kind": "deletion", "records": 1}
    first, *others = shapes.waiting(report)

    assert first == {
        "kind": "running",
        "records": 3,
        "reason": "running",
        "until": "2026-11-25T12:00:00+00:00",
        "code": "running",
    }
    assert others == [
        {**conflict, "reason": "both sides changed version, diff", "until": None, "code": "both changed"},
        {**deletion, "reason": others[1]["reason"], "until": None, "code": "all gone"},
    ]


def test_sides_are_named_as_the_reader_names_them(report: PairReport) -> None:
    """A reader that names the stores the other way round gets a report in that order."""
    found = shapes.pair(report, mirrored=True)

    assert (found["left"]["location"], found["right"]["location"]) == ("other", "one")
    assert found["held"][0]["reason"].startswith(
        "deletion held: all earlier records are gone from the left store"
    )
    assert found["held"][0]["next"].startswith(
        "to keep it, bring the left store back, comment on it in the right"
    )
    assert (found["failed"][0]["side"], found["failed"][0]["error"]) == (
        "left",
        "the left store cannot hold it: too long",
    )
    assert (found["actions"][0]["side"], found["actions"][0]["reason"]) == ("left", "new on the right")


def test_history_names_the_sides_as_the_reader_does() -> None:
    """In the side of an entry, and in its reason."""
    why = because(Code.CHANGED, Side.RIGHT)
    entry = HistoryEntry(1, 1, 8, "2026-11-25", Side.LEFT, key("a"), "update", why, b"1", b"2", True)

    straight, mirrored = shapes.entry(entry, "lab"), shapes.entry(entry, "lab", mirrored=True)

    assert (straight["side"], straight["reason"]) == ("left", "changed on the right")
    assert (mirrored["side"], mirrored["reason"]) == ("right", "changed on the left")


def test_sync_is_ok_if_all_pairs_are() -> None:
    """One pair with something left undone makes the whole run not ok."""
    good, held = (empty_report(name, Both("l", "r")) for name in ("good", "held"))
    held.held.append(running("a"))

    assert shapes.sync(0.41234, [shapes.pair(good)])["ok"] is True
    assert shapes.sync(0, [])["ok"] is True
    both = shapes.sync(0.41234, [shapes.pair(good), shapes.pair(held)])
    assert (both["ok"], both["seconds"]) == (False, 0.412)
    assert [pair["ok"] for pair in both["pairs"]] == [True, False]
