"""What can be asked of the index, as values; `statements.py` has the SQL. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple
from urllib.parse import urlencode

from smtd.text import encodable
from smtd.web.forms import Form
from smtd.web.records import columns
from smtd.web.records.columns import Column

#: Records on a page.
PAGE = 50
#: The fields of an address that choose records, in the order of the form.
FILTERS = ("q", "tag", "status", "main_file", "executable", "version", "since", "until")
#: The filters that a column of the index answers, exactly.
EXACT = ("status", "main_file", "executable", "version")
#: The most characters of the words, and of a filter; the most bytes of all of them in an address.
_MOST_WORDS, _LONGEST, LONGEST_ADDRESS = 200, 500, 1500


class PagePlace(NamedTuple):
    """Where a page begins or ends: the value by which the table is sorted, and the label, of its record."""

    value: str | float
    label: str


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """A page of the records of *project*.

    *words*: what people typed to search. *exact*: the value that a column must have. *since* and *until*: the
    days (UTC) of the run. *after* or *before*: the place beside which the page is; without both it is the
    first.
    """

    project: str
    words: str = ""
    tag: str = ""
    exact: Mapping[str, str] = field(default_factory=dict)
    since: date | None = None
    until: date | None = None
    sort: Column = columns.NEWEST
    descending: bool = True
    after: PagePlace | None = None
    before: PagePlace | None = None
    size: int = PAGE

    @property
    def is_filtered(self) -> bool:
        """Whether it leaves out some records of the project."""
        return bool(self.words or self.tag or self.exact or self.since or self.until)

    @property
    def moments(self) -> tuple[float | None, float | None]:
        """The first moment that counts, and the first one that does not any more (None: no limit)."""
        end = None if self.until is None else self.until + timedelta(days=1)
        return _midnight(self.since), _midnight(end)

    @property
    def at_first(self) -> RecordQuery:
        """The same query from its first page."""
        return replace(self, after=None, before=None)


def of_form(project: str, form: Form) -> RecordQuery:
    """Return the query that an address of *project* has; ignore what makes no sense."""
    sort = columns.sorted_by(form.one("sort"))
    order = form.one("order")
    return RecordQuery(
        project,
        form.one("q").strip()[:_MOST_WORDS],
        form.one("tag")[:_LONGEST],
        {name: value for name in EXACT if (value := form.one(name)[:_LONGEST])},
        _day(form.one("since")),
        _day(form.one("until")),
        sort,
        sort.from_top if order not in ("up", "down") else order == "down",
        place_of(form.one("after")),
        place_of(form.one("before")),
    )


def fields(query: RecordQuery, **changes: str | None) -> dict[str, str | None]:
    """Return the fields of the address of *query* without its place, with *changes* (None: without it)."""
    order = None
    if query.descending != query.sort.from_top:
        order = "down" if query.descending else "up"
    found = {
        "q": query.words or None,
        "tag": query.tag or None,
        **{name: query.exact.get(name) for name in EXACT},
        "since": None if query.since is None else query.since.isoformat(),
        "until": None if query.until is None else query.until.isoformat(),
        "sort": None if query.sort is columns.NEWEST else query.sort.name,
        "order": order,
    }
    return {**found, **changes}


def address_size(query: RecordQuery) -> int:
    """Return how many bytes *query* takes in an address: each link of its page has them."""
    return len(urlencode({name: value for name, value in fields(query).items() if value}, errors="replace"))


def place_size(place: Mapping[str, str]) -> int:
    """Return how many bytes the fields *place*, which every address has, take in each."""
    return len(urlencode(place, errors="replace")) + 1 if place else 0


def token(place: PagePlace) -> str:
    """Return *place* as a field of an address."""
    value = place.value if isinstance(place.value, str) else float(place.value)
    return base64.urlsafe_b64encode(json.dumps([value, place.label]).encode()).decode().rstrip("=")


def place_of(text: str) -> PagePlace | None:
    """Return the place that `token` wrote as *text*; None for any other text."""
    try:
        value, label = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return None
    if not isinstance(label, str) or not isinstance(value, (str, float)):
        return None
    return PagePlace(encodable(value) if isinstance(value, str) else value, encodable(label))


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if found.year < date.max.year else None  # the day after it is needed, too


def _midnight(day: date | None) -> float | None:
    if day is None:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()
