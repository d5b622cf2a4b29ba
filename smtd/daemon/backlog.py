"""Count the records that wait while a pair cannot sync: those that changed on a readable side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping

import anyio
from anyio import to_thread

from smtd.daemon.settings import PairSettings
from smtd.engine.costly_reads import trusting_scan
from smtd.errors import SmtdError
from smtd.journal.journal import Journal
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.stores.base import Scan, Token
from smtd.stores.location import Location
from smtd.stores.registry import open_store

#: Seconds after which a server counts as unreadable.
PATIENCE = 10.0


class Backlog:
    """The records of one pair that differ from their baselines, as far as its stores can be read."""

    def __init__(
        self, settings: PairSettings, locate: Callable[[], Awaitable[Both[Location]]], journal: Journal
    ) -> None:
        self._settings = settings
        self._locate = locate
        self._journal = journal
        #: For each side: the token of its store at the last count, and the keys that had changed.
        self._last: dict[Side, tuple[Token, frozenset[Key]]] = {}

    def clear(self) -> None:
        """Forget what was counted, because there is a new baseline."""
        self._last.clear()

    async def count(self) -> int | None:
        """Return how many records changed; None if no side can be read. Raises SmtdError.

        Sides with files come first. If one of them can be read, the other side is the one that is
        unreachable, so no server is asked.
        """
        locations = await self._locate()
        files = [side for side in SIDES if locations[side].files]
        for sides in (files, [side for side in SIDES if side not in files]):
            found = [await self._changed(side, locations) for side in sides]
            if known := [keys for keys in found if keys is not None]:
                return len(frozenset().union(*known))
        return None

    async def _changed(self, side: Side, locations: Both[Location]) -> frozenset[Key] | None:
        """Return the keys that changed on one side; None if it cannot be read."""
        if await to_thread.run_sync(locations[side].is_missing):
            return None
        try:
            with anyio.fail_after(None if locations[side].files else PATIENCE):
                return await self._count_changed(side, locations)
        except (SmtdError, TimeoutError):
            return None

    async def _count_changed(self, side: Side, locations: Both[Location]) -> frozenset[Key]:
        projects = self._settings.scoped(locations).projects
        async with open_store(locations[side]) as store:
            if side in self._last and await store.unchanged_since(self._last[side][0]):
                return self._last[side][1]
            baselines = await self._baselines(side, locations, projects)
            keys = changed(baselines, await trusting_scan(store, projects, baselines))
            token = await store.token()
        if token is not None:
            self._last[side] = (token, keys)
        return keys

    async def _baselines(
        self, side: Side, locations: Both[Location], projects: Collection[str] | None
    ) -> Mapping[Key, Digest]:
        """Return the digests of the baselines on *side*."""
        left, right = locations.left.identity, locations.right.identity
        pair = await self._journal.known(left, right)
        baselines = {} if pair is None else await pair.baselines(projects)
        return {key: digests[side] for key, digests in baselines.items()}


def changed(baselines: Mapping[Key, Digest], scan: Scan) -> frozenset[Key]:
    """Return the keys that are new, changed or gone in *scan*; unreadable records do not count."""
    there = {key for key, digest in scan.digests.items() if baselines.get(key) != digest}
    gone = baselines.keys() - scan.digests.keys() - scan.unreadable.keys()
    return frozenset(there | gone)
