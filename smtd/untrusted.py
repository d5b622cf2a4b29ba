"""Keep code in the schema of an SQLite file from running when smtd reads or writes the file.

Other programs made the file. A trigger, a view or a function in its schema would run by itself, and could
run without end or change other records. So SQLite trusts no function of the schema, an authorizer refuses
what a trigger or a view would do before any of it is done, and a statement is stopped after more steps than
any of smtd's takes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

#: Steps of SQLite's virtual machine that a statement may take: enough to read millions of rows. They take
#: some seconds.
MOST_STEPS = 200_000_000
#: Steps between two calls of the progress handler.
_AT_A_TIME = 1_000_000


#: Triggers with this prefix may add rows to one table of smtd's own, and do nothing else: through them smtd's
#: server learns what other programs write to its database (`server/tables.py`).
_TRIGGER_PREFIX, _TRIGGER_TABLE = "smtd_dirty_", "smtd_dirty"


class SchemaCodeBlocked(sqlite3.DatabaseError):
    """Code in the schema would have run, and was stopped; the text continues after the name of the file."""


class Guard:
    """Guards one connection, from `install` on; a `watching` block may take about *most_steps*."""

    def __init__(self, most_steps: int = MOST_STEPS) -> None:
        self._left = self._most = most_steps // _AT_A_TIME
        self._denied = ""

    def install(self, db: sqlite3.Connection) -> None:
        """Guard *db*; call it in the thread of that connection."""
        db.execute("PRAGMA trusted_schema = OFF")
        db.set_authorizer(self._authorize)
        db.set_progress_handler(self._count, _AT_A_TIME)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Allow the statements inside `most_steps` in all. Raises SchemaCodeBlocked if one was stopped."""
        self._left, self._denied = self._most, ""
        try:
            yield
        except sqlite3.DatabaseError as exc:
            if (why := self._why(exc)) is None:
                raise
            raise SchemaCodeBlocked(why) from exc

    def _why(self, exc: Exception) -> str | None:
        """Return why the guard stopped a statement (None: it did not), to end a sentence, with the remedy."""
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
        if source is None or _is_own_trigger(source, action, one):
            return sqlite3.SQLITE_OK
        self._denied = source
        return sqlite3.SQLITE_DENY

    def _count(self) -> int:
        self._left -= 1
        return self._left < 0


def _is_own_trigger(source: str, action: int, table: str | None) -> bool:
    """Say whether *source* is smtd's own trigger, and only reads, or inserts into `_TRIGGER_TABLE`."""
    if not source.startswith(_TRIGGER_PREFIX):
        return False
    return action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT) or (
        action == sqlite3.SQLITE_INSERT and table == _TRIGGER_TABLE
    )
