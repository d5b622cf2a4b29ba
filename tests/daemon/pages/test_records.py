"""The records of the pairs on the daemon's pages: searched, shown, compared, with what both sides have."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.build import OUTPUT, PROJECT, commented, record
from tests.daemon.pages.visitor import Seen, Visitor, address
from tests.daemon.process import DaemonProcess, synced
from tests.daemon.sqlite_stores import held, write

TABLE = {"pair": "pair", "name": PROJECT}


def complete(visitor: Visitor, path: str) -> Seen:
    """Return the page at *path* as soon as the index behind it has every record."""
    deadline = time.monotonic() + 20
    while True:
        seen = visitor.get(path)
        if "be missing below" not in seen.page:
            return seen
        assert time.monotonic() < deadline, seen.text


def indexes(daemon: DaemonProcess) -> int:
    """Return how many search indexes *daemon* has."""
    return len([*(daemon.state / "pages").glob("[!.]*.sqlite")])


def test_projects_are_listed_with_the_records_of_each_side(guest: Visitor) -> None:
    """Without a search index: nobody has searched yet."""
    seen = guest.get("/projects")

    assert f"{PROJECT} pair 33 33" in seen.text
    assert address("/project", **TABLE).replace("&", "&amp;") in seen.page


def test_record_is_found_by_a_word(guest: Visitor) -> None:
    """The table of all records, and of those that match."""
    assert "33 records" in complete(guest, address("/project", **TABLE)).text

    seen = complete(guest, address("/project", **TABLE, q="run-07"))

    assert "1 record found." in seen.text
    assert address("/record", project=PROJECT, label="run-07", pair="pair").replace("&", "&amp;") in seen.page


def test_record_says_on_which_sides_it_is(guest: Visitor) -> None:
    """When both agreed, what smtd wrote, and what applies now; then all that the record says."""
    seen = guest.get(address("/record", project=PROJECT, label="run-07", pair="pair"))

    assert "On both sides of pair Left has it Right has it Last agreed 20" in seen.text
    assert "smtd wrote Cycle 1" in seen.text
    assert "created on the right" in seen.text
    assert "dt = 0.2" in seen.text


def test_record_with_a_conflict_says_so(guest: Visitor) -> None:
    """And leads to the page that compares both sides."""
    seen = guest.get(address("/record", project=PROJECT, label="a1", pair="pair"))

    assert "Right has it, with another content" in seen.text
    assert "Last agreed never" in seen.text
    assert "Both sides field by field" in seen.text


def test_other_pages_of_records_are_there(guest: Visitor) -> None:
    """Comparison, parameters side by side, files, and long texts whole."""
    complete(guest, address("/project", **TABLE))
    compared = guest.get(f"{address('/compare', pair='pair', project=PROJECT)}&label=run-01&label=a1")
    assert "What differs between 2 records" in compared.text

    sweep = guest.get(address("/parameters", pair="pair", project=PROJECT))
    assert "33 runs of main.py" in sweep.text
    assert "The same in all runs of this page seed 1" in sweep.text
    assert "made it" in guest.get(address("/data", path=OUTPUT.path)).text
    text = guest.get(address("/record/text", pair="pair", project=PROJECT, label="run-01", part="parameters"))
    assert text.page == "seed = 1"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (address("/project", pair="none", name=PROJECT), 404),
        (address("/project", pair="pair", name="none"), 404),
        (address("/record", pair="pair", project=PROJECT, label="none"), 404),
        (address("/record", pair="pair", project=PROJECT), 400),
        (address("/record/text", pair="pair", project=PROJECT, label="run-01", part="none"), 404),
    ],
)
def test_what_is_not_there_is_said(guest: Visitor, path: str, status: int) -> None:
    """On a page, with what to do."""
    seen = guest.get(path)

    assert seen.status == status
    assert "bug" not in seen.text


def test_chosen_columns_lead_back_to_the_project(guest: Visitor) -> None:
    """Of the same pair, with a notice."""
    seen = guest.post(
        "/project/columns", ("pair", "pair"), ("project", PROJECT), ("column", "user"), ("column", "at")
    )

    assert "The columns are chosen" in seen.text
    assert "33 records" in complete(guest, address("/project", **TABLE)).text


def test_table_follows_what_smtd_sees(daemon: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """New, edited and deleted records; the index is made by the first page that needs it."""
    visitor.get("/projects")
    assert indexes(daemon) == 0
    assert "33 records" in complete(visitor, address("/project", **TABLE)).text
    assert indexes(daemon) == 1

    write(left, record("new", outcome="diverged"), commented(held(left)["run-03"], "curious"))
    write(left, deleted=["run-04"])
    daemon.wait_event(lambda event: synced(event) and event["right"]["deleted"] > 0)

    assert "33 records" in complete(visitor, address("/project", **TABLE)).text
    assert "new" in complete(visitor, address("/project", **TABLE, q="diverged")).text
    assert "run-03" in complete(visitor, address("/project", **TABLE, q="curious")).text
    assert "No record matches." in complete(visitor, address("/project", **TABLE, q="run-04")).text


def test_records_are_shown_while_a_store_is_away(daemon: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """The record as the other side has it, and a table that says what it lacks."""
    complete(visitor, address("/project", **TABLE))
    left.rename(left.with_name("away"))
    daemon.wait_event(lambda event: event["event"] == "offline")

    seen = visitor.get(address("/record", project=PROJECT, label="run-07", pair="pair"))

    assert seen.status == 200
    assert "smtd cannot look at both stores now" in seen.text
    assert "dt = 0.2" in seen.text
    assert "1 record found." in visitor.get(address("/project", **TABLE, q="run-07")).text


def test_index_of_a_removed_pair_goes(daemon: DaemonProcess, visitor: Visitor, tmp_path: Path) -> None:
    """When the next one is made."""
    third = tmp_path / "third.sqlite"
    daemon.ctl("pair", "add", "more", str(tmp_path / "left.sqlite"), str(third))
    daemon.wait_event(lambda event: synced(event) and event["pair"] == "more")
    assert "33 records" in complete(visitor, address("/project", name=PROJECT, pair="more")).text
    assert "In the records of more . Look in those of pair ." in visitor.get("/data?pair=more").text
    daemon.ctl("pair", "remove", "more")

    complete(visitor, address("/project", **TABLE))

    assert indexes(daemon) == 1
    assert visitor.get(address("/project", name=PROJECT, pair="more")).status == 404
