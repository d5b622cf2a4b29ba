"""No page is larger than 100 kB, whatever the records say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from smtd.config import LONGEST_NAME
from smtd.records.record import DataKey, Dependency, Parameters, Platform
from smtd.server.pages.projects import ProjectRow
from smtd.web import templates
from smtd.web.records import columns, query, table
from smtd.web.records.catalog import PastWrite, Progress, ProjectHead, Sides
from smtd.web.records.columns import ALL, LABEL, chosen
from smtd.web.records.comparison import MOST, compared
from smtd.web.records.data_view import data_view
from smtd.web.records.entry import SHOWN, Row
from smtd.web.records.index import MOST_PATHS, MOST_USERS, FileUse, TablePage
from smtd.web.records.parameter_values import Parameter
from smtd.web.records.query import PAGE, RecordQuery
from smtd.web.records.record_view import record_view
from smtd.web.records.sweep import sweep
from smtd.web.templates import Templates, Visit
from tests.build import MOMENT, record

LARGEST = 100_000
#: What each address of the daemon has, for a pair with a long name.
PLACE = {"pair": "鬼" * LONGEST_NAME}
#: Texts that take more room in a page than in a record.
TEXTS = {"plain": "word ", "escaped": "&", "reversed": "\u202e", "wide": "鬼"}


@pytest.fixture(scope="module")
def site() -> Templates:
    return templates.load("/", (("/", "Projects"),))


def size(site: Templates, name: str, **values: Any) -> int:
    return len(site.page(name, Visit("/x", "ada", "t" * 64), **values).encode())


def large_row(text: str, number: int) -> Row:
    """Return a row with as much as the index keeps of a record."""
    long = (text * SHOWN)[:SHOWN]
    tags = json.dumps([f"{text}{each}" * 10 for each in range(100)])
    label = f"{number}{text * 90}"[:90]
    return Row(
        "Sweep", label, "2-a", "", 0.0, 1.0, "finished", long, long, tags, long, long, long, long, long
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_list_of_projects_is_small(site: Templates, text: str) -> None:
    """However long their descriptions are."""
    long = (text * 60_000)[:60_000]
    rows = [ProjectRow(f"P{number}", "", long, 1, None) for number in range(20)]

    assert size(site, "projects.html", projects=rows) < LARGEST


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_table_is_small(site: Templates, text: str) -> None:
    """With all columns, and values without number to filter by."""
    asked = RecordQuery("Sweep", words=(text * 200)[:150])
    shown = chosen(ALL)
    room = table.room_for_rows(asked, len(shown), query.place_size(PLACE))
    rows = [large_row(text, number) for number in range(PAGE)]
    rows = rows[: table.count_fitting(rows, len(shown), room)]
    values = {name: [f"{text * 90}{number}" for number in range(200)] for name in table.TITLES}

    found = size(
        site,
        "project.html",
        project="Sweep",
        place=PLACE,
        info=ProjectHead("Sweep", "Sweep", text * 2000, True),
        query=asked,
        label=table.heading(asked, LABEL),
        headings=[table.heading(asked, each) for each in shown],
        rows=table.table_rows(rows, shown, room),
        page=TablePage(rows, 10_001, None, None),
        most=10_000,
        pages={"first": None, "before": None, "after": None},
        fields=query.fields(asked),
        filters=[table.filter_by(asked, name, values.get(name, ())) for name in table.TITLES],
        all_columns=[(column, True) for column in shown],
        progress=Progress(False, 1, 2),
    )

    assert found <= LARGEST


def test_usual_page_has_fifty_records() -> None:
    """With all columns, long reasons and outcomes, and a search."""
    rows = [large_row("word ", number)._replace(label=f"20240331-{number:06}") for number in range(PAGE)]
    room = table.room_for_rows(RecordQuery("Sweep", words="converged nicely", tag="figure-3"), len(ALL) - 1)

    assert table.count_fitting(rows, len(ALL) - 1, room) == PAGE


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_record_is_small(site: Templates, text: str) -> None:
    """With more of everything than anybody reads."""
    many = range(2000)
    long = text * 50_000
    made = record(
        reason=long,
        outcome=long,
        main_file=long,
        version=long,
        user=long,
        script_arguments=long,
        stdout_stderr=long,
        diff=f"+{text}\n" * 50_000,
        parameters=Parameters("JSONParameterSet", json.dumps({f"{text}{each}": text * 200 for each in many})),
        tags=frozenset(f"{text}{each}" for each in many),
        input_data=tuple(DataKey(f"{text}{each}", "0" * 40, MOMENT, {"size": 1}) for each in many),
        output_data=tuple(DataKey(f"{text * 200}{each}", "0" * 40, MOMENT) for each in many),
        dependencies=tuple(Dependency("python", text, text, text, f"+{text}\n" * 9) for _ in many),
        platforms=tuple(Platform(network_name=text * 20) for _ in many),
    )

    past = [
        PastWrite(number, "2026-11-30T12:00:00+00:00", "update", "left", text * 30, "") for number in range(5)
    ]
    sides = Sides("鬼" * LONGEST_NAME, "has it", "has it", None, text * 30, text * 30, past, text * 30)
    found = size(
        site,
        "record.html",
        place=PLACE,
        key=large_row(text, 1).key,
        record=record_view(made, query.place_size(PLACE)),
        digest="2-a28dd18023babb5c",
        sides=sides,
        may_edit=True,
        may_delete=True,
    )

    assert found <= LARGEST


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_comparison_is_small(site: Templates, text: str) -> None:
    """Of as many records as can be compared."""
    made = [
        record(
            outcome=f"{number}{text * 5000}",
            diff=f"{number}{text * 5000}",
            parameters=Parameters(
                "JSONParameterSet", json.dumps({f"{each}{text}": number for each in range(300)})
            ),
            output_data=tuple(DataKey(f"{number}/{each}{text * 20}", "0" * 40) for each in range(300)),
        )
        for number in range(MOST)
    ]

    found = compared(made)

    labels = [f"{number}{text * 90}" for number in range(MOST)]
    assert found.left_out
    assert (
        size(site, "compare.html", place=PLACE, project="Sweep", labels=labels, comparison=found) <= LARGEST
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_parameters_side_by_side_are_small(site: Templates, text: str) -> None:
    """With hundreds that differ, and hundreds that do not."""
    rows = [large_row(text, number) for number in range(PAGE)]
    parameters = {
        row.label: {
            name: Parameter(name, f"{number if each % 2 else ''}{text * 100}")
            for each in range(300)
            for name in (f"{each}{text * 30}",)
        }
        for number, row in enumerate(rows)
    }
    asked = replace(RecordQuery("Sweep"), exact={"main_file": text * 30})
    place = query.place_size(PLACE)
    room, link = table.room_for_rows(asked, 3, place), query.address_size(asked) + place
    rows = rows[: table.count_fitting(rows, 3, room)]
    found = sweep(rows, parameters, "", room, link)
    shown = [columns.of_parameter(name) for name in found.names]

    assert found.left_out
    assert (
        size(
            site,
            "parameters.html",
            project="Sweep",
            place=PLACE,
            info=ProjectHead("Sweep", "Sweep", "", False),
            query=asked,
            main_file=table.filter_by(asked, "main_file", [f"{text * 90}{number}" for number in range(100)]),
            label=table.heading(asked, LABEL),
            run=[table.heading(asked, each) for each in chosen(("at", "duration"))],
            headings=[table.heading(asked, each) for each in shown],
            sweep=found,
            page=TablePage(rows, 10_001, None, None),
            most=10_000,
            pages={"first": None, "before": None, "after": None},
            fields=query.fields(asked),
            progress=Progress(True),
        )
        <= LARGEST
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_page_of_a_file_is_small(site: Templates, text: str) -> None:
    """That hundreds of records used, and whose name hundreds of others have."""
    uses = [FileUse(large_row(text, number), "output", "data.csv", "0" * 40) for number in range(MOST_USERS)]
    found = data_view(uses, [f"{text * 90}{each}" for each in range(MOST_PATHS)], query.place_size(PLACE))

    assert found.uses.left_out
    assert (
        size(
            site,
            "data.html",
            place=PLACE,
            other_catalogs=["鬼" * LONGEST_NAME] * 5,
            path="data.csv",
            uses=found.uses,
            others=found.others,
            progress=Progress(True),
        )
        <= LARGEST
    )
