"""Which server a pair has asked without an answer so far, and since when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta, timezone
from typing import TypeVar

import msgspec

from smtd.merge.sides import Side
from smtd.stores.base import Change, Outcome, Store
from smtd.stores.wrapped import WrappedStore

T = TypeVar("T")

#: A server that answers within this time is not shown as one that pairs wait for.
PROMPT = timedelta(seconds=1)


class Unanswered(msgspec.Struct, frozen=True):
    """The server on *side* has not answered *since* this time: ISO 8601 in UTC."""

    side: str
    since: str


class Questions:
    """What the servers of one pair are being asked."""

    def __init__(self) -> None:
        #: When each began, and whom it asks; the first one is the oldest.
        self._open: list[tuple[datetime, Side]] = []

    @contextmanager
    def asking(self, side: Side) -> Iterator[None]:
        """Note that the server on *side* is asked during a `with` block."""
        question = datetime.now(timezone.utc), side
        self._open.append(question)
        try:
            yield
        finally:
            self._open.remove(question)

    @property
    def unanswered(self) -> Unanswered | None:
        """The server that has been asked for longest; None if each has answered, or been asked just now."""
        if not self._open:
            return None
        since, side = self._open[0]
        if datetime.now(timezone.utc) - since < PROMPT:
            return None
        return Unanswered(side.value, since.isoformat(timespec="seconds"))


class AskedStore(WrappedStore):
    """Opens the context manager that *asking* returns around each call to *store*."""

    def __init__(self, store: Store, asking: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(store)
        self._asking = asking

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        with self._asking():
            return await self._store.write(changes)

    async def _reading(self, call: Callable[[], Awaitable[T]]) -> T:
        with self._asking():
            return await call()
