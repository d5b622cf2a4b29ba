"""A repeated scan of a shelf gives what a new one would give, whatever happened in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from smtd.records import canonical
from smtd.records.record import Key
from smtd.stores.base import DONE, LARGE_AT_REST, Change, ResumedStore, Store
from smtd.stores.shelf import child, loaded, messages, writing
from tests.build import PROJECT, key, record
from tests.stores.asking import create, scan_of
from tests.stores.places import ShelfPlace, dumb_place


@pytest.fixture
def shelf(tmp_path: Path) -> ShelfPlace:
    (tmp_path / "shelf").mkdir()
    return dumb_place(tmp_path / "shelf" / "records")


async def anew(shelf: ShelfPlace) -> set[Key]:
    """Return the keys that a look without earlier knowledge shows."""
    return set((await scan_of(shelf)).digests)


async def test_scan_ignores_writes_to_other_projects(shelf: ShelfPlace) -> None:
    """They are not in it."""
    await shelf.put(record("run"))
    async with shelf.open() as opened:
        await opened.scan([PROJECT])
        assert await opened.write([create(record("new"), "Other")]) == [DONE]

        assert list((await opened.scan([PROJECT])).digests) == [key("run")]


async def test_scan_sees_own_writes_and_those_of_others_to_one_project(shelf: ShelfPlace) -> None:
    """Even if the store was told that it need not look at the others'."""
    await shelf.put(record("run"))
    async with shelf.open() as opened, shelf.open() as another:
        await opened.scan()
        await shelf.put(record("theirs"))
        await another.scan()
        token = await another.token()
        assert token is not None
        assert await cast(ResumedStore, opened).resume(token)
        assert await opened.write([create(record("mine"))]) == [DONE]

        assert {of.label for of in (await opened.scan()).digests} == {"run", "theirs", "mine"}


async def test_write_during_a_scan_is_in_the_next_scan(
    shelf: ShelfPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the latest."""
    asking, real = anyio.Event(), child.ask

    async def ask(request: messages.Request, *expected: Any, **words: Any) -> Any:
        asking.set()
        return await real(request, *expected, **words)

    async with shelf.open() as opened:
        await opened.scan()
        assert await opened.write([create(record("a"))]) == [DONE]
        monkeypatch.setattr(child, "ask", ask)
        async with anyio.create_task_group() as group:
            group.start_soon(opened.scan)
            await asking.wait()
            assert await opened.write([create(record("b"))]) == [DONE]

        assert set((await opened.scan()).digests) == await anew(shelf)


@pytest.mark.parametrize("asked", [messages.WriteProject, messages.Read])
async def test_write_of_others_seen_by_another_call_is_in_the_next_scan(
    shelf: ShelfPlace, monkeypatch: pytest.MonkeyPatch, asked: type
) -> None:
    """A read during a write or a scan does not hide it."""
    real, waiting = child.ask, [True]

    async def ask(request: messages.Request, *expected: Any, **words: Any) -> Any:
        if isinstance(request, asked) and waiting:
            waiting.clear()
            await shelf.put(record("theirs"), project="Other")
            await opened.read([key("theirs", "Other")])
        return await real(request, *expected, **words)

    await shelf.put(record("run"))
    await shelf.put(record("run"), project="Other")
    async with shelf.open() as opened:
        await opened.scan()
        monkeypatch.setattr(child, "ask", ask)
        if asked is messages.WriteProject:
            assert await opened.write([create(record("mine"))]) == [DONE]
        else:
            await shelf.put(record("new"))
            await opened.scan()

        assert waiting == []
        assert await opened.token() is None
        assert set((await opened.scan()).digests) == await anew(shelf)


async def test_shelf_without_an_old_record_after_a_restore_is_writable(shelf: ShelfPlace) -> None:
    """Another file with an old record was in its place, and was read then."""
    home, aside = shelf.location.path.parent, shelf.location.path.parent.with_name("aside")
    old = writing.build(record("old"))
    old.state["timestamp"] = old.state["timestamp"].replace(tzinfo=None)
    await shelf.put(record("run"))
    async with shelf.open() as opened:
        first = set((await opened.scan()).digests)
        home.rename(aside)
        home.mkdir()
        await shelf.edit(lambda held: held.update(old=old))
        await opened.read([key("old")])
        assert opened.capabilities.read_only
        home.rename(home.with_name("other"))
        aside.rename(home)

        assert set((await opened.scan()).digests) == first
        assert not opened.capabilities.read_only
        assert await opened.write([create(record("new"))]) == [DONE]


@pytest.mark.parametrize("seed", range(2))
async def test_repeated_scan_equals_a_new_one(
    shelf: ShelfPlace, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whichever program wrote, whatever the caller asks for, and with or without a rest."""
    chance = random.Random(seed)
    await shelf.put(record("a"), record("b"), record("c"))
    await shelf.put(record("a"), project="Other")

    async def write(store: Store) -> None:
        of = key(chance.choice("abcd"), chance.choice([PROJECT, "Other"]))
        there = await store.read([of])
        made = record(of.label, outcome=str(chance.random()), tags=(chance.choice(["_running_", "good"]),))
        new = None if there and chance.random() < 0.3 else made
        await store.write([Change(of, new, canonical.digest(there[of]) if there else None)])

    async def edit(_store: Store) -> None:
        await shelf.put(record(chance.choice("abcd"), outcome=str(chance.random())))

    async def spoil(_store: Store) -> None:
        await shelf.spoil(chance.choice("abcd"), "Other")

    async def rest(store: Store) -> None:
        store.rest()

    async def nothing(_store: Store) -> None:
        pass

    async with shelf.open() as kept:
        for step in chance.sample([write, edit, spoil, rest, nothing], k=10, counts=[5, 2, 1, 2, 2]):
            monkeypatch.setattr(loaded, "LARGE_AT_REST", chance.choice([0, LARGE_AT_REST]))
            await step(kept)
            projects = chance.choice([None, None, [PROJECT]])
            async with shelf.open() as new:
                assert await kept.scan(projects) == await new.scan(projects), step
