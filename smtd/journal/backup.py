"""Copies of the journal: made while smtd runs, and recognized when one is restored.

Records with a baseline in an older journal may since have been deleted or recreated. If smtd trusted it,
it would delete a record that no user deleted. So it trusts only the history and the events of a restored
journal, and adopts the pairs anew.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Event

from smtd import denied, private
from smtd.errors import JournalError, UsageError
from smtd.journal import entries
from smtd.journal.integrity import Note
from smtd.journal.pair import PairJournal
from smtd.records import canonical
from smtd.sqlite import ERRORS, Connection

#: The application_id of a copy ("smtc"); that of the journal itself is 0.
COPY = 0x736D7463
#: The prefixes of the names of smtd's own files in the state directory.
OWN_FILES = ("journal.", "pair-", "pairs.", "daemon.", "told.")
#: Pages that are copied between two checks whether the caller has given up: some milliseconds.
_PAGES = 1000


def copy(journal: Path, target: Path, given_up: Event) -> int:
    """Copy the current state of *journal* to the new file *target*, and return its size in bytes. Blocks.

    Writers are not blocked. *given_up* stops the copy. Raises UsageError if *target* exists, has a name that
    smtd uses, or cannot be created, JournalError if the journal cannot be read; no file is left then.
    """
    try:
        if target.name.startswith(OWN_FILES) and target.parent.samefile(journal.parent):
            raise UsageError(f"smtd itself uses {target}; name another file")
        os.close(private.create(target))
    except FileExistsError:
        raise UsageError(f"{target} already exists; name a new file") from None
    except OSError as exc:
        raise UsageError(f"{target} cannot be created: {denied.unwritten(exc)}") from exc
    try:
        _fill(journal, target, given_up)
        return target.stat().st_size
    except BaseException as exc:
        target.unlink(missing_ok=True)
        if isinstance(exc, ERRORS):
            raise JournalError(f"the journal cannot be copied to {target}: {exc}; no file was left") from exc
        raise


def _fill(journal: Path, target: Path, given_up: Event) -> None:
    def check(*_left: int) -> None:
        if given_up.is_set():
            raise JournalError("smtd stopped before the copy was complete; no file was left")

    with (
        closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)) as source,
        closing(sqlite3.connect(target, isolation_level=None)) as db,
    ):
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchone()  # begins the snapshot that is copied
        source.backup(db, pages=_PAGES, progress=check, sleep=0)
        db.execute("PRAGMA journal_mode = DELETE")  # one complete file, without a log beside it
        db.execute(f"PRAGMA application_id = {COPY}")


async def is_older(db: Connection, note: Note | None) -> bool:
    """Say whether the journal is a copy, or older than the one that *note* was written for."""
    return await is_copy(db) or (note is not None and await cycles(db) < note.cycles)


async def is_copy(db: Connection) -> bool:
    """Say whether `copy` made this journal, and `disown` has not been called since."""
    return bool(await db.value("PRAGMA application_id") == COPY)


async def cycles(db: Connection) -> int:
    """Return how many cycles have begun."""
    return int(await db.value("SELECT seq FROM sqlite_sequence WHERE name = 'cycle'") or 0)


async def disown(db: Connection) -> None:
    """Drop the baselines of all pairs and all indexes; the journal then no longer counts as a copy."""
    for (number,) in await db.fetch("SELECT id FROM pair"):
        await PairJournal(db, number).forget_all(canonical.VERSION)
    async with db.transaction():
        await entries.clear_all(db)
    await db.run("PRAGMA application_id = 0")
