"""Stores around stores keep the contract of what they wrap, and each adds one thing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import anyio
import pytest

from smtd.daemon.unanswered import AskedStore, Questions
from smtd.errors import StoreBusy, StoreUnreachable
from smtd.merge.sides import Side
from smtd.stores import retrying
from smtd.stores.base import DONE, STALE, Capabilities, Change, Outcome, Result, Store
from smtd.stores.limited import EndpointLimits, LimitedStore, limits_of
from smtd.stores.memory import MemoryStore
from smtd.stores.retrying import RetryingStore
from smtd.stores.wrapped import WrappedStore
from tests.build import PROJECT, change, key, record
from tests.stores.asking import create, delete, replace
from tests.stores.contract import ResumedContract
from tests.stores.places import MemoryPlace, Place

T = TypeVar("T")


class MoodyStore(WrappedStore):
    """A store whose calls fail *failing* times before they work; writes and looks count apart."""

    def __init__(self, store: Store, failing: int = 2) -> None:
        super().__init__(store)
        self.calls = {"look": 0, "write": 0}
        self._failing = failing

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        self._count("write")
        return await self._store.write(changes)

    async def _reading(self, call: Callable[[], Awaitable[T]]) -> T:
        self._count("look")
        return await call()

    def _count(self, kind: str) -> None:
        self.calls[kind] += 1
        if self.calls[kind] % (self._failing + 1):
            raise StoreBusy("not now", retry_after=0.0)


class ForgetfulStore(MemoryStore):
    """A store whose first answer to a write is lost."""

    answers = False

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        done = await super().write(changes)
        if not self.answers:
            self.answers = True
            raise StoreBusy("the answer is lost")
        return done


class WrappedPlace(MemoryPlace):
    """A place whose stores are wrapped when they are opened."""

    def __init__(self, wrap: Callable[[Store], Store]) -> None:
        super().__init__()
        self._wrap = wrap

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        async with super().open() as store:
            yield self._wrap(store)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(retrying, name, 0.0)


@pytest.mark.halved
class TestRetryingStore(ResumedContract):
    """The contract for a store around one that fails two of three calls."""

    @pytest.fixture
    def place(self) -> Place:
        return WrappedPlace(lambda store: RetryingStore(MoodyStore(store)))


@pytest.mark.halved
class TestLimitedStore(ResumedContract):
    """The contract for stores that share one token."""

    @pytest.fixture
    def place(self) -> Place:
        shared = EndpointLimits(1)
        return WrappedPlace(lambda store: LimitedStore(store, shared))


@pytest.mark.halved
class TestAskedStore(ResumedContract):
    """The contract for a store whose calls are noted."""

    @pytest.fixture
    def place(self) -> Place:
        return WrappedPlace(lambda store: AskedStore(store, partial(Questions().asking, Side.LEFT)))


async def test_store_that_stays_busy_is_given_up() -> None:
    """After some attempts the caller gets the error."""
    moody = MoodyStore(MemoryStore(), failing=1000)

    with pytest.raises(StoreBusy):
        await RetryingStore(moody).projects()
    assert moody.calls["look"] == retrying.ATTEMPTS
    with pytest.raises(StoreBusy):
        await RetryingStore(moody).write([create(record())])


async def test_write_with_a_lost_answer_is_made_once() -> None:
    """smtd reads the record before it would write again; of a deletion it cannot know who made it."""
    held, gone = record("held"), record("gone")
    store = ForgetfulStore(records={key("held"): held, key("gone"): gone})
    edited = change(held, outcome="new")

    outcomes = await RetryingStore(store).write(
        [
            create(record("new")),
            replace(held, edited),
            delete(gone),
        ]
    )

    assert outcomes == [DONE, DONE, STALE]
    assert store.records == {key("new"): record("new"), key("held"): edited}


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The list of requested pauses; nothing sleeps."""
    wanted: list[float] = []

    async def nap(seconds: float) -> None:
        wanted.append(seconds)

    monkeypatch.setattr(anyio, "sleep", nap)
    monkeypatch.setattr(retrying, "LONGEST_PAUSE", 5.0)
    return wanted


class AskingStore(MemoryStore):
    """A store that asks for each pause of *waits* before it does anything."""

    def __init__(self, *waits: float) -> None:
        super().__init__()
        self._waits = iter(waits)
        self.asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if (seconds := next(self._waits, None)) is not None:
            raise StoreBusy("busy", retry_after=seconds)

    async def projects(self) -> list[str]:
        self._ask()
        return await super().projects()

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        self._ask()
        return await super().write(changes)


async def test_pause_that_a_store_asks_for_is_kept(naps: list[float]) -> None:
    """Instead of the usual pause."""
    assert await RetryingStore(AskingStore(2.0, 5.0)).projects() == []
    assert naps == [2.0, 5.0]


@pytest.mark.parametrize("what", ["look", "write"])
async def test_long_pause_is_left_to_the_caller(what: str, naps: list[float]) -> None:
    """The store is not called again; the caller gets the time."""
    store = AskingStore(2.0, 6.0)
    wrapped = RetryingStore(store)

    with pytest.raises(StoreBusy) as busy:
        await (wrapped.projects() if what == "look" else wrapped.write([create(record())]))

    assert busy.value.retry_after == 6.0
    assert naps == [2.0]
    assert store.asked == 2


@pytest.mark.parametrize("what", ["look", "write"])
async def test_slowly_failing_call_is_retried_once(
    what: str, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is silent for a minute gets one retry, not three."""
    clock = 0.0
    monkeypatch.setattr(anyio, "current_time", lambda: clock)

    class Silent(AskingStore):
        def _ask(self) -> None:
            nonlocal clock
            clock += 60.0
            super()._ask()

    store = Silent(*[0.0] * 10)
    wrapped = RetryingStore(store)

    with pytest.raises(StoreBusy):
        await (wrapped.projects() if what == "look" else wrapped.write([create(record())]))

    assert store.asked == 2


async def test_other_errors_are_not_retried() -> None:
    """Only passing ones are."""
    calls = []

    class Gone(MemoryStore):
        async def projects(self) -> list[str]:
            calls.append("projects")
            raise StoreUnreachable("gone")

    with pytest.raises(StoreUnreachable):
        await RetryingStore(Gone()).projects()
    assert calls == ["projects"]


class TwoSteps(MemoryStore):
    """A store that changes a record by deleting it first."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, atomic_updates=False)


async def test_change_in_two_steps_is_not_retried() -> None:
    """It may be half done; the journal can tell that from a deletion."""

    class BusyBetween(TwoSteps):
        async def write(self, changes: Sequence[Change]) -> list[Outcome]:
            for each in changes:
                self.records.pop(each.key, None)
            raise StoreBusy("between the steps")

    store = BusyBetween(records={key("run"): record()})

    with pytest.raises(StoreBusy):
        await RetryingStore(store).write([replace(record(), change(record(), outcome="new"))])


async def test_change_in_two_steps_that_has_not_begun_is_retried() -> None:
    """If the record is unchanged, the first step has not deleted it."""

    moody = MoodyStore(TwoSteps(records={key("run"): record()}), failing=1)
    edited = change(record(), outcome="new")

    (outcome,) = await RetryingStore(moody).write([replace(record(), edited)])

    assert outcome == DONE
    assert moody.calls["write"] == 2


async def test_known_outcomes_of_a_failed_write_are_not_retried() -> None:
    """A finished deletion does not count as one by another client, and a refused record is not sent twice."""
    offered: list[list[str]] = []

    class Halfway(MemoryStore):
        async def write(self, changes: Sequence[Change]) -> list[Outcome]:
            offered.append([each.key.label for each in changes])
            outcomes = await super().write([each for each in changes if each.key.label != "refused"])
            if len(offered) > 1:
                return outcomes
            busy = StoreBusy("not now")
            busy.decided = {key("gone"): DONE, key("refused"): Outcome(Result.REFUSED, "no")}
            raise busy

    gone, refused, new = record("gone"), record("refused"), record("new")
    store = Halfway(records={key("gone"): gone})

    outcomes = await RetryingStore(store).write(
        [
            delete(gone),
            create(refused),
            create(new),
        ]
    )

    assert outcomes == [DONE, Outcome(Result.REFUSED, "no"), DONE]
    assert offered == [["gone", "refused", "new"]]


async def test_writes_to_one_place_take_turns() -> None:
    """Through all wrappers of that place: one write at a time, and a few reads."""
    at_once = {"write": 0, "scan": 0}
    most = dict(at_once)

    class Counting(MemoryStore):
        async def _counted(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
            at_once[name] += 1
            most[name] = max(most[name], at_once[name])
            await anyio.lowlevel.checkpoint()
            done = await call()
            at_once[name] -= 1
            return done

        async def write(self, changes: Sequence[Change]) -> list[Outcome]:
            return await self._counted("write", lambda: super(Counting, self).write(changes))

        async def projects(self) -> list[str]:
            return await self._counted("scan", super().projects)

    shared = Counting()
    stores = [LimitedStore(shared, limits_of("here", 2)) for _ in range(6)]
    async with anyio.create_task_group() as group:
        for number, store in enumerate(stores):
            group.start_soon(store.write, [create(record(f"run-{number}"))])
            group.start_soon(store.projects)

    assert most == {"write": 1, "scan": 2}
    assert len(shared.records) == len(stores)
    assert await stores[0].write([create(record("last"))]) == [DONE]
    assert await stores[0].projects() == [PROJECT]
