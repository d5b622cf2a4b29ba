"""The stores of one pair: located, kept open from cycle to cycle, and their files watched all the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack, nullcontext
from functools import partial

from anyio import to_thread

from smtd.daemon.dirty import ChangeSource, DirtyFlag
from smtd.daemon.settings import PairSettings
from smtd.daemon.unanswered import AskedStore, Questions
from smtd.errors import SmtdError
from smtd.filestat import Signature, age
from smtd.merge.sides import SIDES, Both, Side
from smtd.stores.base import Store
from smtd.stores.discovery import known_while_open
from smtd.stores.driver import Announcements
from smtd.stores.location import Location
from smtd.stores.registry import open_store, subscribe
from smtd.watch import Watch

log = logging.getLogger("smtd")


class StoreSession:
    """The stores of the pair of *settings*; between two cycles they stay open and hold no lock.

    *dirty* is set when the status of their files changes, when a store reports a change, and when a
    subscription to such reports is lost. *relocated* is called with the previous locations of the stores
    (None: not found before) and the present ones.
    """

    def __init__(
        self,
        settings: PairSettings,
        locate: Callable[[], Both[Location]],
        watch: Watch,
        dirty: DirtyFlag,
        relocated: Callable[[Both[Location] | None, Both[Location]], None],
    ) -> None:
        self.locations: Both[Location] | None = None
        self._settings = settings
        self._locate = locate
        self._watch = watch
        self._dirty = dirty
        self._files_differ = partial(dirty.notice, ChangeSource.FILES)
        self._reported = partial(dirty.notice, ChangeSource.REPORT)
        self._relocated = relocated
        self._open = AsyncExitStack()
        self._stores: Both[Store] | None = None
        #: When the last cycle, or other job, began, on the monotonic clock.
        self._began = time.monotonic()
        #: The subscriptions to all stores that report changes.
        self._announcements = Both(Announcements(bool, bool), Announcements(bool, bool))
        #: What the servers are being asked, for other tasks.
        self.questions = Questions()

    @property
    def identities(self) -> tuple[str, ...]:
        """The identities of both stores; empty until the stores are found."""
        locations = self.locations
        return () if locations is None else (locations.left.identity, locations.right.identity)

    @property
    def projects(self) -> Collection[str] | None:
        """The projects to sync (None: all of both stores); final once the stores are found."""
        locations, settings = self.locations, self._settings
        return (settings.policy if locations is None else settings.scoped(locations)).projects

    @property
    def are_watched(self) -> bool:
        """Whether a write to either store is noticed now: its files show it, or the store announces it."""
        locations = self.locations
        return locations is not None and all(
            locations[side].files or self._is_followed(side) for side in SIDES
        )

    @property
    def are_followed(self) -> bool:
        """Whether a store announces its changes now, so that it need not be asked."""
        return any(self._is_followed(side) for side in SIDES)

    def _is_followed(self, side: Side) -> bool:
        stores = self._stores
        return (
            stores is not None
            and stores[side].capabilities.announces
            and all(self._announcements[each].is_current() for each in SIDES)
        )

    @property
    def rereads(self) -> bool:
        """Whether a store shows an edit only when the record is read again; False until they are opened."""
        stores = self._stores
        return stores is not None and any(stores[side].capabilities.costly_reads for side in SIDES)

    @property
    def settles_by_key(self) -> bool:
        """Whether cycles are cheap and know which records may be half saved, so need not await a burst's end.

        False with a server from which each cycle gets the whole listing.
        """
        locations, stores = self.locations, self._stores
        return (
            locations is not None
            and stores is not None
            and not self.rereads
            and all(stores[side].capabilities.tracks for side in SIDES if locations[side].files)
        )

    async def locate(self) -> Both[Location]:
        """Return where the stores are now. Raises SmtdError."""
        return await to_thread.run_sync(self._locate)

    async def ready(self) -> tuple[Both[Location], Both[Store]]:
        """Return where the stores are now, and the open stores. Raises SmtdError."""
        self._began = time.monotonic()
        locations = await self.locate()
        is_alive = all(self._announcements[side].is_alive() for side in SIDES)
        if self._stores is None or not self._are_at(locations) or not is_alive:
            await self._open.aclose()
            self._follow(locations)
            opened = [await self._opened(side, locations[side]) for side in SIDES]
            self._announcements = Both(*[announcements for announcements, _ in opened])
            self._stores = Both(*[store for _, store in opened])
        return locations, self._stores

    async def _opened(self, side: Side, location: Location) -> tuple[Announcements, Store]:
        """Subscribe to the changes of the store on *side*, and open it, until the stores are closed."""
        asking = partial(self.questions.asking, side)
        is_file = bool(location.files)  # a file is not waited for: it answers, or raises an error
        with nullcontext() if is_file else asking():
            announcements = await self._open.enter_async_context(subscribe([location], self._reported))
            store = await self._open.enter_async_context(open_store(location))
        self._open.enter_context(await to_thread.run_sync(known_while_open, location))
        return announcements, store if is_file else AskedStore(store, asking)

    async def close(self) -> None:
        """Close the stores, and log an error if that fails; the next job opens them again in any case."""
        self._stores = None
        try:
            await self._open.aclose()
        except Exception:
            log.exception("pair %s: a store cannot be closed", self._settings.name)

    async def end(self) -> None:
        """Close the stores, and stop watching their files."""
        await self.close()
        self._watch.remove(self)

    def watch_candidates(self) -> None:
        """Watch the places where the stores may appear, if they are not found yet."""
        if self.locations is None:
            self._watch.put(self, self._settings.places, self._files_differ)

    async def age(self) -> float:
        """Return the seconds since the last write to the files (infinite: no file is known)."""
        return float("inf") if self.locations is None else age(await self._watch.stat(self))

    async def is_unchanged(self) -> bool:
        """Say whether no program wrote to a store since the last cycle, as far as the stores can tell.

        Call it only while no other task uses the stores.
        """
        if self._stores is None or self._dirty.since is not None:
            return False
        stores = [self._stores[side] for side in SIDES]
        try:
            return all([one.capabilities.costly_reads or await one.token() is not None for one in stores])
        except SmtdError:
            return False

    async def acknowledge(self) -> bool:
        """Accept the current status of the files as seen; say whether the stores are where they were."""
        seen, again = await to_thread.run_sync(self._status_and_place)
        self._watch.acknowledge(self, seen, self._began)
        return self._are_at(again)

    def _status_and_place(self) -> tuple[Signature, Both[Location]]:
        """Return the status of the files, and then where the stores are. Blocks."""
        return self._watch.status(self), self._locate()

    def _are_at(self, locations: Both[Location]) -> bool:
        """Say whether the stores are still at *locations*, and links still lead to the same files."""
        before = self.locations
        names = locations.map(lambda each: each.name)
        return locations == before and names == before.map(lambda each: each.name)

    def _follow(self, locations: Both[Location]) -> None:
        """Take *locations* as those of the stores, report the move, and watch their files."""
        self._relocated(self.locations, locations)
        self.locations = locations
        files = [file for side in SIDES for file in (*locations[side].files, *locations[side].signposts)]
        self._watch.put(self, files, self._files_differ)
