"""Open the two stores of a pair, check whether they were replaced, and run a cycle of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

from anyio import to_thread

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport, Progress, no_progress
from smtd.engine.scrub.verify import ScrubSession
from smtd.errors import StoreUnreachable, UsageError
from smtd.journal.journal import Journal
from smtd.journal.pair import PairJournal
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import Key
from smtd.replacement import ReplacementCheck
from smtd.stores.base import Store
from smtd.stores.location import Location
from smtd.stores.registry import make, open_store
from smtd.text import shown

#: The name that stands for all projects of both stores.
ALL = "*"


def projects(locations: Both[Location], how: str) -> frozenset[str] | None:
    """Return the projects of a pair for which the user named none; None: all of both stores.

    A project directory stands for its own project, and not for all others that its store, or the store on
    the other side, may contain. *how* says how to name projects. Raises UsageError if the sides are the
    directories of two different projects.
    """
    left, right = locations.left.project, locations.right.project
    if left is not None and right is not None and left != right:
        raise UsageError(
            f"the left side is the directory of project {shown(left)} and the right side that of"
            f" {shown(right)}; choose the projects to sync {how}"
        )
    only = left if left is not None else right
    return None if only is None else frozenset({only})


@asynccontextmanager
async def open_stores(locations: Both[Location]) -> AsyncIterator[Both[Store]]:
    """Open the stores at *locations*; they hold no lock between two calls."""
    async with open_store(locations.left) as left, open_store(locations.right) as right:
        yield Both(left, right)


async def _recall(known: PairJournal) -> tuple[bool, Both[str]]:
    """Return whether the stores of a pair were synced before, and their marks; await only the journal."""
    return await known.has_baselines(), await known.store_marks()


async def _expect_stores(locations: Both[Location]) -> None:
    """Raise StoreUnreachable if a store is missing; call it for stores that were synced before."""
    for side in await to_thread.run_sync(_missing, locations):
        raise _gone(locations[side])


async def _expect_places(journal: Journal, locations: Both[Location]) -> None:
    """Raise StoreUnreachable if a store is missing and another kind of store was synced at its place before.

    A project file does not say which kind of shelf its store is, so the kind of a missing one is unknown.
    """
    if missing := await to_thread.run_sync(_missing, locations):
        known = {identity for pair in (await journal.pairs()).values() for identity in pair}
        for side in missing:
            others = known - {locations[side].identity}
            if _place(locations[side].identity) in map(_place, others):
                raise _gone(locations[side])


def _place(identity: str) -> str:
    return identity.partition(":")[2]


def _gone(location: Location) -> StoreUnreachable:
    return StoreUnreachable(
        f"{location} is missing, but was synced before; bring it back, or let smtd forget the pair"
        " (smtd forget) to fill a new store"
    )


def _missing(locations: Both[Location]) -> list[Side]:
    """Return the sides whose stores are missing. Blocks."""
    return [side for side in SIDES if locations[side].is_missing()]


async def known(journal: Journal, name: str, locations: Both[Location]) -> PairJournal:
    """Return what the journal knows of a pair, without locking the pair.

    Raises UsageError if the pair was never synced.
    """
    found = await journal.known(locations.left.identity, locations.right.identity)
    if found is None:
        raise UsageError(
            f"pair {name} has not been synced yet, so there is nothing to verify; run smtd sync now"
        )
    return found


@asynccontextmanager
async def scrubbing(
    journal: Journal, name: str, locations: Both[Location], policy: Policy
) -> AsyncIterator[ScrubSession]:
    """Open the stores of a pair for a scrub: separately, and without locking the pair.

    Raises UsageError if the pair was never synced, StoreUnreachable if a store is missing.
    """
    found = await known(journal, name, locations)
    if await found.has_baselines():
        await _expect_stores(locations)
    async with open_stores(locations) as stores:
        yield ScrubSession(name, stores, found, policy)


async def _nothing(pair: Pair) -> None:
    """Do nothing: the default for `sync`'s *ended*."""


@asynccontextmanager
async def opened(
    journal: Journal, name: str, locations: Both[Location], stores: Both[Store], policy: Policy
) -> AsyncIterator[Pair]:
    """Open the pair of *stores*, in whichever order the journal has it, locked against other processes.

    Raises StoreUnreachable if a store is missing that was synced before: a missing store must not count as
    the deletion of its records.
    """
    async with journal.pair(locations.left.identity, locations.right.identity) as known:
        has_baselines, before = await known.at_one_moment(partial(_recall, known))
        if has_baselines:
            await _expect_stores(locations)
        else:
            await _expect_places(journal, locations)
        sides = Both(
            *[
                ReplacementCheck(locations[side], stores[side], before[side], has_baselines=has_baselines)
                for side in SIDES
            ]
        )
        for side in SIDES:
            await sides[side].open()

        async def begin() -> None:
            for side in SIDES:
                await sides[side].begin()

        async def is_another(side: Side) -> bool:
            return await sides[side].is_another()

        async def now(written: Both[bool], ended: bool = False) -> Both[str]:
            return Both(*[await sides[side].remembered(written[side], ended) for side in SIDES])

        try:
            yield Pair(name, stores, known, policy, begin, is_another, now)
        finally:
            for side in SIDES:
                stores[side].rest()


async def preview(
    journal: Journal,
    name: str,
    locations: Both[Location],
    stores: Both[Store],
    policy: Policy,
    *,
    progress: Progress = no_progress,
    recheck: Collection[Key] = (),
) -> PairReport:
    """Return what a cycle of the pair of *stores*, at *locations*, would do. Raises what `sync` raises."""
    async with opened(journal, name, locations, stores, policy) as pair:
        return await cycle.preview(pair, progress=progress, recheck=recheck)


async def sync(
    journal: Journal,
    name: str,
    locations: Both[Location],
    stores: Both[Store],
    policy: Policy,
    *,
    expected_plan: str | None = None,
    progress: Progress = no_progress,
    ended: Callable[[Pair], Awaitable[None]] = _nothing,
    recheck: Collection[Key] = (),
) -> PairReport:
    """Run one cycle of the pair of *stores*, at *locations*.

    *ended* is called after the cycle, while the pair is still locked. For the rest see `cycle.run`.
    Raises StoreUnreachable if a store is missing that was synced before, and what `cycle.run` raises.
    """
    async with opened(journal, name, locations, stores, policy) as pair:
        report = await cycle.run(pair, expected_plan=expected_plan, progress=progress, recheck=recheck)
        if not report.in_sync:  # otherwise both stores exist
            await _make_new(pair, locations)
        written = Both(*[report.side(side).written > 0 for side in SIDES])
        # A replaced store keeps counting as another one until every difference in it has been decided.
        ended_well = bool(report.adopted) or await cycle.has_decided(pair)
        await pair.journal.set_store_marks(await pair.marks(written, ended=ended_well))
        await ended(pair)
        return report


async def _make_new(pair: Pair, locations: Both[Location]) -> None:
    """Create the missing store of a pair, although the other one has no record yet.

    smtd leaves the store of a project to Sumatra. It creates nothing if both stores are missing: probably a
    name is misspelt.
    """
    missing = await to_thread.run_sync(_missing, locations)
    if len(missing) == 1:
        (side,) = missing
        if side in pair.policy.mode.targets and locations[side].project is None:
            await make(locations[side], pair.stores[side])
