"""The way of a person through the records of a server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from smtd.records.record import Parameters
from tests.build import MOMENT, OUTPUT, full, record, tagged
from tests.web.filling import Filler
from tests.web.person import Person, person

Visitor = Callable[..., AbstractContextManager[Person]]
#: Records of the project, in the order in which they were run.
MANY = 120


@pytest.fixture(scope="module")
def sweep(ada: Filler, browser: Browser, session: list[Any]) -> Filler:
    """A project with many records, of which one has a word in its outcome that no other has."""
    ada.make("Sweep", name="Rates of a network", description="What the rate depends on.")
    ada.put_all(
        (
            full(
                f"run-{number:03}",
                timestamp=MOMENT + timedelta(minutes=number),
                outcome="bistable" if number == 37 else "settled",
                parameters=Parameters("SimpleParameterSet", f"tau = {number / 10}\nseed = 1"),
            )
            for number in range(MANY)
        ),
        "Sweep",
    )
    with person(browser, ada.root, cookies=session) as first:
        first.open("/project?name=Sweep")
    return ada


@pytest.fixture
def reader(visitor: Visitor) -> AbstractContextManager[Person]:
    """Somebody who may read everything and write nothing, not yet logged in."""
    return visitor()


def test_one_of_many_is_found_by_a_word_in_its_outcome(sweep: Filler, someone: Person) -> None:
    """From the first page to the record, by what a person remembers of it."""
    someone.open("/")
    someone.click("Rates of a network")
    someone.page.get_by_label("Search in label").fill("bista")
    someone.click("Search", "button")

    expect(someone.page.get_by_text("1 record found.")).to_be_visible()
    someone.click("run-037")

    assert someone.heading == "run-037"
    assert "tau" in someone.text
    assert "dt = 0.2" in someone.text


def test_pages_of_the_table_lead_on_and_back(sweep: Filler, someone: Person) -> None:
    """Newest first, fifty at a time."""
    someone.open("/project?name=Sweep")
    rows = someone.page.locator("tbody th a")

    expect(rows.first).to_have_text("run-119")
    someone.click("Next page")
    expect(rows.first).to_have_text("run-069")
    someone.click("Next page")
    expect(rows).to_have_count(MANY - 100)
    someone.click("Previous page")
    expect(rows.first).to_have_text("run-069")


def test_search_that_finds_nothing_says_what_to_do(sweep: Filler, someone: Person) -> None:
    """With a way back to all records."""
    someone.open("/project?name=Sweep&q=nowhere")

    assert "No record matches." in someone.text
    someone.click("show all records")
    assert "120 records." in someone.text


def test_chosen_columns_are_kept(sweep: Filler, someone: Person) -> None:
    """In this browser, for all projects."""
    someone.open("/project?name=Sweep")
    someone.page.get_by_text("Columns", exact=True).click()
    someone.page.get_by_label("User").check()
    someone.page.get_by_label("Duration").uncheck()
    someone.click("Show these columns", "button")

    someone.open("/project?name=Sweep&q=bistable")

    heads = someone.page.locator("thead").inner_text()
    assert "User" in heads
    assert "Duration" not in heads


def test_two_records_are_compared(sweep: Filler, someone: Person) -> None:
    """What differs is there, and nothing else."""
    someone.open("/project?name=Sweep&sort=label")
    someone.page.get_by_label("Compare run-036").check()
    someone.page.get_by_label("Compare run-037").check()
    someone.click("Compare the marked records", "button")

    assert someone.heading == "What differs between 2 records"
    assert "bistable" in someone.text
    assert "tau" in someone.text
    assert "seed" not in someone.text


def test_parameters_stand_side_by_side(sweep: Filler, someone: Person) -> None:
    """Those that differ are columns that sort; the others are said once."""
    someone.open("/project?name=Sweep")
    someone.click("Parameters side by side")
    someone.page.get_by_role("columnheader", name="tau").get_by_role("link").click()

    rows = someone.page.locator("tbody th a")
    expect(rows.first).to_have_text("run-000")
    assert "The same in all runs of this page" in someone.text
    expect(someone.page.locator("dl.facts dt")).to_have_text(["seed"])


def test_file_leads_to_the_records_that_made_it(sweep: Filler, someone: Person) -> None:
    """From the page of a record, or by its name."""
    someone.open("/record?project=Sweep&label=run-001")
    someone.click(OUTPUT.path)
    expect(someone.page.get_by_text("made it").first).to_be_visible()

    someone.open("/data?path=result.csv")

    someone.click(OUTPUT.path)
    expect(someone.page.get_by_role("link", name="run-119")).to_be_visible()


def test_edits_of_two_people_both_survive(ada: Filler, someone: Person) -> None:
    """One adds a tag by the page while another adds one with smt."""
    ada.make("Edited")
    ada.put(tagged(record("run"), "old"), "Edited")
    someone.open("/record?project=Edited&label=run")
    someone.click("Edit reason, outcome and tags")
    someone.page.get_by_label("Tags").fill("old, mine")

    ada.annotate("run", "Edited", tags=["_finished_", "old", "theirs"])
    someone.click("Save", "button")

    expect(someone.page.locator(".notice")).to_contain_text("together with what somebody else changed")
    expect(someone.page.locator("dd .tag")).to_have_text(["mine", "old", "theirs"])
    expect(someone.page.locator("dd .status")).to_have_text("finished")


def test_edits_of_one_text_are_shown_to_the_person(ada: Filler, someone: Person) -> None:
    """Both texts, and nothing is saved until they have decided."""
    ada.make("Disputed")
    ada.put(record("run", outcome="first"), "Disputed")
    someone.open("/record/edit?project=Disputed&label=run")
    someone.page.get_by_label("Outcome").fill("mine")

    ada.annotate("run", "Disputed", outcome="theirs")
    someone.click("Save", "button")

    assert "Somebody else changed this meanwhile" in someone.text
    expect(someone.page.locator(".problem pre")).to_have_text("theirs")
    expect(someone.page.get_by_label("Outcome")).to_have_value("mine")
    someone.page.get_by_label("Outcome").fill("mine and theirs")
    someone.click("Save", "button")
    expect(someone.page.get_by_text("mine and theirs")).to_be_visible()


def test_deletion_names_what_goes_and_asks_again_if_it_changed(ada: Filler, someone: Person) -> None:
    """The second click deletes only what the question showed."""
    ada.make("Doomed")
    ada.put(full("run", reason="no longer needed"), "Doomed")
    someone.open("/record?project=Doomed&label=run")
    someone.click("Delete…")
    assert "no longer needed" in someone.text
    assert "Data files stay where they are" in someone.text

    ada.annotate("run", "Doomed", outcome="needed after all")
    someone.click("Delete this record", "button")
    assert "it was not deleted" in someone.text
    assert "needed after all" in someone.text
    someone.click("Delete this record", "button")

    expect(someone.page.get_by_role("status")).to_have_text("The record is deleted.")
    assert "This project has no records yet." in someone.text


def test_name_and_description_of_a_project_are_edited(ada: Filler, someone: Person) -> None:
    """By who may write there."""
    ada.make("Named", name="old")
    someone.open("/project?name=Named")
    someone.click("Edit name and description")
    someone.page.get_by_label("Name").fill("new")
    someone.page.get_by_label("Description").fill("two\nlines")
    someone.click("Save", "button")

    assert someone.heading == "new"
    assert "two\nlines" in someone.text


def test_reader_sees_no_buttons_and_is_refused(
    sweep: Filler, visitor: Visitor, someone: Person, reader: AbstractContextManager[Person]
) -> None:
    """Also when they send what the form of somebody else would."""
    with reader as bystander:
        bystander.log_in("reader")
        bystander.open("/record?project=Sweep&label=run-001")
        main = bystander.page.locator("main")
        expect(main.get_by_role("link", name="Delete…")).to_have_count(0)
        expect(main.get_by_role("link", name="Edit reason, outcome and tags")).to_have_count(0)
        token = bystander.page.locator("input[name=token]").first.input_value()
        for path in ("record/edit", "record/delete", "project/edit"):
            fields: dict[str, str | float | bool] = {
                "token": token,
                "project": "Sweep",
                "label": "run-001",
                "digest": "1-a",
                "outcome": "x",
            }
            answer = bystander.page.request.post(f"{bystander.root}{path}", form=fields)
            assert answer.status == 403, path
            assert bystander.open(f"{path}?project=Sweep&label=run-001") == 403

    assert someone.open("/record?project=Sweep&label=run-001") == 200


def test_stranger_sees_neither_project_nor_record(sweep: Filler, visitor: Visitor) -> None:
    """Not in a list, not by its address, and not among those who used a file."""
    with visitor() as stranger:
        stranger.log_in("bob")
        assert "There is no project that you may read." in stranger.text
        for path in ("project?name=Sweep", "record?project=Sweep&label=run-001", "parameters?project=Sweep"):
            assert stranger.open(path) == 403, path
        stranger.open("/data?path=result.csv")
        assert "No record that you may read knows this file." in stranger.text


def test_everything_works_without_scripts(sweep: Filler, visitor: Visitor) -> None:
    """Searching, reading and editing."""
    with visitor(scripts=False) as plain:
        plain.log_in("ada")
        plain.click("Rates of a network")
        plain.page.get_by_label("Search in label").fill("bistable")
        plain.click("Search", "button")
        plain.click("run-037")
        plain.click("Edit reason, outcome and tags")
        plain.page.get_by_label("Reason").fill("without scripts")
        plain.click("Save", "button")

        assert "without scripts" in plain.text


def test_keyboard_alone_is_enough(sweep: Filler, someone: Person) -> None:
    """To skip to the content, to search, and to open what was found."""
    someone.open("/project?name=Sweep")
    keyboard = someone.page.keyboard
    keyboard.press("Tab")
    expect(someone.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keyboard.press("Enter")
    someone.page.get_by_label("Search in label").focus()
    keyboard.type("bistable")
    keyboard.press("Enter")
    expect(someone.page.get_by_text("1 record found.")).to_be_visible()
    someone.page.get_by_role("link", name="run-037").focus()
    keyboard.press("Enter")

    expect(someone.page.get_by_role("heading", level=1)).to_have_text("run-037")
