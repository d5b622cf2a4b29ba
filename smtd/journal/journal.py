"""The journal file: opened, checked, and split into one part for each pair.

A lost journal costs no record: the pairs are adopted anew (their union, nothing deleted).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from importlib.resources import files
from pathlib import Path
from typing import Any

from anyio import CancelScope, to_thread

from smtd import denied, private, readonly, regular
from smtd.errors import JournalError
from smtd.journal import backup, remembered, witness
from smtd.journal.events import EventLog
from smtd.journal.history import History
from smtd.journal.integrity import Loss, Note, examine, is_damage, read_note, write_note
from smtd.journal.journal_lock import Lock, locked
from smtd.journal.migrations import OLDEST, migrate
from smtd.journal.orientation import STRAIGHT, Orientation
from smtd.journal.pair import PairJournal
from smtd.journal.remembered import Remembered
from smtd.merge.sides import Both
from smtd.records import canonical
from smtd.sqlite import ERRORS, Connection, Row, connect, script
from smtd.text import encodable

log = logging.getLogger("smtd")

#: Raise this with any change of schema.sql; migrations.py brings older journals up to it.
VERSION = 14

#: Seconds to wait for another process that syncs the same pair, and for one that opens the journal: that may
#: read a large one whole from a slow disk. With an exclusive lock it checks for damage, and moves the file.
PATIENCE, OPENING_PATIENCE = 10.0, 120.0


class Journal:
    """The journal in one state directory; see `open_journal`."""

    def __init__(self, db: Connection, directory: Path) -> None:
        self._db = db
        self._directory = directory
        self.events = EventLog(db)
        self.history = History(db)
        #: What `_find` returned last for two locations, until it proves wrong.
        self._found: dict[tuple[str, str], tuple[int, int, Orientation]] = {}

    async def copy(self, target: Path) -> int:
        """Copy the current state of the journal to the new file *target*, and return its size in bytes.

        Raises UsageError if *target* exists or cannot be created, JournalError if the copy fails.
        """
        given_up = threading.Event()
        try:
            return await to_thread.run_sync(
                backup.copy, _file(self._directory), target, given_up, abandon_on_cancel=True
            )
        finally:
            given_up.set()

    async def _find(self, left: str, right: str) -> tuple[int, int, Orientation] | None:
        """Return the number of a pair, the version of its digests and its orientation (None: not known)."""
        for sides in (STRAIGHT, Orientation(mirrored=True)):
            for number, version in await self._db.fetch(
                "SELECT id, canonical_version FROM pair WHERE left_location = ? AND right_location = ?",
                sides.columns(Both(left, right)),
            ):
                return number, version, sides
        return None

    async def _add(self, left: str, right: str) -> tuple[int, int, Orientation]:
        """Add the pair with the sides in this order, and return what `_find` returns.

        If two processes add the pair at once in different orders, the first one's order holds for both.
        """
        async with self._db.transaction():
            if (found := await self._find(left, right)) is not None:
                return found
            number = await self._db.run(
                "INSERT INTO pair (left_location, right_location, canonical_version) VALUES (?, ?, ?)",
                (left, right, canonical.VERSION),
            )
            return number, canonical.VERSION, STRAIGHT

    async def pairs(self) -> dict[int, tuple[str, str]]:
        """Return the locations of both sides of every pair, by its number."""
        rows = await self._db.fetch("SELECT id, left_location, right_location FROM pair")
        return {number: (left, right) for number, left, right in rows}

    async def known(self, left: str, right: str) -> PairJournal | None:
        """Return the part of a pair for reading; others may sync the pair (None: it was never synced).

        The sides have the names of this call, in whatever order the pair was synced. The caller may write
        nothing but the progress of scrubbing.
        """
        found = await self._find(left, right)
        if found is None or found[1] != canonical.VERSION:
            return None
        number, _, sides = found
        return PairJournal(self._db, number, sides, Both(left, right))

    async def remembered(self) -> list[Remembered]:
        """Return what the journal remembers of each pair."""
        return await remembered.pairs(self._db)

    async def forget(self, stores: Both[str]) -> None:
        """Forget the pair of the two *stores*, if it is known; see `remembered.forget`.

        Raises JournalError if another process has the pair locked for long.
        """
        for found in await self.remembered():
            if found.stores == stores:
                async with self._alone(found.number, stores.left, stores.right):
                    await remembered.forget(self._db, found.number)

    @asynccontextmanager
    async def _locked(self, left: str, right: str) -> AsyncIterator[tuple[int, int, Orientation]]:
        """Yield what `_find` returns of a pair, which is added if it is unknown, and lock the pair."""
        while True:
            found = self._found.pop((left, right), None) or await self._find(left, right)
            found = found or await self._add(left, right)
            async with self._alone(found[0], left, right):
                if await self._find(left, right) == found:  # else another process has forgotten it
                    self._found[left, right] = found
                    yield found
                    return

    def _alone(self, number: int, left: str, right: str) -> AbstractAsyncContextManager[Lock]:
        path = self._directory / f"pair-{number}.lock"
        return locked(path, f"syncing the pair {left} and {right}", PATIENCE)

    @asynccontextmanager
    async def pair(self, left: str, right: str) -> AsyncIterator[PairJournal]:
        """Yield the part of the pair of two locations, and lock the pair against other processes.

        The sides have the names of this call, in whatever order the pair was synced before. Digests of
        another version of the canonical form are deleted: the pair is then adopted anew. Raises JournalError
        if another process has the lock.
        """
        async with self._locked(left, right) as (number, version, sides):
            journal = PairJournal(self._db, number, sides, Both(left, right))
            await journal.begin()
            if version != canonical.VERSION:
                await journal.forget_all(canonical.VERSION)
            yield journal


class _JournalConnection(Connection):
    """A connection that raises JournalError, so that no error is taken for one of a store.

    *damaged*: SQLite has found damage in the file, so the next start must check it.
    """

    def __init__(self, db: Connection, path: Path) -> None:
        super().__init__(db.raw, file=path)
        self._path = path
        self.damaged = False

    async def fetch_each(self, queries: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Row]]:
        with self._translating():
            return await super().fetch_each(queries)

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        with self._translating():
            return await super().run(sql, parameters)

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._translating():
            await super().run_many(sql, rows)

    async def run_all(self, statements: Iterable[tuple[str, Sequence[Any]]]) -> None:
        with self._translating():
            await super().run_all(statements)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            with _translating(self._path):
                yield
        except JournalError as exc:
            self.damaged = self.damaged or is_damage(exc.__cause__)
            raise


@contextmanager
def _translating(path: Path) -> Iterator[None]:
    try:
        yield
    except ERRORS as exc:
        raise JournalError(f"the journal {path} {_wrong(exc)}") from exc
    except OSError as exc:
        step = "" if isinstance(exc, regular.NotRegular) or denied.is_denial(exc) else "; fix this first"
        raise JournalError(f"the journal {path} cannot be used: {denied.why(exc)}{step}") from exc


def _wrong(exc: Exception) -> str:
    """Return what is wrong with the journal, and what to do; only a damaged journal has to be given up."""
    if is_damage(exc):
        return (
            f"is damaged ({exc}); stop every smtd and start it again: it keeps the file, syncs the stores"
            " from scratch and deletes nothing"
        )
    if isinstance(exc, readonly.Obstructed):
        return f"cannot be used: {exc}; nothing is lost"
    if "no such" in str(exc):
        return (
            f"is incomplete ({exc}); move it away (smtd then syncs the stores from scratch and deletes"
            " nothing)"
        )
    return f"cannot be used: {exc}; fix this, nothing is lost"


@asynccontextmanager
async def open_journal(directory: Path) -> AsyncIterator[Journal]:
    """Open the journal in the state directory; create both if they do not exist.

    A damaged journal is moved aside; of an older one that was restored, only the history and the events are
    trusted. The pairs are then adopted anew, with a warning and an event. Raises JournalError if the file
    cannot be used for another reason, or was made by a newer smtd.
    """
    path = _file(directory)
    try:
        await to_thread.run_sync(private.make_directory, directory)
    except OSError as exc:
        raise JournalError(
            f"the state directory {directory} cannot be used: {denied.why(exc)}; or name another directory"
            " (--state, or state_dir in the configuration)"
        ) from exc
    async with AsyncExitStack() as stack:
        opening = f"opening the journal in {directory}"
        use = await stack.enter_async_context(
            locked(directory / "journal.lock", opening, OPENING_PATIENCE, shared=True)
        )
        note, seen = await to_thread.run_sync(read_note, path), await to_thread.run_sync(witness.read, path)
        with _translating(path):
            loss = await to_thread.run_sync(examine, path) if use.alone else None
            if use.alone:  # if it is not closed cleanly, the next start checks all of it
                await to_thread.run_sync(write_note, path, Note(note.cycles if note else 0, well=False))
            await to_thread.run_sync(private.ensure, path)  # SQLite gives its other files the same mode
            raw = await stack.enter_async_context(connect(str(path), trusted=True))
        db = _JournalConnection(raw, path)
        await _prepare(db, path)
        journal = Journal(db, directory)
        if use.alone:
            if loss is not None:
                await _report_loss(journal, path, loss)
            elif await backup.is_older(db, note) or not await witness.fits(db, seen):
                await _disown(journal, db, path)
            await witness.renew(db, path)
            await to_thread.run_sync(write_note, path, Note(await backup.cycles(db), well=False))
            await use.share()
        elif await backup.is_copy(db):
            raise JournalError(
                f"the journal {path} was restored while another smtd runs; stop that smtd first"
            )
        try:
            yield journal
        finally:
            with CancelScope(shield=True):
                await _end(db, path, use)


async def _prepare(db: Connection, path: Path) -> None:
    await db.run("PRAGMA journal_mode = WAL")
    version = await db.value("PRAGMA user_version")
    if version == VERSION:
        return
    if version > VERSION:
        raise JournalError(
            f"the journal {path} was written by a newer smtd (version {version}); use that smtd"
        )
    if 0 < version < OLDEST:
        raise JournalError(
            f"the journal {path} is too old (version {version}); move it away (smtd then syncs the stores"
            " from scratch and deletes nothing)"
        )
    text = await to_thread.run_sync(files(__package__).joinpath("schema.sql").read_text, "utf-8")
    with CancelScope(shield=True):
        async with db.transaction():
            version = await db.value("PRAGMA user_version")
            if version == 0:
                await db.run_script(script(text))
            else:
                await migrate(db, version, text)
            await db.run(f"PRAGMA user_version = {VERSION}")


async def _report_loss(journal: Journal, path: Path, loss: Loss) -> None:
    kept = "" if loss.kept is None else f"; it is kept as {loss.kept}"
    log.warning(
        "the journal %s is lost: %s%s; smtd syncs the stores from scratch and deletes nothing",
        *(path, loss.why, kept),
    )
    place = None if loss.kept is None else encodable(str(loss.kept))
    await journal.events.add_with_new_number("journal lost", why=loss.why, kept=place)


async def _disown(journal: Journal, db: Connection, path: Path) -> None:
    """Drop what a restored journal cannot be trusted with, and report it in the log and as an event."""
    await backup.disown(db)
    log.warning(
        "the journal %s was restored from an older copy: smtd keeps its history, syncs the stores from"
        " scratch and deletes nothing",
        path,
    )
    await journal.events.add_with_new_number("journal put back")


async def _end(db: _JournalConnection, path: Path, use: Lock) -> None:
    """Note that the journal was closed cleanly, if no other process uses it and no damage was found."""
    with suppress(JournalError):
        if not db.damaged and use.is_last():
            await witness.renew(db, path)
            await to_thread.run_sync(write_note, path, Note(await backup.cycles(db), well=True))


def _file(directory: Path) -> Path:
    return directory / "journal.sqlite"
