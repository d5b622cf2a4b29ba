"""The SQLite dialect: finds, creates, watches and connects to one file."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import anyio
from anyio import to_thread

from smtd import denied, readonly
from smtd.errors import StoreError, StoreRefused, StoreUnreachable
from smtd.filestat import (
    CLOCK_TICK,
    SETTLE,
    Signature,
    StatCache,
    age,
    is_coarse,
    is_young,
    signature,
    status_token,
)
from smtd.records.record import Key
from smtd.sqlite import ERRORS, STORE_STATEMENTS, Connection, connect, store_error
from smtd.sqlite_files import check, commits, flush
from smtd.stores.base import Token
from smtd.stores.django import schema
from smtd.stores.django.rows import Columns

T = TypeVar("T")

#: A save of Sumatra is several commits (measured: up to 55 ms apart). Seconds without a commit before a scan,
#: and the most seconds to wait for that.
QUIET, PATIENCE = 2 * SETTLE, 2.0

#: The most records of one transaction while `smt` may be running (measured: it then waits 35 ms at most).
SHARED_BATCH = 100
#: The most records of one transaction in a store that smtd has just created.
FRESH_BATCH = 500


class SqliteFile:
    """An SQLite file, which may not exist yet; an async context manager.

    The journal mode of the file stays as it is.
    """

    kind = "sqlite"
    refusals: tuple[type[Exception], ...] = (
        sqlite3.IntegrityError,
        sqlite3.DataError,
        sqlite3.InterfaceError,
        UnicodeError,
    )

    def __init__(self, path: Path, name: str, *, statements: int = STORE_STATEMENTS) -> None:
        self.path = path
        self._statements = statements
        self._name = name
        self.is_new = False
        #: Grows when another file is found at the path: what was learned of the old one is void.
        self.generation = 0
        self._files = (path, Path(f"{path}-wal"))
        self._open = AsyncExitStack()
        self._raw: Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._is_frozen = False
        self._db: Connection | None = None
        self._version: int | None = None
        #: SQLite's count of the commits of others at the last flush.
        self._flushed: int | None = None

    async def __aenter__(self) -> SqliteFile:
        self.is_new = not await to_thread.run_sync(_has_content, self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def batch(self) -> int:
        return FRESH_BATCH if self.is_new else SHARED_BATCH

    @property
    def obstacle(self) -> str:
        """Why nothing can be written to it, as a sentence for users (empty: it can). Known after a look."""
        return "its file system is mounted read-only" if self._is_frozen else ""

    @property
    def has_unfair_lock(self) -> bool:
        """SQLite has no queue of writers: the first one to try after a commit gets the lock."""
        return not self.is_new

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection | None]:
        yield await self.connection()

    def as_stored(self, key: Key, columns: Columns) -> Columns:
        return columns  # SQLite keeps any text in any column

    async def collisions(self, db: object, keys: Collection[Key]) -> Mapping[Key, str]:
        return {}

    def store_error(self, exc: Exception) -> StoreError | None:
        if isinstance(exc, OSError):
            return StoreUnreachable(f"{self._name} cannot be read: {denied.why(exc)}")
        return store_error(exc, self._name) if isinstance(exc, ERRORS) else None

    async def connection(self) -> Connection | None:
        """Return the connection to the file that is there now, or None while it has no tables.

        Raises StoreRefused for a schema that is not that of Sumatra 0.8.1, StoreUnreachable for
        a file that is gone.
        """
        read = partial(_identity, self.path)
        identity = await (to_thread.run_sync(read) if self._db is None else self._db.in_thread(read))
        if self._identity not in (None, identity) or (self._is_frozen and not await self._detect_frozen()):
            await self._forget()
        if identity is None:
            if self.generation:
                raise StoreUnreachable(f"{self.path} is gone; bring it back")
            return None
        if self._db is None and await to_thread.run_sync(_has_content, self.path):
            db = await self._connect()
            if not await self._is_empty(db):
                await _check(db, self.path)
                self._db, self.is_new = db, False
        return self._db

    async def at_once(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> list[T]:
        """Return the result of *work*, in one crossing to the thread, if the known file is at the path.

        *work* awaits nothing but the connection that it gets. It does not run, and the list is empty, if the
        file has to be looked for with `connection`.
        """
        db = self._db
        if db is None or self._is_frozen:
            return []
        return await db.at_once(partial(self._on_same_file, db, work))

    async def _on_same_file(
        self, db: Connection, work: Callable[[Connection], Coroutine[Any, Any, T]]
    ) -> list[T]:
        return [await work(db)] if _identity(self.path) == self._identity else []

    async def _is_empty(self, db: Connection) -> bool:
        """Say whether there are no tables yet. Raises StoreUnreachable where SQLite cannot create files."""
        try:
            return await _is_empty(db)
        except readonly.Obstructed as exc:
            raise StoreUnreachable(f"{self._name} cannot be used: {exc}") from exc

    async def _connect(self) -> Connection:
        if self._raw is None:
            self._is_frozen = await self._detect_frozen()
            self._raw = await self._open.enter_async_context(
                connect(str(self.path), statements=self._statements)
            )
            self._identity = await to_thread.run_sync(_identity, self.path)
        return self._raw

    async def _detect_frozen(self) -> bool:
        """Say whether no program can write to the file, until its file system is mounted in another way."""
        return await to_thread.run_sync(readonly.is_frozen, self.path)

    async def _forget(self) -> None:
        """Close the connection to a file that is no longer at the path."""
        self.generation += 1
        self._raw = self._db = self._identity = self._version = self._flushed = None
        await self._open.aclose()

    async def create(self) -> None:
        """Create the file and its tables, as Sumatra's first command would, if there are none.

        Tables that were there at the last look count as there: a session checks whether they still are.
        """
        if self._db is not None or await self.connection() is not None:
            return
        db = await self._connect()
        statements = await to_thread.run_sync(schema.creation, self.kind)
        async with db.transaction():
            made = await _is_empty(db)
            if made:
                await db.run_all(statements)
                # Read before any other program can write to the file.
                version = await _data_version(db)
        if not made:  # another smtd was quicker
            await self.connection()
            return
        self._db, self.is_new = db, True
        self._version = version

    @property
    def version(self) -> int | None:
        """SQLite's count of the commits of others at the last `begin_look`, `renew` or `resume`, if known."""
        return self._version

    async def begin_look(self, *, wait: bool = True) -> bool:
        """Begin a look and a new token; say whether no program has written for `QUIET` seconds.

        With *wait* it waits for that, about `PATIENCE` seconds at most.
        """
        is_quiet, patience = False, int(PATIENCE / QUIET) if wait else 1
        while not is_quiet and patience:
            # Read before the look that follows: a commit from now on makes it a busy one.
            asked = await self._check_commits()
            self._version, since = asked.version, age(asked.after)
            is_quiet, patience = not 0 <= since < QUIET, patience - 1
            if not is_quiet and patience:
                await anyio.sleep(QUIET - since)
        return is_quiet

    async def is_undisturbed(self) -> bool:
        """Say whether no other program has committed since `begin_look` was called last."""
        return self._version is not None and (await self._check_commits()).version == self._version

    async def renew(self) -> None:
        """Count the commits of others from now on, and not from `begin_look` on."""
        self._version = (await self._check_commits()).version

    async def _check_commits(self, *, release: bool = False) -> _CommitCheck:
        """Return the current state of the file; *release* the memory for what was read of it."""
        db = self._db
        if db is not None and not self._is_frozen:
            identity, asked = await db.at_once(partial(self._checked, db, release=release))
            if identity == self._identity:
                return asked
        before = await to_thread.run_sync(signature, self._files)
        db = await self.connection()
        version = None if db is None else await _data_version(db)
        return _CommitCheck(before, version, await to_thread.run_sync(signature, self._files))

    async def _checked(self, db: Connection, *, release: bool) -> tuple[tuple[int, int] | None, _CommitCheck]:
        before = signature(self._files)
        identity, version = _identity(self.path), await _data_version(db)
        if release:
            await db.release()
        return identity, _CommitCheck(before, version, signature(self._files))

    async def flush(self) -> None:
        """Make durable what others have committed; what smtd commits is durable already."""
        # Read before the flush: the next flush covers later commits.
        version = (await self._check_commits()).version
        if version is not None and version != self._flushed:
            await to_thread.run_sync(_flush, self._files)
            self._flushed = version

    async def token(self) -> Token | None:
        """Return a token of the state of the file; None if another program has written since `begin_look`."""
        asked = await self._check_commits()
        if asked.version is None or asked.version != self._version:
            return None  # no need to wait for the next tick of the file system's clock
        seen = asked.after
        await anyio.sleep(max(0.0, CLOCK_TICK - max(0.0, age(seen))))
        commits = await self._commits(seen)
        # Read after the file status: so no earlier commit of others goes unnoticed.
        asked = await self._check_commits(release=True)
        if seen != asked.before or asked.version is None or asked.version != self._version:
            return None
        return _FileState(seen, commits).token(young=commits is None and is_young(seen))

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the files are in the state for which *token* was returned."""
        return token == (await self._state()).token()

    async def _state(self) -> _FileState:
        """Return the state of the files, with SQLite's count of commits if their timestamps are coarse."""
        seen = await to_thread.run_sync(signature, self._files)
        # Read after the file status: a commit in between makes the state a different one.
        return _FileState(seen, await self._commits(seen))

    async def _commits(self, seen: Signature) -> int | None:
        """Return SQLite's count of commits if the timestamps of files with the status *seen* are coarse."""
        if not any(file is not None and is_coarse(file) for file in seen) or await self.connection() is None:
            return None
        return await to_thread.run_sync(commits, self.path)

    async def resume(self, token: Token) -> bool:
        """Say whether the files are in the state for which *token* was returned; if so, start a new token."""
        asked = await self._check_commits()
        self._version = asked.version
        # The status is read after the count: a later commit of others is in the next token, or prevents it.
        is_same = token == _FileState(asked.after, await self._commits(asked.after)).token()
        if not is_same:
            self._version = None
        return is_same


class _CommitCheck(NamedTuple):
    """SQLite's count of commits by others, and the status of the files before and after it was read."""

    before: Signature
    version: int | None
    after: Signature


class _FileState(NamedTuple):
    """The status of the files, and the number of commits (None: unknown, or not needed)."""

    seen: Signature
    commits: int | None = None

    def token(self, *, young: bool = False) -> Token:
        """Return a token of the files; that of *young* files equals none of files that are not young."""
        return repr(self.commits).encode() + status_token(self.seen, young=young)


#: The databases that were flushed, with SQLite's count of commits then: pairs share databases, and one pair
#: flushes for all.
_durable = StatCache[bool]()


def _flush(files: tuple[Path, ...]) -> None:
    """Make durable what others have committed, if needed; the first of *files* is the database. Blocks."""
    path, count = files[0], commits(files[0])
    # Read before the flush: the next flush covers later commits.
    seen = signature(files)
    if count is not None and _durable.get(str(path), (seen, count)):
        return
    flush(path)
    if count is not None:
        _durable.put(str(path), (seen, count), True)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError:
        return True  # opening it will give the reason


def _identity(path: Path) -> tuple[int, int] | None:
    check(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


async def _data_version(db: Connection) -> int:
    """Return SQLite's count of commits by other connections."""
    return int(await db.value("PRAGMA data_version"))


async def _is_empty(db: Connection) -> bool:
    return not await db.value("SELECT count(*) FROM sqlite_master")


#: The queries for Sumatra's tables that are views or virtual, for all columns, and for computed columns.
_VIEWS = (
    "SELECT name FROM sqlite_master WHERE name LIKE 'django\\_%' ESCAPE '\\'"
    " AND (type = 'view' OR sql LIKE 'CREATE VIRTUAL%')"
)
_COLUMNS = (
    "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
    " WHERE m.type = 'table' AND m.name LIKE 'django\\_store\\_%' ESCAPE '\\'"
)
_COMPUTED = (
    "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_xinfo(m.name) c"
    " WHERE m.type = 'table' AND m.name LIKE 'django\\_%' ESCAPE '\\' AND c.hidden > 1"
)


async def _check(db: Connection, path: Path) -> None:
    """Raise StoreRefused for a schema that smtd would misread, or that would run code when it is read."""
    for query, what in ((_VIEWS, "a view"), (_COMPUTED, "computed")):
        if (found := await db.value(query)) is not None:
            raise StoreRefused(
                f"{path} is not a record store of Sumatra 0.8.1: {found!r} is {what}; put the table back"
            )
    known = await db.value("SELECT count(*) FROM sqlite_master WHERE name = 'django_migrations'")
    done = await db.fetch("SELECT app, name FROM django_migrations") if known else []
    if why := schema.mismatch(done, await db.fetch(_COLUMNS)):
        raise StoreRefused(f"{path} is not a record store of Sumatra 0.8.1: {why}")
