"""The SQL of a query of the index. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from smtd.web.records.entry import Row
from smtd.web.records.query import RecordQuery

#: Records are counted up to this many: to count on would take longer than to show a page.
MOST_COUNTED = 10_000
#: If a search finds at most this many records they are sorted, else the sorted table is walked until a page
#: is full.
FEW_MATCHES = 2000
#: The most words of a search.
_MOST_WORDS = 20
_WORD = re.compile(r'"([^"]*)"|(\S+)')
_COLUMNS = ", ".join(f"r.{name}" for name in Row._fields)


class Statement(NamedTuple):
    """An SQL statement and its values."""

    sql: str
    values: Sequence[Any] = ()


def match_expression(words: str) -> str:
    """Return *words*, as people type them, as an expression of FTS5; empty if nothing in them can be found.

    All words must be there, each as the beginning of one; in quotes, one after the other.
    """
    # FTS5 takes a NUL for the end of the expression.
    found = [quoted or bare for quoted, bare in _WORD.findall(words.replace("\0", " "))][:_MOST_WORDS]
    parts = [part.replace('"', " ") for part in found]
    return " ".join(f'"{part}"*' for part in parts if any(map(str.isalnum, part)))


def match_count(query: RecordQuery) -> Statement | None:
    """Return a statement that counts what the words of *query* find in all projects, up to a bound.

    None if the query has no words.
    """
    if not query.words:
        return None
    match = match_expression(query.words)
    if not match:
        return Statement("SELECT 0")
    some = f"SELECT rowid FROM words WHERE words MATCH ? LIMIT {FEW_MATCHES + 1}"
    return Statement(f"SELECT count(*) FROM ({some})", (match,))


def page(query: RecordQuery, *, few: bool) -> Statement:
    """Return a statement that finds the rows of the page, and one more if there are more.

    They come in the order of the page, or the other way round if the page is before a place. *few*: the words
    find at most FEW_MATCHES records.
    """
    source, where, values = _source(query, from_matches=few)
    is_down = query.descending != (query.before is not None)
    place = query.before or query.after
    if place is not None:
        where.append(f"({query.sort.order}, r.label) {'<' if is_down else '>'} (?, ?)")
        values += [*query.sort.values, *place]
    direction = "DESC" if is_down else "ASC"
    order = f"{query.sort.order} {direction}, r.label {direction}"
    return Statement(
        f"SELECT {_COLUMNS} FROM {source} WHERE {' AND '.join(where)}"
        f" ORDER BY {order} LIMIT {query.size + 1}",
        [*values, *query.sort.values],
    )


def count(query: RecordQuery) -> Statement:
    """Return a statement that counts the records of *query*, up to MOST_COUNTED + 1."""
    source, where, values = _source(query, from_matches=bool(query.words))
    some = f"SELECT 1 FROM {source} WHERE {' AND '.join(where)} LIMIT {MOST_COUNTED + 1}"
    return Statement(f"SELECT count(*) FROM ({some})", values)


def newer(query: RecordQuery, newest: int) -> Statement:
    """Return a statement that counts the records of *query* with ids above *newest*, up to a bound."""
    where, values = ["r.id > ?", "+r.project = ?"], list[Any]([newest, query.project])
    if query.words:
        match = match_expression(query.words)
        where.append("r.id IN (SELECT rowid FROM words WHERE words MATCH ? AND rowid > ?)" if match else "0")
        values += [match, newest] if match else []
    _add_filters(query, where, values)
    some = f"SELECT 1 FROM record r WHERE {' AND '.join(where)} LIMIT {MOST_COUNTED + 1}"
    return Statement(f"SELECT count(*) FROM ({some})", values)


def _source(query: RecordQuery, *, from_matches: bool) -> tuple[str, list[str], list[Any]]:
    """Return what to select from, and the conditions with their values.

    *from_matches*: begin with what the words find, and look up each record; else walk the records in their
    order, and look whether each was found. (A plus keeps SQLite from the other way, which it would choose.)
    """
    match = match_expression(query.words)
    if not query.words:
        source, where, values = "record r", ["r.project = ?"], list[Any]([query.project])
    elif not match:
        source, where, values = "record r", ["0"], []
    elif from_matches:
        source = "words w CROSS JOIN record r ON r.id = w.rowid"
        where, values = ["words MATCH ?", "+r.project = ?"], [match, query.project]
    else:
        source, where = (
            "record r",
            ["r.project = ?", "+r.id IN (SELECT rowid FROM words WHERE words MATCH ?)"],
        )
        values = [query.project, match]
    _add_filters(query, where, values)
    return source, where, values


def _add_filters(query: RecordQuery, where: list[str], values: list[Any]) -> None:
    if query.tag:
        where.append("EXISTS (SELECT 1 FROM tag t WHERE t.name = ? AND t.record = r.id)")
        values.append(query.tag)
    for name, value in query.exact.items():
        where.append(f"r.{name} = ?")
        values.append(value)
    start, end = query.moments
    for sign, moment in ((">=", start), ("<", end)):
        if moment is not None:
            where.append(f"r.at {sign} ?")
            values.append(moment)
