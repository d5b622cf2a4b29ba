"""Deciding conflicts and held deletions on the pages, by HTTP; real stores, a real daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

import smtd
from tests.build import PROJECT, change, commented, full, tagged
from tests.daemon.pages.visitor import Visitor, address, keys
from tests.daemon.process import DaemonProcess, wait_until
from tests.daemon.sqlite_stores import held, labels, write

GONE = [f"run-{number:02}" for number in range(25)]


def versions(store: Path, *names: str) -> list[str | None]:
    """Return the versions of the records *names* in *store*."""
    records = held(store)
    return [records[name].version for name in names]


@pytest.fixture
def emptied(daemon: DaemonProcess, left: Path) -> DaemonProcess:
    """The daemon, after 25 of 30 records disappeared from the left store."""
    write(left, deleted=GONE)
    daemon.wait_event(lambda event: event.get("held") == 25)
    return daemon


def test_conflict_is_resolved_with_its_ancestor_in_view(
    daemon: DaemonProcess, visitor: Visitor, left: Path, right: Path
) -> None:
    """Each side beside what both last agreed on; then what will happen; then it happens."""
    daemon.ctl("pause", "pair")
    run = full("run-03", outcome="converged")
    write(left, change(run, version="left-version"))
    write(right, change(run, version="right-version"))
    daemon.sync()
    of_run = {"pair": "pair", "project": PROJECT, "label": "run-03"}

    shown = visitor.get(address("/decide/record", **of_run))
    assert f"<footer><p>smtd {smtd.__version__}</p>" in shown.page
    row = shown.text.partition("What differs Field Left Last agreed Right version")[2].partition("The other")[
        0
    ]
    assert row.split() == [
        "\N{MINUS SIGN}",
        run.version,
        "+",
        "left-version",
        run.version,
        "\N{MINUS SIGN}",
        run.version,
        "+",
        "right-version",
    ]
    reviewed = visitor.post(
        "/decide/review",
        ("pair", "pair"),
        ("kind", "conflict"),
        ("choice", "right"),
        *keys((PROJECT, "run-03")),
    )
    assert "1 record: the left store gets what the right one has." in reviewed.text
    assert "run-03 MyProject is overwritten on the left" in reviewed.text
    assert versions(left, "run-03") == ["left-version"]  # nothing is done yet

    done = decide(visitor, reviewed.hidden("plan"), "conflict", "right", "run-03")

    assert done.text.startswith("Decided. Synced: 1 updated. 3 records still wait.")
    assert versions(left, "run-03") == versions(right, "run-03") == ["right-version"]


def decide(visitor: Visitor, plan: str, kind: str, choice: str, *names: str):
    """Confirm a decision about the records *names*; none means all."""
    chosen = keys(*[(PROJECT, name) for name in names]) or [("all", "yes")]
    fields = [("pair", "pair"), ("kind", kind), ("choice", choice), ("plan", plan)]
    return visitor.post("/decide/apply", *fields, *chosen)


def review(visitor: Visitor, kind: str, choice: str, *names: str):
    """Ask what a decision would do."""
    chosen = keys(*[(PROJECT, name) for name in names]) or [("all", "yes")]
    return visitor.post("/decide/review", ("pair", "pair"), ("kind", kind), ("choice", choice), *chosen)


def test_many_conflicts_are_resolved_at_once(visitor: Visitor, left: Path, right: Path) -> None:
    """Some of them, and then all the others."""
    some = review(visitor, "conflict", "both", "a1", "b")
    assert decide(visitor, some.hidden("plan"), "conflict", "both", "a1", "b").status == 200
    rest = review(visitor, "conflict", "left")
    done = decide(visitor, rest.hidden("plan"), "conflict", "left")

    assert "2 records: both stores keep both, the right one under another label." in some.text
    assert "Nothing waits for a decision." in done.text
    names = ("a1", "a1-2", "a2", "b", "b-2")
    assert versions(left, *names) == versions(right, *names) == ["1111", "2222", "1111", "1111", "2222"]


def test_decision_about_something_that_has_changed_is_shown_again(
    daemon: DaemonProcess, visitor: Visitor, left: Path, right: Path
) -> None:
    """Nothing is done; the second time the person knows what they decide."""
    daemon.ctl("pause", "pair")
    first = review(visitor, "conflict", "left", "a1")
    write(left, tagged(held(left)["a1"], "better"))

    refused = decide(visitor, first.hidden("plan"), "conflict", "left", "a1")

    assert refused.status == 409
    assert "The records have changed since you looked. Nothing was done." in refused.text
    assert versions(right, "a1") == ["2222"]
    assert refused.hidden("plan") != first.hidden("plan")
    assert decide(visitor, refused.hidden("plan"), "conflict", "left", "a1").status == 200
    assert "better" in held(right)["a1"].tags


def test_decision_that_is_sent_twice_is_made_once(
    daemon: DaemonProcess, visitor: Visitor, right: Path
) -> None:
    """The second time nothing waits any more."""
    plan = review(visitor, "conflict", "left", "a1").hidden("plan")

    first = decide(visitor, plan, "conflict", "left", "a1")
    second = decide(visitor, plan, "conflict", "left", "a1")

    assert first.text.startswith("Decided. Synced: 1 updated.")
    assert second.text.startswith("Nothing was done: no conflict matches")
    assert [each["label"] for each in daemon.ctl("history", "--label", "a1", "--json").json["history"]] == [
        "a1"
    ]


def test_held_deletions_are_rejected(emptied: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """Some, and then all: the records come back."""
    listed = visitor.get("/decide")
    assert "Held deletions of pair 25" in listed.text
    assert "Show all 25" in listed.text

    some = review(visitor, "deletion", "reject", "run-00", "run-01")
    assert "2 deletions: the records come back where they disappeared." in some.text
    done = decide(visitor, some.hidden("plan"), "deletion", "reject", "run-00", "run-01")
    assert "Held deletions of pair 23" in done.text
    assert labels(left) >= {"run-00", "run-01"}
    assert not labels(left) & set(GONE[2:])

    every = review(visitor, "deletion", "reject")
    decide(visitor, every.hidden("plan"), "deletion", "reject")

    assert labels(left) >= set(GONE)
    assert emptied.status()["held"] == 0


def test_held_deletions_are_approved(emptied: DaemonProcess, visitor: Visitor, right: Path) -> None:
    """Only behind the page that says what will be deleted."""
    seen = review(visitor, "deletion", "approve", "run-05")

    assert "1 deletion: the records are deleted from the other store, too." in seen.text
    assert "run-05 MyProject is deleted on the right" in seen.text
    assert "run-05" in labels(right)
    decide(visitor, seen.hidden("plan"), "deletion", "approve", "run-05")
    assert "run-05" not in labels(right)
    assert "run-06" in labels(right)


def test_long_group_has_pages(emptied: DaemonProcess, visitor: Visitor) -> None:
    """Each says which records follow."""
    first = visitor.get(address("/decide", pair="pair", kind="deletion"))
    after = keys((PROJECT, "run-22"))[0][1]
    last = visitor.get(address("/decide", pair="pair", kind="deletion", after=after))

    assert "Deletion held: 25 of 30 records disappeared from the left store within minutes." in first.text
    assert first.page.count('name="key"') == 25
    assert "run-22" not in last.text
    assert last.page.count('name="key"') == 2


def test_form_without_a_record_says_so(visitor: Visitor) -> None:
    """Above the records, which are still there."""
    answer = visitor.post("/decide/review", ("pair", "pair"), ("kind", "conflict"), ("choice", "left"))

    assert answer.status == 422
    assert "Choose at least one record. " in answer.text
    assert "Both sides changed version. Choose Record a1 MyProject a2" in answer.text


@pytest.mark.parametrize(
    ("kind", "choice", "pair", "status"),
    [
        ("conflict", "approve", "pair", 400),
        ("deletion", "left", "pair", 400),
        ("nothing", "left", "pair", 400),
        ("conflict", "left", "nobody", 404),
        ("deletion", "reject", "pair", 404),
    ],
)
def test_decision_that_is_not_possible_is_refused(
    guest: Visitor, kind: str, choice: str, pair: str, status: int
) -> None:
    """By a wrong address, or since somebody else was quicker."""
    answer = guest.post(
        "/decide/review", ("pair", pair), ("kind", kind), ("choice", choice), *keys((PROJECT, "a1"))
    )

    assert answer.status == status


def test_record_of_which_nobody_knows_is_no_page(guest: Visitor) -> None:
    """As for any wrong address."""
    answer = guest.get(address("/decide/record", pair="pair", project=PROJECT, label="nothing"))

    assert answer.status == 404
    assert "Neither side has MyProject/nothing" in answer.text


def test_records_that_an_undo_left_wait_for_a_side(
    daemon: DaemonProcess, visitor: Visitor, left: Path, right: Path
) -> None:
    """The choice of a side ends that."""
    write(left, commented(held(left)["run-07"], "a mistake"))
    daemon.wait_event(lambda event: event.get("right", {}).get("updated") == 1)
    daemon.ctl("undo", str(daemon.ctl("history", "--json").json["history"][0]["cycle"]))
    wait_until(lambda: daemon.status()["held_by_kind"] == {"undone": 1})

    assert "Records kept as they are of pair 1" in visitor.get("/decide").text
    seen = review(visitor, "undone", "right", "run-07")
    decide(visitor, seen.hidden("plan"), "undone", "right", "run-07")

    assert held(left)["run-07"].outcome == held(right)["run-07"].outcome == "converged"
    assert daemon.status()["held"] == 0
