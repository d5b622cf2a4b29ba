"""A store around a store, such as a retrying or a limiting one, which keeps the contract of stores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar, cast

from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import (
    NOTHING_KNOWN,
    Capabilities,
    Change,
    CostlyReadStore,
    MarkedStore,
    Outcome,
    ResumedStore,
    Scan,
    Store,
    Token,
)
from smtd.stores.index import NO_RECHECK, AllHashed, Recheck, RowIndex, RowLook, TrackedStore

T = TypeVar("T")


class WrappedStore:
    """Forwards every call to *store*: all but `write` and `rest` by `_reading`, which wrappers override."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store!r})"

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def kind(self) -> str:
        return self._store.kind

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    async def projects(self) -> list[str]:
        return await self._reading(self._store.projects)

    async def scan(
        self, projects: Collection[str] | None = None, *, known: Mapping[Key, Digest] = NOTHING_KNOWN
    ) -> Scan:
        if not self.capabilities.costly_reads:
            return await self._reading(partial(self._store.scan, projects))
        return await self._reading(partial(cast(CostlyReadStore, self._store).scan, projects, known=known))

    async def track(self, index: RowIndex, recheck: Recheck = NO_RECHECK) -> RowLook:
        return await self._reading(partial(cast(TrackedStore, self._store).track, index, recheck))

    async def follow(self, index: RowIndex) -> None:
        await self._reading(partial(cast(TrackedStore, self._store).follow, index))

    async def fingerprint_all(self, index: RowIndex) -> AllHashed | None:
        return await self._reading(partial(cast(TrackedStore, self._store).fingerprint_all, index))

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        return await self._reading(partial(self._store.read, keys))

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return await self._store.write(changes)

    async def token(self) -> Token | None:
        return await self._reading(self._store.token)

    async def unchanged_since(self, token: Token) -> bool:
        return await self._reading(partial(self._store.unchanged_since, token))

    async def flush(self) -> None:
        await self._reading(self._store.flush)

    def rest(self) -> None:
        self._store.rest()

    async def resume(self, token: Token) -> bool:
        return await self._reading(partial(cast(ResumedStore, self._store).resume, token))

    async def mark(self) -> str:
        return await self._reading(cast(MarkedStore, self._store).mark)

    async def is_another(self, before: str, now: str) -> bool:
        return await self._reading(partial(cast(MarkedStore, self._store).is_another, before, now))

    async def _reading(self, call: Callable[[], Awaitable[T]]) -> T:
        return await call()
