"""What a shelf keeps in memory at rest, and what it reports after that."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, cast

import anyio
import pytest

from smtd.records.record import Key
from smtd.stores.shelf import child, loaded, messages
from smtd.stores.shelf.store import ShelfStore
from tests.build import key, record
from tests.stores.places import ShelfPlace, dumb_place


@pytest.fixture
def shelf(tmp_path: Any) -> ShelfPlace:
    return dumb_place(tmp_path / "shelf")


def at_rest(store: ShelfStore) -> int:
    """Return the bytes of the records that *store* keeps, compressed or not."""
    return sum(
        len(each.compressed) + sum(len(held.record) for held in each.records.values())
        for each in store._loaded._projects.values()
    )


async def test_records_of_a_deleted_project_are_not_kept(shelf: ShelfPlace) -> None:
    """Otherwise memory would grow with each project that comes and goes."""
    await shelf.put(record("here"), project="stays")
    await shelf.put(record("gone"), project="goes")
    async with shelf.open() as opened:
        store = cast(ShelfStore, opened)
        await store.scan()
        with shelf.pickles(shelf.location.path) as file:
            del file["goes"]
        assert {each.project for each in (await store.scan()).digests} == {"stays"}

        store.rest()
        assert store._loaded._projects.keys() == {"stays"}


async def test_single_reads_of_a_large_project_are_not_kept_at_rest(
    shelf: ShelfPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that reads each record in turn, with rests in between, would end with all in memory."""
    monkeypatch.setattr(loaded, "LARGE_AT_REST", 0)
    await shelf.put(*[record(f"run-{number}") for number in range(5)])
    async with shelf.open() as opened:
        store = cast(ShelfStore, opened)
        for number in range(5):
            assert len(await store.read([key(f"run-{number}")])) == 1
            store.rest()

        assert at_rest(store) == 0


async def test_limit_of_kept_records_is_for_the_whole_shelf(
    shelf: ShelfPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not for each of its projects."""
    await shelf.put(record("run"), project="project-0")
    async with shelf.open() as opened:
        await opened.scan()
        (one,) = cast(ShelfStore, opened)._loaded._projects.values()
        most = sum(len(each.record) for each in one.records.values()) + 1
    monkeypatch.setattr(loaded, "LARGE_AT_REST", most)
    for number in range(1, 20):
        await shelf.put(record("run"), project=f"project-{number}")
    async with shelf.open() as opened:
        store = cast(ShelfStore, opened)
        assert len((await store.scan()).digests) == 20
        store.rest()

        assert at_rest(store) <= most


def held_by(thing: object) -> set[bytes]:
    """Return the bytes of all objects that *thing* keeps in memory."""
    seen, todo, found = set[int](), [thing], set[bytes]()
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, (type, ModuleType, FunctionType)):
            continue
        seen.add(id(one))
        todo += gc.get_referents(one)
        if isinstance(one, bytes):
            found.add(one)
    return found


async def test_file_is_not_kept_at_rest(shelf: ShelfPlace) -> None:
    await shelf.put(*[record(f"run-{number}") for number in range(5)])
    (pickle,) = shelf.values().values()
    async with shelf.open() as opened:
        await opened.scan()
        assert any(each.startswith(pickle) for each in held_by(opened))
        opened.rest()

        assert not any(each.startswith(pickle) for each in held_by(opened))


class Gate:
    """Holds back answers of child processes until the test opens it, by request."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask
        self.asked = {"all": anyio.Event(), "few": anyio.Event()}
        self.open = {"all": anyio.Event(), "few": anyio.Event()}

    async def __call__(self, request: Any, *words: Any, **more: Any) -> Any:
        answer = await self._ask(request, *words, **more)
        if isinstance(request, messages.Read):
            which = "all" if request.labels is None else "few"
            self.asked[which].set()
            await self.open[which].wait()
        return answer


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(child.ask)
    monkeypatch.setattr(child, "ask", gate)
    return gate


async def test_rest_during_a_read_makes_no_records_vanish(shelf: ShelfPlace, gate: Gate) -> None:
    """What is compressed then counts as all there is, so the rest would look deleted."""
    await shelf.put(*[record(f"run-{number}") for number in range(3)])
    async with shelf.open() as opened:
        store = cast(ShelfStore, opened)
        found: dict[Key, Any] = {}

        async def read() -> None:
            found.update(await store.read([key("run-1")]))

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await gate.asked["few"].wait()
            gate.open["all"].set()
            await store.scan()
            store.rest()
            gate.open["few"].set()
        store.rest()

        assert found.keys() == {key("run-1")}
        assert {each.label for each in (await store.scan()).digests} == {"run-0", "run-1", "run-2"}


async def test_rest_during_a_scan_makes_no_records_vanish(shelf: ShelfPlace, gate: Gate) -> None:
    """One project is already decompressed when the store rests, the other one is still being loaded."""
    await shelf.put(record("a"), project="A")
    async with shelf.open() as opened:
        store = cast(ShelfStore, opened)
        gate.open["all"].set()
        await store.scan()
        store.rest()
        await shelf.put(record("b"), project="B")
        gate.open["all"], gate.asked["all"] = anyio.Event(), anyio.Event()
        found: dict[Key, Any] = {}

        async def scan() -> None:
            found.update((await store.scan()).digests)

        async with anyio.create_task_group() as group:
            group.start_soon(scan)
            await gate.asked["all"].wait()
            store.rest()
            gate.open["all"].set()

        assert {each.label for each in found} == {"a", "b"}
