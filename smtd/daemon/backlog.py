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
    """The records of one pair that changed since its sides last agreed, as far as its stores can be read."""

    def __init__(
        self, settings: PairSettings, locate: Callable[[], Awaitable[Both[Location]]], journal: Journal
    ) -> None:
        self._settings = settings
        self._locate = locate
        self._journal = journal
        #: For each side: the token of its store at the last count, and the keys that had changed.
        self._last: dict[Side, tuple[Token, frozenset[Key]]] = {}

    def clear(self) -> None:
        """Forget what was counted, because the sides have agreed on something since."""
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
                return await self._looked(side, locations)
        except (SmtdError, TimeoutError):
            return None

    async def _looked(self, side: Side, locations: Both[Location]) -> frozenset[Key]:
        projects = self._settings.scoped(locations).projects
        async with open_store(locations[side]) as store:
            if side in self._last and await store.unchanged_since(self._last[side][0]):
                return self._last[side][1]
            agreed = await self._agreed(side, locations, projects)
            keys = changed(agreed, await trusting_scan(store, projects, agreed))
            token = await store.token()
        if token is not None:
            self._last[side] = (token, keys)
        return keys

    async def _agreed(
        self, side: Side, locations: Both[Location], projects: Collection[str] | None
    ) -> Mapping[Key, Digest]:
        """Return the digests that *side* had when the sides last agreed."""
        left, right = locations.left.identity, locations.right.identity
        pair = await self._journal.known(left, right)
        agreed = {} if pair is None else await pair.agreed(projects)
        return {key: digests[side] for key, digests in agreed.items()}


def changed(agreed: Mapping[Key, Digest], scan: Scan) -> frozenset[Key]:
    """Return the keys that are new, changed or gone in *scan*; unreadable records do not count."""
    there = {key for key, digest in scan.digests.items() if agreed.get(key) != digest}
    gone = agreed.keys() - scan.digests.keys() - scan.unreadable.keys()
    return frozenset(there | gone)
