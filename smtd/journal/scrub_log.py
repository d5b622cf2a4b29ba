"""The progress and the findings of the scrubbing of one pair, as the journal has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from smtd.journal.orientation import PairPart
from smtd.records.record import Key
from smtd.sqlite import at_once


class ScrubProgress(NamedTuple):
    """One scrub of all records, in order of their keys; times are seconds since 1970.

    *counted* records, up to *after*, have been verified since it *began*. The previous complete round began
    at *before* (None: there was none).
    """

    began: float
    after: Key | None = None
    counted: int = 0
    before: float | None = None


class ScrubLog(PairPart):
    """What the journal has about the scrubs of one pair. Every method is one atomic transaction."""

    async def round(self) -> ScrubProgress | None:
        """Return the current round (None: there was none yet)."""
        rows = await self._db.fetch(
            "SELECT began, project, label, counted, before FROM proof WHERE pair = ?", (self._pair,)
        )
        return next(
            (
                ScrubProgress(began, None if project is None else Key(project, label), counted, before)
                for began, project, label, counted, before in rows
            ),
            None,
        )

    async def found(self) -> list[Key]:
        """Return the keys of all findings."""
        return [
            Key(*row)
            for row in await self._db.fetch(
                "SELECT project, label FROM finding WHERE pair = ? ORDER BY project, label", (self._pair,)
            )
        ]

    @at_once
    async def note(self, now: ScrubProgress, found: Collection[Key]) -> None:
        """Store how far the scrub is, and the keys of all findings."""
        async with self._db.transaction():
            await self._db.run(
                "INSERT OR REPLACE INTO proof (pair, began, project, label, counted, before)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (self._pair, now.began, *(now.after or (None, None)), now.counted, now.before),
            )
            await self._db.run("DELETE FROM finding WHERE pair = ?", (self._pair,))
            await self._db.run_many(
                "INSERT INTO finding (pair, project, label) VALUES (?, ?, ?)",
                [(self._pair, *key) for key in found],
            )

    async def following(self, after: Key | None, count: int, projects: Collection[str] | None) -> list[Key]:
        """Return the next *count* keys with a baseline after *after*, of *projects* (None: of all)."""
        names = [] if projects is None else sorted(projects)
        chosen = "" if projects is None else f" AND project IN ({', '.join('?' * len(names))})"
        rows = await self._db.fetch(
            f"SELECT project, label FROM agreed WHERE pair = ? AND (project, label) > (?, ?){chosen}"
            " ORDER BY project, label LIMIT ?",
            (self._pair, *(after or ("", "")), *names, count),
        )
        return [Key(*row) for row in rows]
