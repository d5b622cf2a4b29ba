"""Which notifications a pair makes: one for each change of state."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from smtd.daemon.notice import FEW, MOST, WIDTH, Condition, Delivered, Notice, next_notice
from smtd.engine.report import Conflict, Held, Hold
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Side

NOW = "2026-01-31T12:00:00.000+00:00"
GUARD = because(Code.MANY_GONE, Side.LEFT, 30, 100)


def conflicts(*labels: str) -> list[Conflict]:
    return [Conflict("P", label, ("reason",)) for label in labels]


def holds(*labels: str, kind: Hold = Hold.DELETION, why: Reason = GUARD) -> list[Held]:
    return [Held("P", label, kind, why) for label in labels]


def condition(**facts: Any) -> Condition:
    return Condition("lab", **{"conflicts": [], "holds": [], **facts})


def told_of(*conditions: Condition, told: Delivered | None = None) -> list[Notice]:
    """Return all notifications while a pair is in these conditions, one after the other."""
    notices, known = [], Delivered() if told is None else told
    for now in conditions:
        while True:
            notice, known = next_notice(known, now, NOW)
            if notice is None:
                break
            notices.append(notice)
    return notices


def named(notice: Notice) -> tuple[str, list[object]]:
    return notice.event, [each["label"] for each in notice.records]


FINE = condition()
OFFLINE = condition(trouble="offline", problem="lab.sqlite is away; bring it back")
HALTED = condition(trouble="halted", problem="lab.sqlite is damaged; restore it")
UNKNOWN = Condition("lab", "offline", "away")
AB, ABC, B = (condition(conflicts=conflicts(*labels)) for labels in ("ab", "abc", "b"))


@pytest.mark.parametrize(
    ("conditions", "events"),
    [
        ([FINE, FINE], []),
        ([AB, AB, AB], [("conflict", ["a", "b"])]),
        ([AB, ABC], [("conflict", ["a", "b"]), ("conflict", ["c"])]),
        ([ABC, B, FINE], [("conflict", ["a", "b", "c"])]),
        ([AB, B, AB], [("conflict", ["a", "b"]), ("conflict", ["a"])]),
        ([condition(holds=holds("a"))] * 2, [("hold", ["a"])]),
        ([condition(conflicts=conflicts("a"), holds=holds("a"))], [("conflict", ["a"]), ("hold", ["a"])]),
        ([condition(holds=holds("a", kind=Hold.RUNNING, why=because(Code.RUNNING)))], []),
        ([OFFLINE, OFFLINE, FINE, FINE], [("offline", []), ("recovered", [])]),
        ([HALTED, HALTED, FINE], [("halted", []), ("recovered", [])]),
        ([OFFLINE, HALTED, OFFLINE], [("offline", []), ("halted", []), ("offline", [])]),
        ([AB, UNKNOWN, AB], [("conflict", ["a", "b"]), ("offline", []), ("recovered", [])]),
        ([AB, Condition("lab")], [("conflict", ["a", "b"])]),
    ],
    ids=str,
)  # fmt: skip
def test_each_change_makes_one_notification(
    conditions: list[Condition], events: list[tuple[str, list[str]]]
) -> None:
    """What is not known has not changed."""
    assert [named(notice) for notice in told_of(*conditions)] == events


def test_messages_say_what_is_wrong_and_what_to_do() -> None:
    """In one sentence."""
    found = told_of(condition(conflicts=conflicts("a"), holds=holds(*"abcde")), OFFLINE, HALTED, FINE)

    assert [notice.message for notice in found] == [
        "pair lab: 1 record is in conflict (P/a); see smtd conflicts lab",
        "pair lab: 5 records are held (P/a, P/b, P/c and 2 more); see smtd holds lab",
        "pair lab cannot reach a store: lab.sqlite is away; bring it back",
        "pair lab needs attention: lab.sqlite is damaged; restore it",
        "pair lab has recovered",
    ]


def test_json_of_a_notice_has_only_applicable_fields() -> None:
    """It is one object."""
    conflict, offline = told_of(AB, OFFLINE)

    assert msgspec.to_builtins(conflict) == {
        "event": "conflict",
        "pair": "lab",
        "at": NOW,
        "message": "pair lab: 2 records are in conflict (P/a, P/b); see smtd conflicts lab",
        "count": 2,
        "records": [{"project": "P", "label": label, "fields": ["reason"]} for label in "ab"],
    }
    assert msgspec.to_builtins(offline) == {
        "event": "offline",
        "pair": "lab",
        "at": NOW,
        "message": "pair lab cannot reach a store: lab.sqlite is away; bring it back",
        "problem": "lab.sqlite is away; bring it back",
    }


def test_notice_of_many_records_has_a_limited_size() -> None:
    """A mass deletion is one notice, which counts all records and names some."""
    (notice,) = told_of(condition(holds=holds(*(f"run-{n:04}" for n in range(5000)))))

    assert (notice.count, len(notice.records)) == (5000, MOST)
    assert f"and {5000 - FEW:,} more" in notice.message


def test_unprintable_characters_are_escaped() -> None:
    """A label may be anything; a message is one line, and JSON is Unicode."""
    (notice,) = told_of(condition(conflicts=[Conflict("P\n", "\udc80\0" + "x" * 1000, ("reason",))]))

    assert notice.message.isprintable()
    assert len(notice.message) < WIDTH + 100
    assert b"P\\\\n" in msgspec.json.encode(notice)
    assert rb"\\udc80\\x00xx" in msgspec.json.encode(notice)
