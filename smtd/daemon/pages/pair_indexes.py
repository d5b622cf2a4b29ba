"""The search indexes of the pairs whose records somebody looks at; each is open only as long as that."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus

from smtd.daemon.pages.pair_indexing import PairIndexing
from smtd.daemon.pair_records import PairAccess
from smtd.web.answers import PageError
from smtd.web.records.index import opened

log = logging.getLogger("smtd")

#: The most indexes that are open at once.
MOST_OPEN = 8


class Start(Protocol):
    """Starts a task of the daemon, waits until it runs, and returns what it reports."""

    async def __call__(self, task: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        """Start *task*."""


class PairIndexes:
    """Opens an index for each pair that is asked for, and closes it when nobody has used it for a while."""

    def __init__(self, access: PairAccess, start: Start) -> None:
        self._access = access
        self._start = start
        self._open: dict[str, PairIndexing] = {}
        self._opening = anyio.Lock()

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[PairIndexing]:
        """Yield the index of the pair *name* for a `with` block. Raises PageError, UsageError."""
        async with self._opening:
            found = self._open.get(name) or await self._opened(name)
            found.users += 1
        try:
            yield found
        finally:
            found.users -= 1

    async def _opened(self, name: str) -> PairIndexing:
        if len(self._open) >= MOST_OPEN:
            sentence = f"The records of {MOST_OPEN} pairs are open already; look again in ten minutes."
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
        try:
            await to_thread.run_sync(_remove_others, self._access.directory, [*self._access.names()])
            found: PairIndexing = await self._start(partial(self._run, name))
        except (OSError, sqlite3.Error) as exc:
            log.warning("the search index of pair %s cannot be opened: %s", name, exc)
            sentence = "The search index cannot be opened; the log of the daemon says more."
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence) from exc
        return found

    async def _run(self, name: str, *, task_status: TaskStatus[PairIndexing]) -> None:
        """Keep the index of the pair *name* open while it is used. Raises what `opened` raises."""
        async with opened(_file(self._access.directory, name)) as index:
            indexing = self._open[name] = PairIndexing(name, self._access, index)
            task_status.started(indexing)
            try:
                await indexing.run()
            except Exception:
                log.exception("the search index of pair %s: a bug in smtd", name)
            finally:
                del self._open[name]  # before it is closed, and with no user left


def _file(directory: Path, name: str) -> Path:
    return directory / f"{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}.sqlite"


def _remove_others(directory: Path, names: Collection[str]) -> None:
    """Remove the indexes of pairs that are not among *names* any more. Blocks."""
    kept = {_file(directory, name).name for name in names}
    with suppress(FileNotFoundError):
        for file in [*directory.iterdir()]:
            main = file.name.removeprefix(".").partition(".sqlite")[0] + ".sqlite"
            if main not in kept and ".sqlite" in file.name:
                file.unlink(missing_ok=True)
