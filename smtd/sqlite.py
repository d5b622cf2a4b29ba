"""One SQLite connection that a cancelled scope cannot leave open, locked or half written."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from functools import partial, wraps
from pathlib import Path
from threading import get_ident
from traceback import clear_frames
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast

import aiosqlite
import anyio
from anyio import CancelScope, to_thread

from smtd import readonly
from smtd.errors import StoreError, StoreRefused, StoreUnreachable
from smtd.sqlite_files import check
from smtd.untrusted import MOST_STEPS, Guard, SchemaCodeBlocked

Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")
P = ParamSpec("P")

#: How many prepared statements a connection caches. Those of stores are long and vary with the rows that they
#: name: to prepare one again takes 0.1 ms, while Python's default number of them takes half a megabyte.
STORE_STATEMENTS, JOURNAL_STATEMENTS = 8, 128


class Connection:
    """An aiosqlite connection in autocommit mode that runs whole statements only.

    Every method runs its statements to the end, cancelled or not, and leaves no cursor open: an open cursor
    starves Sumatra (measured). So keep the statements short.
    """

    #: See `stores/django/connection.py`: SQLite lets only one client write at a time.
    exclusive, for_update, for_share = True, "", ""

    def __init__(
        self, db: aiosqlite.Connection, guard: Guard | None = None, file: Path | None = None
    ) -> None:
        self._db = db
        self._guard = guard or Guard()
        self._file = file
        self._one_transaction = anyio.Lock(fast_acquire=True)
        #: The thread of the connection while `at_once` runs a coroutine in it; else None.
        self._inside: int | None = None

    @property
    def raw(self) -> aiosqlite.Connection:
        """The underlying aiosqlite connection."""
        return self._db

    def collation_key(self, table: str) -> None:
        """Return None: SQLite compares texts exactly."""

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query; ask for no more than fits in memory."""
        (rows,) = await self.fetch_each([(sql, parameters)])
        return rows

    async def fetch_each(self, queries: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Row]]:
        """Return all rows of each query, in one crossing to the thread; see `fetch`."""

        def fetch(db: sqlite3.Connection) -> list[list[Row]]:
            return [_rows(db, sql, parameters) for sql, parameters in queries]

        with self._guard.watching():
            try:
                found = await self._run(fetch)
            except ERRORS as exc:
                # The traceback keeps the cursor, and that the snapshot: later commits would stay invisible.
                clear_frames(exc.__traceback__)
                if not isinstance(exc, sqlite3.OperationalError) or "decode" not in str(exc):
                    raise
                # One text that is not Unicode must not make all others unreadable.
                self._db.text_factory = lenient
                found = await self._run(fetch)
        return found

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run *work*, which may block, in the thread of the connection, and return its result."""
        return await self._run(lambda _: work())

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work* in the thread of the connection, always to its end, and return its result."""
        run = partial(_explained, self._file, work)
        if self._inside == get_ident():
            return run(self._db._conn)
        with CancelScope(shield=True):
            found: T = await _crossing(self._db, run)
        return found

    async def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row, or None if there is no row."""
        rows = await self.fetch(sql, parameters)
        return rows[0][0] if rows else None

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement, in one crossing to the thread; return the id of the row it inserted last."""

        def run(db: sqlite3.Connection) -> int:
            with closing(db.execute(sql, parameters)) as cursor:
                cursor.fetchall()
                return cursor.lastrowid or 0

        with self._guard.watching():
            row_id: int = await self._run(run)
        return row_id

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of *rows*, in one crossing to the thread; without rows, do nothing."""
        if rows:
            with self._guard.watching():
                await self._run(lambda db: db.executemany(sql, rows).close())

    async def run_all(self, statements: Iterable[tuple[str, Sequence[Any]]]) -> None:
        """Run several statements, each with its parameters, in one crossing to the thread."""

        def run(db: sqlite3.Connection) -> None:
            for statement, parameters in statements:
                db.execute(statement, parameters)

        with self._guard.watching():
            await self._run(run)

    async def run_script(self, statements: Iterable[str]) -> None:
        """Run several statements without parameters, inside whatever transaction is open."""
        await self.run_all([(statement, ()) for statement in statements])

    async def release(self) -> None:
        """Free the pages that were read: two megabytes, which the next commit of others makes invalid."""
        await self.run("PRAGMA shrink_memory")

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Read one snapshot inside the block; see `transaction`."""
        return self.transaction("DEFERRED")

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Keep all other writers out during the block; see `transaction`."""
        return self.transaction()

    @asynccontextmanager
    async def transaction(self, kind: str = "IMMEDIATE") -> AsyncIterator[None]:
        """Commit everything that is done inside the block, or nothing.

        Tasks that share the connection take turns. Shielded from cancellation once it has
        begun: await nothing inside but this connection, and keep it short.
        """
        if self._inside == get_ident():  # inside `at_once`, which has the lock
            async with self._whole(kind):
                yield
            return
        async with self._one_transaction:
            with CancelScope(shield=True):
                async with self._whole(kind):
                    yield

    @asynccontextmanager
    async def _whole(self, kind: str) -> AsyncIterator[None]:
        await self.run(f"BEGIN {kind}")
        try:
            yield
            await self.run("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                await self.run("ROLLBACK")
            raise

    async def at_once(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run all of *work* in the thread of the connection, in one crossing, and return its result.

        *work* may await nothing but calls of this connection; if it waits for anything else, it is stopped
        there, and RuntimeError is raised. This is not a transaction: open one inside for all or nothing. Do
        not call it while this task has a transaction open. A statement inside costs a tenth of one outside.
        """
        if self._inside == get_ident():
            return await work()

        def run(_db: sqlite3.Connection) -> T:
            self._inside = get_ident()
            try:
                return _completed(work())
            finally:
                self._inside = None

        async with self._one_transaction:
            return await self._run(run)


class _Holder(Protocol):
    """An object that has a connection."""

    _db: Connection


H = TypeVar("H", bound=_Holder)


def at_once(
    method: Callable[Concatenate[H, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[H, P], Coroutine[Any, Any, T]]:
    """Make a *method* run in the thread of the connection of its object; see `Connection.at_once`."""

    @wraps(method)
    async def run(self: H, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._db.at_once(partial(method, self, *args, **kwargs))

    return run


def _completed(work: Coroutine[Any, Any, T]) -> T:
    """Run *work*, which must never wait, and return its result. Blocks."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    work.close()
    raise RuntimeError("a coroutine in the connection's thread awaits something other than the connection")


async def _crossing(db: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Run *work*, which may be several calls, in the thread of *db*, and return its result."""
    todo, done = [work], list[T]()
    # aiosqlite has no public API for this, nor to find out that it was closed.
    if db._connection is None:
        raise sqlite3.OperationalError("the connection was closed")
    await db._execute(_do, todo, done, db._connection)  # type: ignore[no-untyped-call]
    return done.pop()


def _do(todo: list[Callable[[sqlite3.Connection], T]], done: list[T], db: sqlite3.Connection) -> None:
    """Run the call in *todo*, and raise nothing that would break the task that awaits it. Blocks.

    A future does not accept StopIteration, so the task would wait forever. After GeneratorExit the task could
    await nothing more, so the connection would stay open. The thread keeps its last call, and the result of
    that, until the next call: so both are passed in lists, which are empty afterwards.
    """
    try:
        done.append(todo.pop()(db))
    except (StopIteration, GeneratorExit) as exc:
        raise RuntimeError(f"a coroutine in the connection's thread raised {type(exc).__name__}") from exc


def _explained(file: Path | None, work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
    """Return the result of *work*. Raises Obstructed if a permission at *file* is missing. Blocks."""
    try:
        return work(db)
    except sqlite3.OperationalError as exc:
        if file is None:
            raise
        raise readonly.explained(file, exc) from exc.__cause__


def _rows(db: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
    """Return all rows of one query, and leave no cursor open. Blocks."""
    with closing(db.execute(sql, parameters)) as cursor:
        return cursor.fetchall()


@asynccontextmanager
async def connect(
    path: str, *, patience: float = 10.0, trusted: bool = False, statements: int = STORE_STATEMENTS
) -> AsyncIterator[Connection]:
    """Open the SQLite file at *path* for the length of a `with` block.

    Unless the file is *trusted*, as only smtd's own journal is, no code in its schema may run
    (`untrusted.py`).

    *patience*: seconds to wait for another process's lock. *statements*: how many prepared statements to
    cache for a file that is not trusted. Cancellation interrupts the running statement, rolls back, and
    always ends the connection's thread (unshielded, aiosqlite leaks it and the process never exits:
    measured). Raises sqlite3.Error, and NotRegular if the file, or one that SQLite keeps beside it, is not
    a regular file.
    """
    await to_thread.run_sync(check, Path(path))
    guard = Guard(MOST_STEPS)
    is_frozen = await to_thread.run_sync(readonly.is_frozen, Path(path))
    place = readonly.address(Path(path)) if is_frozen else path
    with CancelScope(shield=True):
        try:
            db = await aiosqlite.connect(
                place,
                isolation_level=None,
                timeout=patience,
                uri=is_frozen,
                cached_statements=JOURNAL_STATEMENTS if trusted else statements,
            )
        except sqlite3.OperationalError as exc:
            raise await to_thread.run_sync(readonly.explained, Path(path), exc) from exc.__cause__
    try:
        await db.execute("PRAGMA foreign_keys = ON")
        # FULL does not sync the directory: the removed rollback journal can come back after a power cut, and
        # undo what was committed (seen on ext4).
        await db.execute("PRAGMA synchronous = EXTRA")
        if not trusted:
            await _crossing(db, guard.install)
        yield Connection(db, guard, Path(path))
    except BaseException:
        with CancelScope(shield=True):
            await db.interrupt()
        raise
    finally:
        with CancelScope(shield=True):
            try:
                if db.in_transaction:
                    await db.rollback()
            finally:
                await db.close()


@contextmanager
def opened(
    path: Path, *, mode: str = "rw", options: str = "", patience: float = 10.0, guard: Guard | None = None
) -> Iterator[sqlite3.Connection]:
    """Open the SQLite file at *path*, which must be there, in autocommit mode and in this thread. Blocks.

    *mode* and *options* go into SQLite's URI. No code in the schema may run. All statements in the block
    together may take ten times `MOST_STEPS`, unless *guard* has another limit. Raises
    sqlite3.Error (`SchemaCodeBlocked` among them) and NotRegular, as `connect` does.
    """
    check(path)
    guard = guard or Guard(10 * MOST_STEPS)
    address = f"{path.absolute().as_uri()}?mode={mode}{options}"
    if readonly.is_frozen(path):
        address = readonly.address(path)
    with (
        readonly.explaining(path),
        guard.watching(),
        closing(sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)) as db,
    ):
        guard.install(db)
        yield db


#: What sqlite3 raises; the second in place of an error whose text contains a name that is not Unicode.
ERRORS = (sqlite3.Error, UnicodeDecodeError)


def script(text: str) -> list[str]:
    """Return the statements of *text*, whose comments are whole lines."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [statement.strip() for statement in lines.split(";\n") if statement.strip()]


def lenient(text: bytes) -> str:
    """Decode a text of a database that may not be Unicode: other bytes become lone surrogates."""
    return text.decode("utf-8", "surrogateescape")


def is_busy(exc: Exception) -> bool:
    """Say whether *exc* only means that another process holds the lock."""
    return isinstance(exc, sqlite3.OperationalError) and "locked" in str(exc)


def store_error(exc: Exception, location: str) -> StoreError:
    """Return SQLite's error *exc* for the store at *location* as one that says what to do next."""
    if isinstance(exc, SchemaCodeBlocked):
        return StoreRefused(f"{location} {exc}")
    if is_busy(exc):
        return StoreUnreachable(f"{location} is locked by another program; try again later")
    if isinstance(exc, sqlite3.OperationalError):
        return StoreUnreachable(f"{location} cannot be used: {exc}")
    return StoreRefused(f"{location} is damaged ({exc}); restore it from a backup")
