"""Run a cycle, a preview or a query on a pair; each opens the pair and locks other processes out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TypeVar

import anyio
from anyio import to_thread

from smtd import pairing
from smtd.daemon import malloc
from smtd.daemon.dirty import ChangeSource, DirtyFlag
from smtd.daemon.jobs import SyncOptions, Work
from smtd.daemon.settings import PairSettings, narrowed
from smtd.daemon.store_session import StoreSession
from smtd.engine import cycle
from smtd.engine.pair import Pair
from smtd.engine.report import PairReport, Progress
from smtd.errors import PlanChanged, UsageError
from smtd.journal.journal import Journal
from smtd.merge.sides import SIDES, Both
from smtd.records.parameters.content import forget_meanings
from smtd.records.record import Key
from smtd.stores.base import Store
from smtd.stores.location import Location

log = logging.getLogger("smtd")

T = TypeVar("T")

#: After a cycle that wrote at least this many records, free memory is returned to the system.
MANY = 100
#: Seconds after which a first cycle no longer waits for others: a pair may have a large store, or a file that
#: hangs.
PATIENCE = 20.0


class PairRunner:
    """Runs one thing at a time on the pair of *settings*, with the stores that *session* keeps open.

    An error closes the stores, unless it is a user's mistake or the plan that a user expected has changed.
    *first_cycles* is the lock by which the first cycles of all pairs take turns.
    """

    def __init__(
        self,
        settings: PairSettings,
        journal: Journal,
        session: StoreSession,
        dirty: DirtyFlag,
        progress: Progress,
        first_cycles: anyio.Lock,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._session = session
        self._dirty = dirty
        self._progress = progress
        self._first_cycles = first_cycles
        self._warned_of_scope = False
        #: The journal has the name of the pair, for the time when the pair is no longer configured.
        self._is_named = False
        #: No cycle has ended yet: the first one may read both stores whole, and waits for half-saved records.
        self._is_first = True

    async def sync(self, options: SyncOptions, recheck: Collection[Key]) -> PairReport:
        """Run one cycle as *options* say; read the records of *recheck* in any case. Raises SmtdError."""
        async with self._ready() as (locations, stores):
            policy = options.applied(self._settings.scoped(locations))
            policy = replace(policy, wait_to_settle=policy.wait_to_settle or self._is_first)
            # A server may be slow to answer: other pairs do not wait for that.
            must_wait = self._is_first and all(locations[side].files for side in SIDES)
            async with turn(self._first_cycles) if must_wait else nullcontext():
                report = await pairing.sync(
                    *(self._journal, self._settings.name, locations, stores, policy),
                    expected_plan=options.expected_plan,
                    progress=self._progress,
                    ended=self._unmask,
                    recheck=recheck,
                )
            if report.written >= MANY or self._is_first:
                self._is_first = False
                forget_meanings()
                await to_thread.run_sync(malloc.trim)
            return report

    async def preview(self, recheck: Collection[Key]) -> PairReport:
        """Return what a cycle would do. Raises SmtdError."""
        async with self._ready() as (locations, stores):
            return await pairing.preview(
                *(self._journal, self._settings.name, locations, stores, self._settings.scoped(locations)),
                progress=self._progress,
                recheck=recheck,
            )

    async def query(self, work: Work[T]) -> T:
        """Run *work* on the pair, and return its result. Raises SmtdError."""
        async with self._ready() as (locations, stores):
            name, policy = self._settings.name, self._settings.scoped(locations)
            async with pairing.opened(self._journal, name, locations, stores, policy) as pair:
                return await work(pair)

    @asynccontextmanager
    async def _ready(self) -> AsyncIterator[tuple[Both[Location], Both[Store]]]:
        """Yield where the stores are, and the stores; close them after an error, as the class says."""
        # Store the error in no variable here: it refers to this frame, and together they would keep all
        # objects of the failed work in memory.
        try:
            yield await self._session.ready()
        except (UsageError, PlanChanged):
            raise
        except Exception:
            await self._session.close()
            raise

    async def _unmask(self, pair: Pair) -> None:
        """Unmask the dirty flag; set it if another program wrote to a store since its scan, or a store moved.

        Called when a cycle has written all that it writes.
        """
        self._dirty.unmask(ChangeSource.REPORT)
        if not self._is_named:
            await pair.journal.set_name(self._settings.name)
            self._is_named = True
        await self._warn_of_scope(pair)
        same = await self._session.acknowledge()
        self._dirty.unmask(ChangeSource.FILES)
        if not (same and await cycle.is_unchanged(pair)):
            self._dirty.set()

    async def _warn_of_scope(self, pair: Pair) -> None:
        """Warn once if the pair syncs fewer projects than before, and say how to sync them all."""
        projects = pair.policy.projects
        if self._warned_of_scope or self._settings.names_projects or projects is None:
            return
        self._warned_of_scope = True
        if await pair.journal.baseline_count(None) > await pair.journal.baseline_count(projects):
            log.warning(narrowed(self._settings.name, *projects))


@asynccontextmanager
async def turn(first_cycles: anyio.Lock) -> AsyncIterator[None]:
    """Wait for a turn, `PATIENCE` seconds at most, and keep it until the end of the block.

    A first cycle may read both stores whole. If all pairs did so at once when a daemon starts, the process
    would keep the memory for good: of memory that is free in many small pieces, hardly any goes back to the
    system (measured with six pairs of 1,000 records: 113 MB at once, 69 MB one after the other).
    """
    has_turn = False
    with anyio.move_on_after(PATIENCE):
        await first_cycles.acquire()
        has_turn = True
    try:
        yield
    finally:
        if has_turn:
            first_cycles.release()
