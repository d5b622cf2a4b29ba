"""A pair of real stores and its journal, over any number of cycles, as `smtd sync` runs them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from anyio import to_thread

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport
from smtd.errors import StoreError
from smtd.journal.journal import open_journal
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import Key, Record
from smtd.stores.base import Store
from tests.command import Answer, Smtd
from tests.stores.places import DjangoPlace, ShelfPlace

RealPlace: TypeAlias = ShelfPlace | DjangoPlace


class RealPair:
    """A pair at two places, whose journal is in *directory*."""

    def __init__(self, directory: Path, left: RealPlace, right: RealPlace) -> None:
        self.directory = directory
        self.places = Both(left, right)

    @property
    def left(self) -> RealPlace:
        """The place of the left side."""
        return self.places.left

    @property
    def right(self) -> RealPlace:
        """The place of the right side."""
        return self.places.right

    async def cycle(
        self, stores: Both[Store] | None = None, *, dry_run: bool = False, **policy: Any
    ) -> PairReport:
        """Run one cycle, with *stores* if they have stayed open, otherwise with newly opened ones."""
        locations = self.places.map(lambda place: place.location)
        async with open_journal(self.directory) as journal, pairing.open_stores(locations) as fresh:
            opened = stores or fresh
            run = pairing.preview if dry_run else pairing.sync
            return await run(journal, "pair", locations, opened, Policy(**policy))

    async def tried(self) -> PairReport | StoreError:
        """Run one cycle, and return its report, or its error."""
        try:
            return await self.cycle()
        except StoreError as exc:
            return exc

    async def by(self, smtd: Smtd) -> Answer:
        """Run one cycle with the command."""
        left, right = (self.places[side].location.path for side in SIDES)
        return await to_thread.run_sync(smtd, "sync", "--state", self.directory, left, right)

    async def on_pair(self, work: Any, *words: Any, **more: Any) -> Any:
        """Do *work* on the pair, as the worker does."""
        locations = self.places.map(lambda place: place.location)
        async with (
            open_journal(self.directory) as journal,
            pairing.open_stores(locations) as stores,
            pairing.opened(journal, "pair", locations, stores, Policy()) as pair,
        ):
            return await work(pair, *words, **more)

    def journal(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of *query* from the journal file."""
        with closing(sqlite3.connect(self.directory / "journal.sqlite")) as db:
            return db.execute(query).fetchall()

    async def records(self, side: Side) -> dict[Key, Record]:
        """Return every complete record of one side."""
        async with self.places[side].open() as store:
            return await store.read(list((await store.scan()).digests))

    async def labels(self, side: Side) -> set[str]:
        """Return the labels of one side."""
        return {key.label for key in await self.records(side)}

    async def synced(self, records: Iterable[Record]) -> RealPair:
        """Put *records* into the left store, and sync."""
        await self.left.put(*records)
        assert (await self.cycle()).ok
        return self
