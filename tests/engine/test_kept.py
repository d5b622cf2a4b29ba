"""A store that reads back by itself what it has written, in the transaction of the write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from smtd.merge.sides import Both, Side
from smtd.records.canonical import digest
from smtd.records.record import Key, Record
from smtd.stores.base import Change, Kept, Outcome, Result
from tests.build import PROJECT, change, commented, full, key, record
from tests.engine.world import AlteringStore, World, holding


class PromptStore(AlteringStore):
    """Keeps records as *alter* leaves them, and says at once what it keeps."""

    def __init__(self, alter: Callable[[Record], Record] = lambda each: each) -> None:
        super().__init__("right", alter)
        #: The keys that were read, without those that the plan asked for before the write.
        self.reads: list[Key] = []

    async def read(self, keys: Any) -> Any:
        self.reads += keys
        return await super().read(keys)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes = await super().write(changes)
        self.reads.clear()
        return [
            replace(outcome, kept=self._kept(change.key)) if outcome.result is Result.DONE else outcome
            for change, outcome in zip(changes, outcomes, strict=True)
        ]

    def _kept(self, wanted: Key) -> Kept:
        held = self.records.get(wanted)
        return Kept(None if held is None else digest(held))


@pytest.fixture
def store(world: World) -> PromptStore:
    """The right store of the world."""
    made = PromptStore()
    world.right = made
    return made


async def test_what_the_store_read_back_is_not_read_again(world: World, store: PromptStore) -> None:
    """New records, edits and deletions are agreed on, and no request is made for one."""
    world.left.put(PROJECT, full())
    world.left.put(PROJECT, record("gone"))
    assert (await world.cycle()).in_sync == 2
    assert store.reads == []

    world.left.put(PROJECT, commented(full(), "more"))
    world.left.remove(PROJECT, "gone")
    report = await world.cycle()

    assert report.ok
    assert store.reads == []
    assert world.contents == Both(holding(commented(full(), "more")), holding(commented(full(), "more")))


async def test_record_that_the_store_keeps_otherwise_is_read_and_named(world: World) -> None:
    """It says so itself; smtd reads the record to name the fields."""
    store = PromptStore(lambda each: change(each, user="nobody"))
    world.right = store
    world.left.put(PROJECT, full())

    report = await world.cycle()

    assert store.reads[:1] == [key("full")]
    assert [(failure.label, failure.side) for failure in report.failed] == [("full", Side.RIGHT)]
