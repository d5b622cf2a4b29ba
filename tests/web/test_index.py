"""The search index: what it finds, and when it is made again."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from smtd.errors import UsageError
from smtd.records.record import DataKey, Key, Parameters, Record
from smtd.web.forms import Form
from smtd.web.records import index_file
from smtd.web.records.index import Indexed, SearchIndex, opened
from smtd.web.records.query import PagePlace, RecordQuery, fields, of_form, token
from tests.build import MOMENT, OUTPUT, PROJECT, full, record, tagged


def held(each: Record, project: str = PROJECT, digest: str = "1-a") -> Indexed:
    return Indexed(Key(project, each.label), digest, each)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SearchIndex]:
    async with opened(tmp_path / "index" / "pages.sqlite") as made:
        await made.begin("a store")
        yield made


async def labels(index: SearchIndex, **fields: str) -> list[str]:
    page = await index.page(of_form(PROJECT, Form(list(fields.items()))))
    return [row.label for row in page.rows]


async def fill(index: SearchIndex, records: Sequence[Record]) -> None:
    await index.apply([held(each) for each in records], "1")


@pytest.mark.parametrize(
    "words",
    ["conv", "CONVERGED", '"converged nicely"', "figure-7", "sim.py", "tau 0.25", "run-b", "élan", "elan"],
)
async def test_record_is_found_by_any_of_its_texts(index: SearchIndex, words: str) -> None:
    """By the beginning of a word, in any case, with or without accents."""
    wanted = tagged(
        record(
            "run-b",
            reason="with élan",
            outcome="Converged nicely",
            main_file="sim.py",
            parameters=Parameters("JSONParameterSet", '{"neuron": {"tau": 0.25}}'),
        ),
        "figure-7",
    )
    await fill(index, [record("other"), wanted])

    assert await labels(index, q=words) == ["run-b"]


@pytest.mark.parametrize("words", ["verged", "%", "converged OR other", "_finished_", "first\0nothing"])
async def test_nothing_else_is_found(index: SearchIndex, words: str) -> None:
    """No parts of words, no operators, no status."""
    await fill(index, [record("other"), record("run-b", outcome="converged")])

    assert await labels(index, q=words) == []


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"tag": "figure-7"}, ["b"]),
        ({"status": "failed"}, ["c"]),
        ({"main_file": "sim.py"}, ["b"]),
        ({"executable": "Python 3.12.1"}, ["c", "b", "a"]),
        ({"version": "2f1c0de", "tag": "figure-7"}, ["b"]),
        ({"since": "2024-04-01"}, ["c", "b"]),
        ({"until": "2024-04-01"}, ["b", "a"]),
        ({"sort": "label"}, ["a", "b", "c"]),
        ({"sort": "duration"}, ["b", "c", "a"]),
        ({"sort": "label", "order": "down"}, ["c", "b", "a"]),
    ],
)
async def test_records_are_filtered_and_sorted(
    index: SearchIndex, chosen: dict[str, str], found: list[str]
) -> None:
    """Newest first, unless the reader chooses otherwise."""
    await fill(
        index,
        [
            record("a", duration=None),
            tagged(
                record("b", main_file="sim.py", timestamp=MOMENT + timedelta(days=1), duration=3.0),
                "figure-7",
            ),
            record("c", tags=frozenset({"_failed_"}), timestamp=MOMENT + timedelta(days=2)),
        ],
    )

    assert await labels(index, **chosen) == found


def beside(sort: str, **places: PagePlace | None) -> RecordQuery:
    """Return the query of the page beside a place."""
    known = [(name, token(place)) for name, place in places.items() if place is not None]
    assert known
    return of_form(PROJECT, Form([("sort", sort), *known]))


@pytest.mark.parametrize("sort", ["at", "label", "duration", "reason", "p:seed"])
async def test_pages_go_to_the_end_and_back(index: SearchIndex, sort: str) -> None:
    """Each record is on one page, in whatever order; equal values are no obstacle."""
    made = [
        record(
            f"run-{number:03}",
            duration=number % 3,
            parameters=Parameters("SimpleParameterSet", f"seed = {number % 5}"),
        )
        for number in range(120)
    ]
    await fill(index, made)

    first = await index.page(of_form(PROJECT, Form([("sort", sort)])))
    second = await index.page(beside(sort, after=first.after))
    third = await index.page(beside(sort, after=second.after))
    back = await index.page(beside(sort, before=third.before))

    seen = [row.label for page in (first, second, third) for row in page.rows]
    assert sorted(seen) == [each.label for each in made]
    assert back.rows == second.rows
    assert (first.before, third.after, first.total) == (None, None, 120)


async def test_change_and_deletion_leave_nothing_behind(index: SearchIndex) -> None:
    """Neither in a search nor among the values of a filter."""
    await fill(index, [tagged(full("a", outcome="converged"), "old")])

    await index.apply([held(tagged(record("a", outcome="diverged"), "new"), digest="1-b")], "2")

    assert await labels(index, q="converged") == []
    assert await labels(index, q="diverged") == ["a"]
    assert await index.values(PROJECT, "tag") == ["new"]
    assert await index.uses([PROJECT], OUTPUT.path) == []
    await index.apply([Indexed(Key(PROJECT, "a"), None)], "3")
    assert (await index.count(), await labels(index, q="diverged"), await index.values(PROJECT, "tag")) == (
        0,
        [],
        [],
    )


async def test_record_that_cannot_be_read_is_there_with_its_reason(index: SearchIndex) -> None:
    """So that somebody can do something about it."""
    await index.apply([Indexed(Key(PROJECT, "a"), "0-x", None, "two different records have this label")], "1")

    (row,) = (await index.page(RecordQuery(PROJECT))).rows
    assert (row.status, row.problem) == ("unreadable", "two different records have this label")


async def test_file_is_found_by_path_and_by_name(index: SearchIndex) -> None:
    """In the projects that are asked about, and in no other."""
    await index.apply([held(full("a")), held(full("b", input_data=(OUTPUT,), output_data=()), "Other")], "1")

    found = await index.uses([PROJECT, "Other"], OUTPUT.path)

    assert [(use.row.label, use.role) for use in found] == [("a", "output"), ("b", "input")]
    assert [use.row.label for use in await index.uses([PROJECT], OUTPUT.path)] == ["a"]
    assert await index.paths([PROJECT], "result.csv") == [OUTPUT.path]
    assert await index.paths(["Nothing"], "result.csv") == []


async def test_what_was_filled_is_there_after_a_restart(tmp_path: Path) -> None:
    """Of the same store; of another one the index begins anew."""
    path = tmp_path / "pages.sqlite"
    async with opened(path) as first:
        await first.begin("a store")
        await first.apply([held(record())], "17")
    async with opened(path) as second:
        assert (await second.begin("a store"), await second.count()) == ("17", 1)
    async with opened(path) as third:
        assert (await third.begin("another store"), await third.count()) == ("", 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"this is no database", b"SQLite format 3\0" + bytes(4080)])
async def test_file_that_is_of_no_use_is_made_again(tmp_path: Path, content: bytes) -> None:
    """Nothing in it is worth an error."""
    path = tmp_path / "pages.sqlite"
    path.write_bytes(content)

    async with opened(path) as index:
        assert (await index.begin("a store"), await index.count()) == ("", 0)


async def test_second_process_has_an_index_of_its_own(tmp_path: Path) -> None:
    """Two servers never fill one file."""
    path = tmp_path / "pages.sqlite"
    async with opened(path) as first, opened(path) as second:
        await first.begin("a store")
        await first.apply([held(record())], "1")
        assert await second.begin("a store") == ""


async def test_files_without_end_are_bounded(index: SearchIndex) -> None:
    """A record with ten thousand files has a thousand of each sort in the index."""
    made = tuple(DataKey(f"f{number}", "0" * 40) for number in range(10_000))

    await fill(index, [record("many", output_data=made)])

    assert await index.uses([PROJECT], "f999")
    assert not await index.uses([PROJECT], "f1000")


def test_link_of_a_sorted_column_keeps_the_filters() -> None:
    """A click on a heading loses nothing that was chosen."""
    asked = of_form(PROJECT, Form([("q", "x"), ("tag", "t")]))

    assert fields(asked, sort="label")["q"] == "x"


def test_sqlite_without_full_text_search_is_named_in_a_sentence() -> None:
    with closing(sqlite3.connect(":memory:")) as db, pytest.raises(UsageError, match="has no FTS5"):
        index_file._create(db, "CREATE VIRTUAL TABLE words USING fts5_that_is_not_here(text)")
