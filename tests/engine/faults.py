"""Cycles that end at any step: before its effect, in the middle of it, or just after it.

A step is one call of a store or of the journal. After a crash the next start finds only the files of the
journal and the contents of the stores.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

from anyio import CancelScope
from anyio.lowlevel import checkpoint

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.base import Change, Outcome, Store
from tests.engine.world import World
from tests.sampling import SOAK

T = TypeVar("T")
Effect = Callable[[], Awaitable[T]]


#: Errors and cancellations hit every step, or every fifth one.
EVERY = 1 if SOAK else 5
#: The steps that change a store or the journal.
CHANGING = {"write", "begin_cycle", "intend", "transaction", "put", "flag", "note_rereads"}
CHANGING |= {"update", "update_rows", "store_fingerprints"}


class Crashed(Exception):
    """The cycle ended here."""


@dataclass
class Faults:
    """Makes step number *at* fail, once: *when* is `before`, `during` or `after` its effect.

    *how*: an `error` that the cycle sees, a `cancel` of the cycle, or a `kill`, after which nothing of the
    cycle runs any more. For a kill, all steps that only read are alike.
    """

    at: int
    when: str
    how: str
    world: World
    scratch: Path
    steps: list[str] = field(default_factory=list)
    scope: CancelScope = field(default_factory=CancelScope)
    #: What the crash left (None: the cycle had fewer steps).
    left: World | None = None

    async def step(self, where: str, name: str, effect: Effect[T], half: Effect[Any] | None = None) -> T:
        """Do *effect*, or fail; *half* is a part of it."""
        if (self.when == "during" and half is None) or (self.how == "kill" and name not in CHANGING):
            return await effect()
        mine = len(self.steps) == self.at
        self.steps.append(f"{where}.{name}")
        if mine and self.when == "during" and half is not None:
            await half()
        if mine and self.when != "after":
            await self.fail()
        result = await effect()
        if mine:
            await self.fail()
        return result

    async def fail(self) -> None:
        """End the cycle."""
        self.left = self.world
        if self.how == "kill":
            self.left = self.world.fork(self.scratch)
        if self.how == "cancel":
            self.scope.cancel()
            await checkpoint()
        raise Crashed


class Steps(Protocol):
    """Decides what happens at each step."""

    async def step(self, where: str, name: str, effect: Effect[T], half: Effect[Any] | None = None) -> T:
        """Do *effect*, or fail; *half* is a part of it."""


class FaultyStore:
    """A store of which each call is a step."""

    def __init__(self, store: Store, faults: Steps) -> None:
        self._store = store
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name in ("location", "kind", "capabilities", "rest"):  # of which none can fail
            return found
        return lambda *words, **more: self._faults.step(
            self._store.location, name, lambda: found(*words, **more)
        )

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        some = changes[: len(changes) // 2]
        return await self._faults.step(
            self._store.location,
            "write",
            lambda: self._store.write(changes),
            (lambda: self._store.write(some)) if some else None,
        )


class FaultyJournal:
    """The journal of a pair, of which each call is a step."""

    def __init__(self, journal: Any, faults: Steps) -> None:
        self._journal = journal
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._journal, name)
        if name == "at_one_moment":
            return lambda work: work()  # each call in it is a step
        if name in ("history", "number", "order", "location", "advanced"):
            return found
        if name in ("decisions", "write_log", "checkpoints", "scrub_log"):
            return FaultyJournal(found, self._faults)
        if name == "indexes":
            return found.map(lambda index: FaultyJournal(index, self._faults))
        return lambda *words, **more: self._faults.step("journal", name, lambda: found(*words, **more))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        notes = _Notes()
        yield notes

        async def commit() -> None:
            async with self._journal.transaction() as tx:
                for name, words in notes.calls:
                    getattr(tx, name)(*words)

        await self._faults.step("journal", "transaction", commit)


class _Notes:
    """The notes of a transaction, until they are committed as one step."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def note(*words: Any) -> None:
            self.calls.append((name, words))

        return note


async def run_into(faults: Faults, work: Callable[[Pair], Awaitable[Any]], **policy: Any) -> None:
    """Do *work* on the pair of the world of *faults*, until it ends or fails."""
    world = faults.world
    stores: Both[Store] = Both(FaultyStore(world.left, faults), FaultyStore(world.right, faults))
    with faults.scope:
        try:
            async with (
                open_journal(world.directory) as journal,
                journal.pair(world.left.location, world.right.location) as known,
            ):
                faulty: Any = FaultyJournal(known, faults)
                await work(Pair("pair", stores, faulty, Policy(**policy)))
        except Exception:
            if faults.left is None:
                raise


async def crashes(
    world: World, when: str, how: str, work: Callable[[Pair], Awaitable[Any]] = cycle.run, **policy: Any
) -> AsyncIterator[tuple[str, World]]:
    """Yield *world* as every crash of *work* (its next cycle) leaves it, with the name of the step.

    `make test` tries every third error and cancellation, at other steps before than after; `make soak` tries
    all.
    """
    first, every = (int(when == "after"), EVERY) if how != "kill" and when != "during" else (0, 1)
    for at in count(first % every, every):
        place = world.directory.with_name(f"{world.directory.name}-{how}-{when}-{at}")
        scratch = place.with_name(f"{place.name}-left")
        faults = Faults(at, when, how, world.fork(place), scratch)
        await run_into(faults, work, **policy)
        if faults.left is None:
            return
        yield f"{when} step {at}, {faults.steps[-1]}", faults.left
