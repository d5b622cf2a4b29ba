"""The contract for a store whose projects have other names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from smtd.records.record import Key, Record
from smtd.stores.base import Change, Store
from smtd.stores.memory import MemoryStore
from smtd.stores.renamed import RenamedStore
from tests.build import PROJECT, record
from tests.stores.contract import ResumedContract
from tests.stores.places import MemoryPlace, Place

#: Every project of the contract, by its name outside; two of them have exchanged names.
SHOWN = (PROJECT, "one", "two", "three", "a", "b", "A b", "z", "Été", "日本", "Erstes", "Zweites")
STEPS = tuple(f"step {number}" for number in range(1, 100))
NAMES = {name: f"{name} there" for name in (*SHOWN, *STEPS)} | {"one": "two", "two": "one"}


class RenamedPlace(MemoryPlace):
    """A store in memory whose projects have other names than in the contract."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        yield RenamedStore(self._store, NAMES)

    async def put(self, *records: Record, project: str = PROJECT) -> None:
        await super().put(*records, project=NAMES[project])

    async def remove(self, label: str, project: str = PROJECT) -> None:
        await super().remove(label, NAMES[project])

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        await super().spoil(label, NAMES[project])

    def forms(self) -> dict[Key, object]:
        shown = {inner: name for name, inner in NAMES.items()}
        return {Key(shown[key.project], key.label): form for key, form in super().forms().items()}


@pytest.mark.halved
class TestRenamedStore(ResumedContract):
    """The contract with other names of projects."""

    @pytest.fixture
    def place(self) -> Place:
        return RenamedPlace()


async def test_only_the_named_projects_are_seen() -> None:
    """Records in other projects of the store stay there unseen, even under a name that is shown."""
    store = MemoryStore()
    for project in ("my-project", "MyProject", "other"):
        store.put(project, record(project))
    renamed = RenamedStore(store, {"MyProject": "my-project"})

    await renamed.write([Change(Key("MyProject", "new"), record("new"), None)])

    assert await renamed.projects() == ["MyProject"]
    assert set((await renamed.scan()).digests) == {Key("MyProject", "my-project"), Key("MyProject", "new")}
    assert set((await renamed.scan(["other", "my-project"])).digests) == set()
    assert Key("my-project", "new") in store.records
    assert len(store.records) == 4
