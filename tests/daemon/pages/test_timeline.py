"""The history on the pages, by HTTP: cycles, their records, and undo with its dry run first."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from tests.build import PROJECT, commented, full, tagged
from tests.daemon.pages.visitor import Visitor, address
from tests.daemon.process import DaemonProcess
from tests.daemon.sqlite_stores import held, labels, put, write


def test_cycles_are_a_timeline(daemon: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """Newest first, each with what it wrote."""
    write(left, tagged(held(left)["run-00"], "figure"), deleted=["run-01"])
    daemon.wait_event(lambda event: event.get("right", {}).get("deleted") == 1)

    text = visitor.get("/history").text

    first, second = text.index("1 updated, 1 deleted on the right"), text.index("30 created on the right")
    assert first < second


def test_cycle_lists_its_records_page_by_page(daemon: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """A hundred on each page."""
    put(left, *[full(f"more-{number:03}") for number in range(130)])
    event = daemon.wait_event(lambda event: event.get("right", {}).get("created") == 130)
    assert event
    cycle = str(daemon.ctl("history", "--json", "--limit", "1").json["history"][0]["cycle"])

    first = visitor.get(address("/cycle", number=cycle))
    older = first.page.partition("before=")[2].partition('"')[0]
    second = visitor.get(address("/cycle", number=cycle, before=older))

    assert first.text.count("created on the right new on the left") == 100
    assert second.text.count("created on the right new on the left") == 30
    assert "More records" not in second.text


def test_cycle_is_undone_after_its_dry_run(
    daemon: DaemonProcess, visitor: Visitor, left: Path, right: Path
) -> None:
    """The dry run writes nothing; sent twice, the undo is done once."""
    asked = visitor.get("/undo?cycle=1")
    assert "run-00 MyProject is deleted on the right" in asked.text
    assert "run-00" in labels(right)

    done = visitor.post("/undo", ("cycle", "1"), ("plan", asked.hidden("plan")))
    again = visitor.post("/undo", ("cycle", "1"), ("plan", asked.hidden("plan")))

    assert done.text.startswith("Cycle 1 is undone: 30 records.")
    assert again.status == 409
    assert "There is nothing to undo." in again.text
    assert not labels(right) & {f"run-{number:02}" for number in range(30)}
    assert "run-00" in labels(left)


def test_undo_of_something_that_has_changed_is_shown_again(
    daemon: DaemonProcess, visitor: Visitor, left: Path, right: Path
) -> None:
    """And says which records stay as they are."""
    daemon.ctl("pause", "pair")
    asked = visitor.get("/undo?cycle=1")
    write(right, tagged(held(right)["run-00"], "used"))

    refused = visitor.post("/undo", ("cycle", "1"), ("plan", asked.hidden("plan")))

    assert refused.status == 409
    assert "The records have changed since you looked. Nothing was done." in refused.text
    assert "run-00 MyProject it has changed since" in refused.text
    assert "run-01" in labels(right)
    done = visitor.post("/undo", ("cycle", "1"), ("plan", refused.hidden("plan")))
    assert "29 records. 1 record had changed since and stayed as they are." in done.text


def test_record_is_restored_to_what_it_was_before_a_cycle(
    daemon: DaemonProcess, visitor: Visitor, left: Path, right: Path
) -> None:
    """From its page; what it would do comes first, and nothing is done if that has changed."""
    write(left, commented(held(left)["run-02"], "a mistake"))
    daemon.wait_event(lambda event: event.get("right", {}).get("updated") == 1)
    shown = visitor.get(address("/decide/record", pair="pair", project=PROJECT, label="run-02"))
    path = html.unescape(re.findall(r'href="(/restore[^"]*)"', shown.page)[0])

    asked = visitor.get(path)
    assert "Left is overwritten Right is overwritten" in asked.text
    fields = [(name, asked.hidden(name)) for name in ("pair", "key", "at", "plan")]
    write(right, tagged(held(right)["run-02"], "used"))
    daemon.wait_event(lambda event: event.get("left", {}).get("updated") == 1)
    refused = visitor.post("/restore", *fields)
    assert refused.status == 409
    assert "a mistake" in (held(left)["run-02"].outcome or "")
    fields[-1] = ("plan", refused.hidden("plan"))

    assert visitor.post("/restore", *fields).text.startswith("The record is restored.")
    assert held(left)["run-02"].outcome == held(right)["run-02"].outcome == "converged"
    again = visitor.post("/restore", *fields)
    assert "nothing to restore" in again.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/cycle?number=4711", 404),
        ("/cycle?number=x", 400),
        ("/cycle?number=-1", 400),
        ("/cycle", 400),
        ("/undo?cycle=4711", 404),
        ("/undo?cycle=99999999999999999999", 400),
        ("/restore?pair=pair&project=MyProject&label=run-00&at=noon", 404),
        ("/restore?pair=pair&project=MyProject&label=run-00", 400),
        ("/history?before=x", 400),
        ("/history?pair=nobody", 404),
        ("/history?before=1", 200),
    ],
)
def test_wrong_address_is_explained(guest: Visitor, path: str, status: int) -> None:
    """In a sentence, not as a bug."""
    answer = guest.get(path)

    assert answer.status == status
    assert "bug" not in answer.text
