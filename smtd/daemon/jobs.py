"""What clients ask of the task that owns a pair: jobs, and the inbox that keeps them until their turn."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import anyio

from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.engine.resolve import Resolution
from smtd.engine.scrub.findings import VerifyReport
from smtd.errors import SmtdError, StoreUnreachable
from smtd.records.record import Key

T = TypeVar("T")
AnyJob = TypeVar("AnyJob", bound="Job[Any]")

log = logging.getLogger("smtd")

#: Seconds between two reports of the progress of jobs.
PROGRESS = 0.5

#: Something to do with a pair while no cycle runs; JSON can represent its result.
Work: TypeAlias = Callable[[Pair], Awaitable[T]]


@dataclass(eq=False)
class Job(Generic[T]):
    """A request with a reply of type *T*; once `done` is set, `outcome` is the reply or the error."""

    #: Whether the job is run also if its client is cancelled while it waits for the reply.
    outlives_client: ClassVar[bool] = True

    done: anyio.Event = field(default_factory=anyio.Event, init=False)
    outcome: T | SmtdError | None = field(default=None, init=False)

    def same_as(self, other: Job[Any]) -> bool:
        """Say whether one run is the reply to both jobs."""
        return self is other

    def finish(self, outcome: T | SmtdError) -> None:
        """Set the outcome, unless there is one already."""
        if not self.done.is_set():
            self.outcome = outcome
            self.done.set()

    async def wait(self) -> T:
        """Wait for the reply and return it, once. Raises the SmtdError that the job ended with."""
        await self.done.wait()
        # An error refers to the frames it passes, and these to the job: the job must not refer to the error.
        outcome, self.outcome = self.outcome, None
        if isinstance(outcome, SmtdError):
            try:
                raise outcome
            finally:
                del outcome
        return outcome  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How a requested cycle differs from a scheduled one.

    *resolution* is stored before the cycle. With *expected_plan* the cycle runs only if that is still its
    plan. *recheck* keys are read whatever the stores say about changes. *force_retry*: a user asks for the
    cycle, so it retries refused writes now, reads the findings of the last scrub again, and waits for records
    that may be half saved.
    """

    include_unfinished: bool = False
    expected_plan: str | None = None
    resolution: Resolution | None = None
    recheck: frozenset[Key] = frozenset()
    force_retry: bool = True

    def applied(self, policy: Policy) -> Policy:
        """Return *policy* with what these options change."""
        hold = policy.hold_unfinished and not self.include_unfinished
        asked = self.force_retry
        return replace(policy, force_retry=asked, wait_to_settle=asked, hold_unfinished=hold)


@dataclass(eq=False)
class Sync(Job[PairReport]):
    """Run one cycle."""

    options: SyncOptions = SyncOptions()

    def same_as(self, other: Job[Any]) -> bool:
        return isinstance(other, Sync) and other.options == self.options


@dataclass(eq=False)
class Preview(Job[PairReport]):
    """Report what the next cycle would do; write nothing."""

    def same_as(self, other: Job[Any]) -> bool:
        return isinstance(other, Preview)


@dataclass(eq=False)
class Query(Job[T]):
    """Call *work* with the opened pair; it may write to the stores unless it *only_reads*."""

    work: Work[T]
    only_reads: bool = False


@dataclass(eq=False)
class Exclusive(Job[T]):
    """Call *work* while nothing else uses the pair; it has its own stores, and only reads.

    These belong to the client: *work* neither starts nor continues after the client has left `Worker.submit`.
    """

    outlives_client: ClassVar[bool] = False

    work: Callable[[], Awaitable[T]]


@dataclass(eq=False)
class Verification(Job[VerifyReport]):
    """Compare both stores of the whole pair, until the client cancels *scope*."""

    deep: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Inbox(Generic[AnyJob]):
    """The jobs of one pair that have no outcome yet; *wake* is called for each new one.

    *unit* is what one job is: "cycle", "verification".
    """

    def __init__(self, wake: Callable[[], None], unit: str) -> None:
        self._wake = wake
        self._unit = unit
        self._waiting: list[AnyJob] = []
        self._running: list[AnyJob] = []
        self._closed = False

    def put(self, job: AnyJob) -> None:
        """Add *job*; once the inbox is closed, finish it with an error."""
        if self._closed:
            self._abandon(job)
        else:
            self._waiting.append(job)
            self._wake()

    def take(self) -> AnyJob | None:
        """Return the job to run next, if there is one; `finish` replies to all that are the same."""
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            (self._running if job.same_as(waiting[0]) else self._waiting).append(job)
        return self._running[0] if self._running else None

    def finish(self, outcome: Any) -> None:
        """Give the last job that was taken, if any, this *outcome*."""
        running, self._running = self._running, []
        for job in running:
            job.finish(outcome)

    def withdraw(self, job: AnyJob) -> bool:
        """Remove *job* if it has not begun; say whether it was removed."""
        if job not in self._waiting:
            return False
        self._waiting.remove(job)
        return True

    def close(self) -> None:
        """Finish all jobs that have no outcome, and all that come later, with an error."""
        self._closed = True
        for job in (*self._running, *self._waiting):
            self._abandon(job)
        self._running, self._waiting = [], []

    def _abandon(self, job: AnyJob) -> None:
        job.finish(
            StoreUnreachable(f"the pair was stopped before its {self._unit} ended; run the command again")
        )


async def caught(pair: str, work: Callable[[], Awaitable[T]]) -> T | SmtdError:
    """Return the result of *work* on *pair*, or its error; a bug in smtd is logged, and is an error, too."""
    try:
        return await work()
    except SmtdError as exc:
        return exc
    except Exception as exc:
        log.exception("pair %s: a bug in smtd", pair)
        return SmtdError(f"a bug in smtd ({type(exc).__name__}); see its log and report it")


async def followed(
    jobs: Sequence[Job[Any]], show: Callable[[], Sequence[Any]], *, progress: bool, end: float = float("inf")
) -> AsyncIterator[dict[str, Any]]:
    """Wait until all *jobs* are done, or until *end*; with *progress* yield what *show* returns meanwhile."""
    step = PROGRESS if progress else float("inf")
    while not all(job.done.is_set() for job in jobs) and anyio.current_time() < end:
        with anyio.move_on_after(min(step, end - anyio.current_time())):
            for job in jobs:
                await job.done.wait()
        if progress:
            yield {"progress": show()}
