"""SQLite files that others made: their schema must not act when smtd reads or writes them.

A trigger, a view or a function in a schema runs by itself, without end, or on other records. So SQLite
trusts no function of a schema, an authorizer refuses what a trigger or a view would do before any of it is
done, and a statement ends after more steps than any of smtd's takes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

#: Steps of SQLite's machine a statement may take: a look at millions of rows. They take some seconds.
MOST_STEPS = 200_000_000
#: Steps between two counts.
_AT_A_TIME = 1_000_000


#: Triggers of these names may add rows to one table of smtd's own, and do nothing else: so its server learns
#: what others write into its database (`server/tables.py`).
_NOTING, _NOTED = "smtd_dirty_", "smtd_dirty"


class Acting(sqlite3.DatabaseError):
    """The schema would have acted, and was not let; the text goes on after the name of the file."""


class Guard:
    """Watches over one connection, from `install` on; a statement may take *most_steps*."""

    def __init__(self, most_steps: int = MOST_STEPS) -> None:
        self._left = self._most = most_steps // _AT_A_TIME
        self._denied = ""

    def install(self, db: sqlite3.Connection) -> None:
        """Watch over *db*; called in the thread of that connection."""
        db.execute("PRAGMA trusted_schema = OFF")
        db.set_authorizer(self._authorize)
        db.set_progress_handler(self._count, _AT_A_TIME)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Give the statements inside their steps. Raises Acting if the schema would have acted in one."""
        self._left, self._denied = self._most, ""
        try:
            yield
        except sqlite3.DatabaseError as exc:
            if (why := self._why(exc)) is None:
                raise
            raise Acting(why) from exc

    def _why(self, exc: Exception) -> str | None:
        """Return what would have acted (None: nothing did), as the rest of a sentence with the next step."""
        if self._denied:
            return (
                f"has the trigger or view {self._denied!r}, which is not Sumatra's and would run when smtd"
                " uses the store; drop it"
            )
        if self._left < 0:
            return "makes a statement run forever; drop everything from its schema that is not Sumatra's"
        if "unsafe use of" in str(exc) or "not authorized" in str(exc):
            return (
                f"has a function in its schema that could do anything ({exc}); drop everything that is not"
                " Sumatra's"
            )
        return None

    def _authorize(
        self, action: int, one: str | None, _two: str | None, _database: str | None, source: str | None
    ) -> int:
        if source is None or _only_notes(source, action, one):
            return sqlite3.SQLITE_OK
        self._denied = source
        return sqlite3.SQLITE_DENY

    def _count(self) -> int:
        self._left -= 1
        return self._left < 0


def _only_notes(source: str, action: int, table: str | None) -> bool:
    """Say whether the trigger *source* may do this: read, or add to the table that it is for."""
    if not source.startswith(_NOTING):
        return False
    return action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT) or (
        action == sqlite3.SQLITE_INSERT and table == _NOTED
    )
