"""The records of the pairs on the daemon's pages: searched, shown, compared, with what both sides have."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.build import OUTPUT, PROJECT, commented, record
from tests.daemon.pages.visitor import Seen, Visitor, address
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced
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
    assert "In sync: both sides hold the same record" in seen.text
    assert "dt = 0.2" in seen.text
    conflict = visitor.get(address("/record", project=PROJECT, label="a1", pair="pair"))
    assert "smtd cannot look at both stores now" in conflict.text
    assert "1 record found." in visitor.get(address("/project", **TABLE, q="run-07")).text


@pytest.mark.slow
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


def edited(visitor: Visitor, label: str, *fields: tuple[str, str]) -> Seen:
    """Send the form of the record *label*, as it is shown now, with *fields*; return what follows."""
    of = {"pair": "pair", "project": PROJECT, "label": label}
    form = visitor.get(address("/record/edit", **of))
    assert form.status == 200, form.text
    hidden = [(name, form.hidden(name)) for name in ("digest", "was_reason", "was_outcome", "was_tags")]
    return visitor.post("/record/edit", *of.items(), *hidden, *fields)


def test_edit_reaches_both_stores_and_can_be_undone(
    daemon: DaemonProcess, visitor: Visitor, left: Path, right: Path
) -> None:
    """At once, with the earlier record in the history."""
    complete(visitor, address("/project", **TABLE))
    before = held(left)["run-07"]

    seen = edited(visitor, "run-07", ("reason", "better"), ("outcome", "so it is"), ("tags", "a, b"))

    assert seen.text.startswith("The record is saved in both stores.")
    for store in (left, right):
        found = held(store)["run-07"]
        assert (found.reason, found.outcome) == ("better", "so it is")
        assert found.tags == {"_finished_", "a", "b"}
    assert "edited on a page of smtd" in seen.text
    assert "1 record found." in complete(visitor, address("/project", **TABLE, q="better")).text
    again = edited(visitor, "run-07", ("reason", "better"), ("outcome", "so it is"), ("tags", "b,a"))
    assert "Nothing was changed" in again.text

    cycle = visitor.get("/history").page.partition("/cycle?number=")[2].partition('"')[0]
    plan = visitor.get(f"/undo?cycle={cycle}").hidden("plan")
    visitor.post("/undo", ("cycle", cycle), ("plan", plan))
    assert held(left)["run-07"] == held(right)["run-07"] == before


@pytest.mark.slow
def test_two_edits_of_one_record(visitor: Visitor, left: Path, right: Path) -> None:
    """Of different fields both survive; of one text, the person decides."""
    of = {"pair": "pair", "project": PROJECT, "label": "run-08"}
    form = visitor.get(address("/record/edit", **of))
    hidden = [(name, form.hidden(name)) for name in ("digest", "was_reason", "was_outcome", "was_tags")]
    first = held(left)["run-08"]
    edited(visitor, "run-08", ("reason", first.reason or ""), ("outcome", "theirs"), ("tags", ""))

    fields = [("reason", "mine"), ("outcome", first.outcome or ""), ("tags", "")]
    merged = visitor.post("/record/edit", *of.items(), *hidden, *fields)
    assert "saved in both stores" in merged.text
    assert (held(right)["run-08"].reason, held(right)["run-08"].outcome) == ("mine", "theirs")

    refused = visitor.post("/record/edit", *of.items(), *hidden, ("reason", "other"), ("outcome", "mine"))
    assert refused.status == 409
    assert "Somebody else changed this meanwhile." in refused.text


def test_edit_of_what_the_sides_disagree_about_is_refused(guest: Visitor) -> None:
    """A conflict is decided first; nothing is written."""
    seen = edited(guest, "a1", ("reason", "mine"))

    assert seen.status == 409
    assert "The two stores differ in this record" in seen.text


@pytest.mark.slow
def test_pair_that_syncs_one_way_is_not_edited(tmp_path: Path, left: Path, right: Path) -> None:
    """There is no button, and the form is refused."""
    with daemon_process(tmp_path, pair_of(left, right, mode="left-to-right")) as daemon:
        daemon.wait_event(synced)
        visitor = Visitor(daemon)
        visitor.enter()
        of = {"pair": "pair", "project": PROJECT, "label": "run-07"}

        assert "Edit reason" not in visitor.get(address("/record", **of)).text
        assert visitor.get(address("/record/edit", **of)).status == 403
        assert visitor.post("/record/edit", *of.items()).status == 403
