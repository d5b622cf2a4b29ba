"""Jobs and their inbox, without a task that runs them."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest

from smtd.daemon.jobs import Exclusive, Inbox, Job, Preview, Query, Sync, SyncOptions
from smtd.engine.pair import Policy
from smtd.engine.resolve import Resolution
from smtd.errors import StoreRefused, StoreUnreachable
from smtd.journal.decisions import Choice
from smtd.records.record import Key


@pytest.fixture
def wakes() -> list[str]:
    """A list with one entry for each time that the owner was woken."""
    return []


@pytest.fixture
def inbox(wakes: list[str]) -> Inbox[Job[Any]]:
    return Inbox(lambda: wakes.append("woken"), "cycle")


async def work(*_: object) -> str:
    """Do nothing."""
    return "nothing"


async def test_one_run_answers_all_equal_jobs(inbox: Inbox[Job[Any]]) -> None:
    """Ten clients that ask for a cycle get the report of one."""
    same: list[Job[Any]] = [Sync(), Sync(SyncOptions())]
    other: list[Job[Any]] = [
        Sync(SyncOptions(include_unfinished=True)),
        Sync(SyncOptions(expected_plan="a1")),
        Sync(SyncOptions(force_retry=False)),
        Sync(SyncOptions(recheck=frozenset({Key("project", "label")}))),
        Sync(SyncOptions(resolution=Resolution(Choice.LEFT))),
        Preview(),
    ]
    for job in (same[0], *other, same[1]):
        inbox.put(job)

    inbox.take()
    inbox.finish("done")

    assert [job.outcome for job in same] == ["done", "done"]
    assert not any(job.done.is_set() for job in other)


@pytest.mark.parametrize("kind", [Query, Exclusive])
async def test_two_queries_are_never_equal(kind: type[Job[Any]]) -> None:
    """What a function does is unknown."""
    one, other = kind(work), kind(work)  # type: ignore[call-arg]

    assert one.same_as(one)
    assert not one.same_as(other)


async def test_first_outcome_of_a_job_counts() -> None:
    """A finished job is not abandoned afterwards."""
    job = Query(work)
    job.finish("done")
    job.finish(StoreUnreachable("stopped"))

    assert await job.wait() == "done"


async def test_raised_error_is_not_kept_in_memory() -> None:
    """It refers to the frames that it passed, and all that they hold; the garbage collector runs seldom."""
    gc.disable()
    try:
        job = Query(work)
        job.finish(StoreRefused("no"))
        gone = ref(job)
        with pytest.raises(StoreRefused, match="no"):
            await job.wait()
        del job
        kept = gone()
    finally:
        gc.enable()

    assert kept is None


def test_options_change_the_policy_of_one_cycle() -> None:
    """A user may include unfinished runs; refused writes are retried if a user asks.

    And records that may be half saved are waited for.
    """
    policy = Policy(force_retry=False, wait_to_settle=False)

    asked = SyncOptions(include_unfinished=True).applied(policy)
    own = SyncOptions(force_retry=False).applied(policy)

    assert (asked.force_retry, asked.wait_to_settle, asked.hold_unfinished) == (True, True, False)
    assert own == policy
