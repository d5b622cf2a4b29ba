"""The stores of one pair: where they are now, open from cycle to cycle, and their files watched all along."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from anyio import to_thread

from smtd import pairing
from smtd.engine import cycle
from smtd.engine.pair import Pair
from smtd.errors import SmtdError
from smtd.merge.sides import SIDES, Both
from smtd.signature import age
from smtd.stores.base import Store
from smtd.stores.locations import Location
from smtd.stores.registry import listening
from smtd.watch import Watch

log = logging.getLogger("smtd")


class OpenedStores:
    """The stores of the pair *name*; between two cycles they stay open, and hold no lock.

    *changed* is called when their files look otherwise, *told* when a store says by itself that it does, or
    can be heard no more; *moved* with where they were and where they are.
    """

    def __init__(
        self,
        name: str,
        locate: Callable[[], Both[Location]],
        watch: Watch,
        changed: Callable[[], None],
        told: Callable[[], None],
        moved: Callable[[Both[Location] | None, Both[Location]], None],
    ) -> None:
        self.locations: Both[Location] | None = None
        self._name = name
        self._locate = locate
        self._watch = watch
        self._changed, self._told, self._moved = changed, told, moved
        self._open = AsyncExitStack()
        self._stores: Both[Store] | None = None
        #: When the last cycle began, on the clock that nobody sets.
        self._began = time.monotonic()
        #: Whether all stores that tell of changes can still be heard.
        self._hears: Callable[[], bool] = bool

    @property
    def identities(self) -> tuple[str, ...]:
        """What tells the two stores from all others; none before they were found."""
        locations = self.locations
        return () if locations is None else (locations.left.identity, locations.right.identity)

    @property
    def are_watched(self) -> bool:
        """Whether both stores have files that show when somebody writes to them."""
        locations = self.locations
        return locations is not None and all(locations[side].files for side in SIDES)

    async def locate(self) -> Both[Location]:
        """Return where the stores are now. Raises SmtdError."""
        return await to_thread.run_sync(self._locate)

    async def ready(self) -> tuple[Both[Location], Both[Store]]:
        """Return where the stores are now, and the stores, opened."""
        self._began = time.monotonic()
        locations = await self.locate()
        if self._stores is None or locations != self.locations or not self._hears():
            await self._open.aclose()
            self._follow(locations)
            both = [locations[side] for side in SIDES]
            self._hears = await self._open.enter_async_context(listening(both, self._told))
            self._stores = await self._open.enter_async_context(pairing.open_stores(locations))
        return locations, self._stores

    async def close(self) -> None:
        """Close the stores; the next cycle opens them anew, even if these do not close as they should."""
        self._stores = None
        try:
            await self._open.aclose()
        except Exception:
            log.exception("pair %s: a store cannot be closed", self._name)

    async def end(self) -> None:
        """Close the stores, and watch their files no more."""
        await self.close()
        self._watch.remove(self)

    def expect(self, files: Iterable[Path]) -> None:
        """Watch *files* until the stores are found: there they may come to be."""
        if self.locations is None:
            self._watch.put(self, files, self._changed)

    async def age(self) -> float:
        """Return for how many seconds nobody has written to the files."""
        return age(await self._watch.look(self))

    async def are_settled(self) -> bool:
        """Say whether no store was written to since the last cycle, as far as they can tell."""
        if self._stores is None:
            return False
        stores = [self._stores[side] for side in SIDES]
        try:
            return all([one.capabilities.dear_reads or await one.token() is not None for one in stores])
        except SmtdError:
            return False

    async def note(self, pair: Pair) -> bool:
        """Take the files to be known as they are after a cycle of *pair*.

        Says whether they are: nobody else wrote to them during the cycle, or put others in their place.
        """
        seen = await self._watch.look(self)
        again = await self.locate()
        self._watch.settle(self, seen, self._began)
        return again == self.locations and await cycle.is_settled(pair)

    def _follow(self, locations: Both[Location]) -> None:
        """Watch the files of *locations*, which may be others than before."""
        self._moved(self.locations, locations)
        self.locations = locations
        files = [file for side in SIDES for file in (*locations[side].files, *locations[side].signposts)]
        self._watch.put(self, files, self._changed)
