"""The records of one pair, as the pages show them to the user of the daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import anyio

from smtd.daemon.pages.asking import Ask, result
from smtd.daemon.pages.pair_indexing import PairIndexing
from smtd.daemon.pair_records import PairRecords
from smtd.errors import SmtdError
from smtd.journal.history import HistoryEntry
from smtd.merge.sides import Both
from smtd.output import english
from smtd.records.record import Key, Record
from smtd.stores.index import Entry, State
from smtd.web.answers import PageError
from smtd.web.records.catalog import PastWrite, Progress, ProjectHead, Sides
from smtd.web.records.index import SearchIndex

#: Seconds for which the page of a record waits for what the pair says of it.
PATIENCE = 3.0
#: Writes of smtd that the page of a record lists.
_LATEST = 5
#: The most characters of a sentence.
_LONGEST = 400
_WORDS = {
    State.ABSENT: "does not have it",
    State.FINAL: "has it",
    State.UNFINISHED: "has it; its run is not over",
}


class PairCatalog:
    """The records of a pair: what *records* reads and *indexing* has.

    *counts*: how many records each side has, by project.
    """

    def __init__(
        self,
        records: PairRecords,
        indexing: PairIndexing,
        ask: Ask,
        counts: Mapping[str, Both[int]],
        others: Sequence[str],
    ) -> None:
        self.others = others
        self._records = records
        self._indexing = indexing
        self._ask = ask
        self._counts = counts

    @property
    def place(self) -> Mapping[str, str]:
        """Every address names the pair."""
        return {"pair": self._records.name}

    @property
    def index(self) -> SearchIndex:
        return self._indexing.index

    @property
    def projects(self) -> Sequence[str]:
        """The projects of the pair that have records."""
        return [*self._counts]

    def project(self, name: str) -> ProjectHead:
        """Return the project *name*. Raises PageError if the pair has no records of it."""
        if name not in self._counts:
            sentence = f"Pair {self._records.name} has no records of project {name}."
            raise PageError(HTTPStatus.NOT_FOUND, sentence)
        return ProjectHead(name, name, "", may_edit=False)

    def may_edit(self, project: str) -> bool:
        """Say whether the pair writes to both sides."""
        return self._records.is_two_way

    def may_delete(self, project: str) -> bool:
        """Return False: a deletion is a matter for smt."""
        return False

    @asynccontextmanager
    async def record(self, key: Key) -> AsyncIterator[tuple[Record, str]]:
        """Yield the record *key* and its digest for a `with` block. Raises PageError, StoreError."""
        entries = (await self._records.entries([key]))[key]
        side = self._records.chosen(entries)
        if side is not None and not entries[side].is_readable:
            sentence = f"Record {key} cannot be read: {entries[side].problem}."
            raise PageError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence)
        record = await self._records.read(key, entries)
        if record is None or side is None:
            sentence = f"There is no record {key}; it may have been deleted or renamed."
            raise PageError(HTTPStatus.NOT_FOUND, sentence)
        yield record, (entries[side].digest or b"").hex()

    async def sides(self, key: Key) -> Sides | None:
        """Return on which sides *key* is; the pair is asked only if these differ."""
        entries = (await self._records.entries([key]))[key]
        baseline_at = await self._records.baseline_at(key)
        past = await self._records.history(key, _LATEST)
        found = _sides(self._records.name, entries, baseline_at, past)
        if await self._records.is_in_sync(key, entries):
            return found._replace(rule="In sync: both sides hold the same record")
        return await self._explained(key, found)

    async def _explained(self, key: Key, found: Sides) -> Sides:
        """Return *found* with what the pair says of *key*, if that takes no time: it looks at both stores."""
        problem = "The pair is busy; reload the page in a moment."
        try:
            with anyio.move_on_after(PATIENCE):
                of = {"pair": self._records.name, "project": key.project, "label": key.label}
                return _with_answer(found, await result(self._ask, "explain", **of))
        except SmtdError as exc:
            problem = f"smtd cannot look at both stores now: {exc}."
        return found._replace(problem=problem)

    async def may_still_read(self, project: str) -> bool:
        """Return True: only the user of the daemon has a session here."""
        return True

    async def progress(self, project: str = "") -> Progress:
        return await self._indexing.progress()


def _sides(pair: str, entries: Both[Entry], baseline_at: str | None, past: Sequence[HistoryEntry]) -> Sides:
    """Return what the page of a record shows of *pair*: *entries* are what its sides had at the last look."""
    left, right = _words(entries.left), _words(entries.right)
    if entries.left.is_readable and entries.right.is_readable and entries.left.digest != entries.right.digest:
        right = f"{right}, with another content"
    return Sides(pair, left, right, baseline_at, "", "", [_past(each) for each in past])


def _with_answer(found: Sides, answer: Mapping[str, Any]) -> Sides:
    """Return *found* with what the *answer* to `explain` says."""
    rule, then = answer["rule"][:_LONGEST], answer["next"] or ""
    return found._replace(
        rule=f"{rule[:1].upper()}{rule[1:]}", next="" if then == "nothing" else then[:_LONGEST]
    )


def _past(entry: HistoryEntry) -> PastWrite:
    reason = english.sentence(entry.reason)[:_LONGEST]
    return PastWrite(entry.cycle, entry.at, entry.action, entry.side.value, reason, before="")


def _words(entry: Entry) -> str:
    return _WORDS.get(entry.state) or f"cannot read it: {entry.problem[:_LONGEST]}"
