"""Where the pages get records from, and what one visitor may do with them.

The server and the daemon each have a catalog; the pages know only this contract.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeAlias

from aiohttp import web

from smtd.records.record import Key, Record
from smtd.web.forms import Form
from smtd.web.forms import query as query_of
from smtd.web.records.index import SearchIndex
from smtd.web.templates import Visit


class Progress(NamedTuple):
    """How far the index is: whether it has everything; if not, it has *indexed* of *total* records.

    *problem*: why it does not get any further now, as a sentence (empty: it does).
    """

    is_complete: bool
    indexed: int = 0
    total: int = 0
    problem: str = ""


class ProjectHead(NamedTuple):
    """What the pages of a project say of it; its *id* is what records have.

    *may_edit*: whether the visitor may change the name and the description.
    """

    id: str
    name: str
    description: str
    may_edit: bool


class PastWrite(NamedTuple):
    """A write of smtd under a key; *before* is a time right before it (empty: there was no record then)."""

    cycle: int
    at: str
    action: str
    side: str
    reason: str
    before: str


class Sides(NamedTuple):
    """On which sides of *pair* a record is; *left* and *right* say so in words.

    *baseline_at*: when both sides last agreed (None: never). *rule*: what applies to the record now, and
    *next*: what happens next (empty: nothing). *problem*: why the last two are not known now.
    """

    pair: str
    left: str
    right: str
    baseline_at: str | None
    rule: str
    next: str
    past: Sequence[PastWrite]
    problem: str = ""


class Catalog(Protocol):
    """The records that one visitor may see."""

    @property
    def place(self) -> Mapping[str, str]:
        """The fields by which every address of these pages says where the records are."""

    @property
    def others(self) -> Sequence[str]:
        """The names of other catalogs, for a link to each."""

    @property
    def index(self) -> SearchIndex:
        """The search index of these records."""

    @property
    def projects(self) -> Sequence[str]:
        """The projects that the visitor may read."""

    def project(self, name: str) -> ProjectHead:
        """Return the project *name*. Raises PageError if the visitor may not read it."""

    def may_edit(self, project: str) -> bool:
        """Say whether the visitor may change records of *project*."""

    def may_delete(self, project: str) -> bool:
        """Say whether the visitor may delete records of *project*."""

    def record(self, key: Key) -> AbstractAsyncContextManager[tuple[Record, str]]:
        """Yield the record *key* and its digest for a `with` block. Raises PageError."""

    async def sides(self, key: Key) -> Sides | None:
        """Return on which sides of a pair *key* is (None: these are the records of one store)."""

    async def may_still_read(self, project: str) -> bool:
        """Say whether the visitor may read *project* by now."""

    async def progress(self, project: str = "") -> Progress:
        """Wait a moment for the index to have everything, and return how far it is.

        Raises PageError if it may still have records of another project that had the name *project* before.
        """


class RecordRequest(NamedTuple):
    """A request for a page of records of *catalog*; *visit* is what the page shows of its visitor."""

    http: web.Request
    visit: Visit
    catalog: Catalog

    @property
    def query(self) -> Form:
        """The query of the address. Raises PageError."""
        return query_of(self.http)


#: Shows a page, or streams its live parts.
ShowRecords: TypeAlias = Callable[[RecordRequest], Awaitable[web.StreamResponse]]
