"""Accidents of one cycle: a step that fails, a process that ends, an outdated listing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from anyio import CancelScope
from anyio.lowlevel import checkpoint

from smtd.journal.journal import Journal
from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.stores.base import NOTHING_KNOWN, Capabilities, Change, Outcome, Scan, Store, Token
from smtd.stores.wrapped import WrappedStore
from tests.engine.faults import CHANGING, Crashed, Effect, FaultyJournal, FaultyStore, T


@dataclass
class Accident:
    """Step number *at* fails, *when* (`before`, `during` or `after` its effect) and *how*.

    *how*: an `error` that the cycle sees, a `cancel` of the cycle, or an `end`, after which no step has any
    effect any more. A lost acknowledgement is an error after the effect.
    """

    at: int
    when: str
    how: str
    seen: int = 0
    over: bool = False
    #: The scope of a cycle that is cancelled.
    scope: CancelScope | None = None

    async def step(self, where: str, name: str, effect: Effect[T], half: Effect[Any] | None = None) -> T:
        """Do *effect*, or fail; *half* is a part of it."""
        if self.over and self.how == "end":
            raise Crashed
        if self.how == "end" and name not in CHANGING:
            return await effect()
        mine = self.seen == self.at
        self.seen += 1
        if mine and self.when == "during" and half is not None:
            await half()
        if mine and self.when != "after":
            await self._fail()
        result = await effect()
        if mine:
            await self._fail()
        return result

    async def _fail(self) -> None:
        self.over = True
        if self.how == "cancel" and self.scope is not None:
            self.scope.cancel()
            await checkpoint()
        raise Crashed

    def store(self, store: Store) -> Store:
        """Return *store*, with each call as a step."""
        faulty: Any = FaultyStore(store, self)
        return faulty  # type: ignore[no-any-return]

    def journal(self, journal: Journal) -> Any:
        """Return *journal*, with each call of the part of a pair as a step."""
        return _Journal(journal, self)


class _Journal:
    """A journal whose part of a pair works in steps."""

    def __init__(self, journal: Journal, accident: Accident) -> None:
        self._journal = journal
        self._accident = accident

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    @asynccontextmanager
    async def pair(self, left: str, right: str) -> AsyncIterator[Any]:
        async with self._journal.pair(left, right) as known:
            yield FaultyJournal(known, self._accident)


class ReadOnlyStore(WrappedStore):
    """A store that cannot be written at the moment."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._store.capabilities, read_only="it is mounted read-only")

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        raise AssertionError(f"written to, though nothing can be: {changes}")


class OldListing(WrappedStore):
    """A store that once shows the findings of an earlier scan, as a cache or a replica does."""

    def __init__(self, store: Store, old: Scan) -> None:
        super().__init__(store)
        self._old: Scan | None = old

    async def scan(
        self, projects: Collection[str] | None = None, *, known: Mapping[Key, Digest] = NOTHING_KNOWN
    ) -> Scan:
        old, self._old = self._old, None
        return old or await super().scan(projects, known=known)

    async def token(self) -> None:
        """Return None: what the store showed is not its state."""

    async def unchanged_since(self, token: Token) -> bool:
        return False
