"""What the pages show, made from the daemon's answers: pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from smtd.cli.waiting import group_lines
from smtd.daemon.pages import decide_view, figures_view
from smtd.daemon.pages.decide_view import LineView, compared, key_of, value_of
from smtd.daemon.pages.mirror_view import all_needs, card, needs, summary
from smtd.daemon.status import PairStatus, Proven, SideStatus
from smtd.engine.report import Hold, Question
from smtd.records.record import Key

NOW = datetime(2026, 11, 30, 15, 20, tzinfo=timezone(timedelta(hours=1)))


def status(**changes: Any) -> dict[str, Any]:
    """Return the status of a pair that is in sync, with *changes*."""
    made = PairStatus("lab", "idle", SideStatus("/a", 3), SideStatus("https://b/", None), **changes)
    return dict(msgspec.to_builtins(made))


def explanation(**changes: Any) -> str:
    """Return the explanation on the card of a pair with this status."""
    return card({**status(), **changes}).explanation


# The first page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "In sync."),
        ({"conflicts": 1}, "In sync, except for what is listed above."),
        ({"state": "starting"}, "The first cycle has not ended yet."),
        ({"state": "scanning"}, "Looking for changes."),
        ({"state": "scanning", "total": 5000, "pending": 4000}, "Looking for changes: 1,000 of 5,000."),
        ({"state": "applying", "total": 7, "pending": 7}, "Carrying changes: 0 of 7."),
        ({"state": "applying", "total": 7, "pending": None}, "Carrying changes."),
        ({"state": "paused"}, "Paused: it syncs only when you say so."),
        ({"state": "offline"}, "A store cannot be reached. smtd tries again by itself."),
        (
            {"state": "offline", "pending": 2},
            "A store cannot be reached. smtd tries again by itself. 2 changes waiting.",
        ),
        ({"state": "halted"}, "It needs you."),
    ],
)
def test_state_of_a_pair_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert explanation(**changes) == sentence


def test_pair_that_is_in_sync_needs_nobody() -> None:
    """Nor does one with runs that are not over."""
    assert list(needs(status())) == []
    assert list(needs(status(held=2, held_by_kind={"running": 2}))) == []


def test_what_needs_a_person_most_comes_first() -> None:
    """Each with a link to where it is done; other pairs' urgent needs before this one's others."""
    one = status(conflicts=1, failed=2, held_by_kind={"deletion": 25, "undone": 1, "lost data": 1})
    other = {**status(proven=Proven(findings=1)), "pair": "other"}

    found = all_needs([one, other])

    assert [(need.pair, need.button, need.path) for need in found] == [
        ("lab", "Decide", "/decide"),
        ("lab", "Approve or reject", "/decide"),
        ("other", "See what to do", "/pair"),
        ("lab", "Choose", "/decide"),
        ("lab", "See which", "/decide"),
        ("lab", "See why", "/pair"),
    ]
    assert found[0].sentence == "1 record changed on both sides, and no rule can decide."
    assert found[1].sentence == "25 deletions held: it may be an accident."


def test_halted_pair_comes_with_its_problem() -> None:
    (need,) = needs({**status(), "state": "halted", "problem": "/a is damaged"})

    assert need.sentence == "It cannot sync: /a is damaged"


def test_card_tells_pairs_apart_whatever_their_names() -> None:
    """Its id in the page is plain."""
    first, second = card({**status(), "pair": "a'b \""}), card({**status(), "pair": "a'b"})

    assert first.part != second.part
    assert first.part.removeprefix("pair-").isalnum()


def test_card_of_an_offline_pair_says_when_smtd_tries_again() -> None:
    """That of any other does not."""
    due = "2026-11-30T14:21:00+00:00"

    offline, idle = card({**status(next_cycle=due), "state": "offline"}), card(status(next_cycle=due))

    assert offline.next_cycle == datetime.fromisoformat(due)
    assert idle.next_cycle is None


def test_summary_counts_both_stores() -> None:
    left, right = ({"created": 1, "updated": 0, "deleted": 0}, {"created": 2000, "updated": 3, "deleted": 0})
    report = {"errors": [], "pairs": [{"left": left, "right": right}]}

    assert summary(report) == "Synced: 2,001 created, 3 updated."
    assert summary({"errors": [], "pairs": []}) == "Synced: nothing to do."
    assert summary({"errors": [{"error": "b is offline; wait"}], "pairs": []}) == "B is offline; wait."


# Charts


def hour(at: str, changes: int = 1, p50: float | None = 0.2, left: int = 10) -> dict[str, Any]:
    """Return the figures of the hour that begins *at*."""
    lags = {"lag_p50": p50, "lag_p99": p50, "lag_max": p50}
    return {
        "at": at,
        "changes": changes,
        **lags,
        "left_records": left,
        "right_records": 9,
        "journal_bytes": 2000,
    }


def figures(*hours: dict[str, Any], p50: float | None = 0.2) -> dict[str, Any]:
    """Return the answer to `figures` for one pair."""
    return {"pair": "lab", "hours": list(hours), "last_day": {"lag_p50": p50, "lag_p99": p50, "lag_max": p50}}


def test_chart_of_the_lag_has_the_last_day() -> None:
    """In the hours of this machine; hours without changes are a gap."""
    chart = figures_view.of_day(
        figures(
            hour("2026-11-29T14:00:00+00:00"),
            hour("2026-11-29T15:00:00+00:00"),
            hour("2026-11-30T14:00:00+00:00"),
        ),
        NOW,
    )

    assert chart.summary == "Half of the changes (line) arrived within 0.2 s, 99 % (dashes) within 0.2 s."
    assert (">16:00</text>" in chart.drawing, ">15:20</text>" in chart.drawing) == (True, True)
    assert chart.drawing.count("h4") == 4  # two hours of one value each, on two lines


def test_charts_without_numbers_are_a_sentence() -> None:
    nothing = figures(p50=None)

    assert figures_view.of_day(nothing, NOW)[1:] == ("No change was carried in the last day.", "")
    assert figures_view.of_days(nothing, NOW)[1:] == ("No change in 31 days.", "")
    assert figures_view.of_month(nothing, NOW) == []


def test_changes_are_counted_by_the_days_of_this_machine() -> None:
    """An hour before midnight in UTC is the next day here."""
    chart = figures_view.of_days(
        figures(hour("2026-11-29T23:00:00+00:00", 4), hour("2026-11-29T22:00:00+00:00", 1)), NOW
    )

    assert chart.summary == "4 changes today, 5 in 31 days."
    assert chart.drawing.count("M") == 2 + 2  # bars and ticks


def test_number_of_records_stays_until_another_is_known() -> None:
    records, journal = figures_view.of_month(
        figures(hour("2026-09-01T00:00:00+00:00", left=3), hour("2026-11-20T00:00:00+00:00", left=1234)), NOW
    )

    assert records.summary == "1,234 left (line), 9 right (dashes)."
    assert records.drawing.count("L") == 2 * 30
    assert journal.summary == "2.0 kB, with the history of all pairs."


# Records side by side


def shown(left: Any, baseline: Any, right: Any, name: str = "outcome") -> dict[str, Any]:
    """Return the answer to `show` for a record with one field besides its time."""
    versions = {"left": left, "agreed": baseline, "right": right}
    return {
        "fields": {
            "timestamp": {side: "2024" if value != "-" else None for side, value in versions.items()},
            name: {side: None if value == "-" else value for side, value in versions.items()},
        }
    }


def test_lines_that_differ_from_the_ancestor_are_shown_so() -> None:
    """On both sides."""
    (row,) = compared(shown("one\nmine", "one\ntwo", "one\ntwo\nyours")).differing

    assert row.left.lines == [LineView("", "one"), LineView("del", "two"), LineView("ins", "mine")]
    assert row.baseline.lines == [LineView("", "one"), LineView("", "two")]
    assert row.right.lines == [LineView("", "one"), LineView("", "two"), LineView("ins", "yours")]


def test_fields_without_a_difference_are_apart() -> None:
    found = compared(shown("same", "same", "same"))

    assert (found.differing, [row.name for row in found.same]) == ([], ["timestamp", "outcome"])


def test_missing_versions_are_named() -> None:
    """Without an ancestor no line is shown as changed."""
    found = compared(shown("mine", "-", "yours"))

    assert found.missing == ["agreed"]
    assert found.differing[0].left.lines == [LineView("", "mine")]
    assert found.differing[0].baseline.lines is None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("parameters", ["SimpleParameterSet", "seed = 1"], "seed = 1"),
        ("tags", ["a", "b"], "a\nb"),
        ("executable", ["/bin/sh", None, "5", ""], "/bin/sh\n\n5\n"),
        ("launch_mode", ["Serial", {"a": "é"}], '[\n "Serial",\n {\n  "a": "é"\n }\n]'),
        ("duration", 1.5, "1.5"),
    ],
)
def test_values_are_texts_that_people_read(name: str, value: Any, text: str) -> None:
    (row,) = compared(shown(value, "-", "x", name)).differing

    assert row.left.lines is not None
    assert "\n".join(line.text for line in row.left.lines) == text


def test_large_value_is_cut_and_its_size_is_said() -> None:
    """What differs may be further down: then the page says that."""
    text = "x" * 5_000_000

    (row,) = compared(shown(f"{text}1", f"{text}2", f"{text}2")).differing

    assert row.left.size == 5_000_001
    assert row.left.is_below
    assert row.left.lines is not None
    assert sum(len(line.text) for line in row.left.lines) <= 12_000


def test_many_lines_that_are_alike_take_no_time() -> None:
    """Of a million lines only the first are compared."""
    (row,) = compared(shown("\n" * 1_000_000, "\n" * 999_999, "")).differing

    assert row.left.lines is not None
    assert len(row.left.lines) <= 60


def test_key_survives_a_browser() -> None:
    """Which changes line breaks, and sends bytes."""
    odd = Key("pro\njekt \u202e", "a\r\n\"'<>&\x00é")

    assert value_of(odd).isascii()
    assert value_of(odd).isprintable()
    assert key_of(value_of(odd)) == odd


@pytest.mark.parametrize("value", ["", "x", "[]", '["a"]', '["a", 1]', '{"a": "b"}', "[" * 100_000])
def test_value_that_is_no_key_is_none(value: str) -> None:
    assert key_of(value) is None


def test_holds_are_grouped_by_what_a_person_can_do() -> None:
    holds = [
        {"pair": "lab", "project": "p", "label": label, "kind": kind, "reason": "why", "next": "do"}
        for label, kind in enumerate(["deletion", "undone", "decided", "running", "lost write"])
    ]

    found = decide_view.groups([], holds)

    counts = {kind: len(records) for (_, kind), records in found.items()}
    assert counts == {"deletion": 1, "undone": 3, "other": 1}
    assert decide_view.group("lab", "undone", found["lab", "undone"]).why == "why"
    assert decide_view.group("lab", "other", found["lab", "other"]).why == ""
    assert decide_view.choices_of("other") == decide_view.choices_of("nothing") == ()


@pytest.mark.parametrize("kind", Hold, ids=lambda kind: kind.value)
def test_hold_that_a_person_can_decide_offers_its_choices_everywhere(kind: Hold) -> None:
    """On the command line, on the page Decide and on the first page; any other hold has no such choice."""
    hold = {"pair": "lab", "project": "P", "label": "a", "kind": kind.value, "reason": "why", "next": "step"}
    ((_, group),) = decide_view.groups([], [hold])
    buttons = {each.word for each in decide_view.choices_of(group)}
    verbs = {line.split()[1] for line in group_lines([hold], ["smtd"]) if line.startswith("    smtd ")}
    shown = {need.button for need in needs(status(held=1, held_by_kind={kind.value: 1}))}

    assert (buttons, verbs - {"sync"}, shown - {"See which"}) == {
        Question.SIDE: ({"left", "right", "both"}, {"resolve"}, {"Choose"}),
        Question.DELETION: ({"approve", "reject"}, {"deletes"}, {"Approve or reject"}),
        None: (set(), set(), set()),
    }[kind.question]
