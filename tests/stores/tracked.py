"""A store of rows and its index, as a cycle uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from smtd.engine import observe
from smtd.journal import entries
from smtd.journal.index import StoreIndex
from smtd.journal.journal import open_journal
from smtd.records.canonical import digest
from smtd.records.record import Key
from smtd.records.run_status import is_final
from smtd.stores import index as known
from smtd.stores.base import DONE, Change, Changes, Outcome, Scan
from smtd.stores.index import ABSENT, TrackedStore
from tests.stores.places import DjangoPlace


class Tracked:
    """*store* with its *index*: `scan` brings the index up to date, and returns what has changed."""

    def __init__(self, store: TrackedStore, index: StoreIndex) -> None:
        self._store = store
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        before = await self._index.cursor()
        look = await self._store.track(self._index)
        await self._index.update_rows(look, await self._store.token())
        await self._store.follow(self._index)
        found = known.scan(await self._index.present(projects))
        if look.whole:
            return found
        return replace(found, changes=Changes(0, await self._index.changed_since(before, projects)))

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes = await self._store.write(changes)
        done = [each for each, outcome in zip(changes, outcomes, strict=True) if outcome == DONE]
        async with self._index._db.transaction():
            await self._index.note(
                {
                    each.key: ABSENT
                    if each.record is None
                    else known.readable(digest(each.record), final=is_final(each.record))
                    for each in done
                }
            )
        return outcomes

    async def end_cycle(self) -> bool:
        """Do what the end of a cycle does; say whether the index surely matches the store."""
        if await self._index.needs_fingerprints(observe.MANY_WRITTEN):
            fingerprinted = await self._store.fingerprint_all(self._index)
            if fingerprinted is not None:
                await self._index.store_fingerprints(*fingerprinted, await self._index.cursor())
        return await self._store.token() is not None


@asynccontextmanager
async def tracked(place: DjangoPlace, other: str = "other") -> AsyncIterator[Tracked]:
    """Yield the store at *place* with an index of it, as for the pair with *other*.

    No record settles meanwhile, however slow the machine is: that would change the index, too.
    """
    directory = place.location.path.with_name(f"{place.location.path.name}.state")
    async with (
        open_journal(directory) as opened,
        opened.pair(str(place.location), other) as pair,
        place.open() as store,
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(entries, "STILL", 1e6)
            patch.setattr(entries, "LONGEST", 1e6)
            yield Tracked(cast(TrackedStore, store), pair.indexes.left)


def changed(found: Scan) -> set[Key]:
    """Return the keys that changed since the scan before *found*."""
    assert found.changes is not None
    return set(found.changes.keys)
