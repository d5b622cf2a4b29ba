"""smtd's own client follows the feed of smtd's own server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from smtd.errors import StoreRefused, StoreUnreachable
from smtd.journal.journal import open_journal
from smtd.records import canonical
from smtd.records.record import Key
from smtd.server import application as served_application
from smtd.server import bulk_lines, changes_api
from smtd.server.accounts.rights import Right
from smtd.stores.access import Access
from smtd.stores.base import DONE, Change, MarkedStore, Result, Store
from smtd.stores.http import feed_listener
from smtd.stores.http.driver import HTTP
from smtd.stores.http.feed_api import FeedApi, Gone
from smtd.stores.http.feed_store import FeedStore
from smtd.stores.http.store import HttpStore
from smtd.stores.index import ABSENT, RowIndex, TrackedStore
from smtd.stores.location import Location
from smtd.stores.registry import open_store, subscribe
from tests.build import PROJECT, commented, key, record
from tests.command import Smtd, written
from tests.server.granting import grant
from tests.server.process import ServerProcess, server_process
from tests.server.served import PASSWORD, Client, Served
from tests.server.test_foreign_writes import LISTED
from tests.servers.process import free_port
from tests.stores.places import dumb_place

pytestmark = pytest.mark.halved


def place(root: str, name: str = "ada") -> Location:
    """Return what the user *name* sees of the server at *root*."""
    return Location(HTTP, Path(), None, Access(username=name, password=PASSWORD), f"{root}records/")


class Called:
    """A callback that a test can wait for."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def __call__(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Wait until it was called since the last time."""
        with anyio.fail_after(20):
            await self._event.wait()
        self._event = anyio.Event()


@asynccontextmanager
async def tracked(root: str, name: str, state: Path) -> AsyncIterator[tuple[TrackedStore, RowIndex]]:
    """Give the store of the user *name*, and an index of it that is empty."""
    async with (
        open_journal(state) as journal,
        journal.pair(f"server of {name}", "other") as pair,
        open_store(place(root, name)) as store,
    ):
        yield cast(TrackedStore, store), pair.indexes.left


async def look(store: TrackedStore, index: RowIndex) -> set[Key]:
    """Bring *index* up to date; return the keys of records that it then has."""
    found = await store.track(index)
    await index.update_rows(found, await store.token())  # type: ignore[attr-defined]
    return set(await index.present())


async def test_change_on_the_server_is_announced(served: Served, ada: Client) -> None:
    """One by another client, and every later one; nothing is asked for meanwhile."""
    called = Called()
    async with subscribe([place(served.root)], called):
        for text in ("first", "second"):
            await ada.put(commented(record(), text))
            await called.wait()


async def test_number_that_the_server_does_not_know_any_more_counts_as_a_change(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells what happened before the new one; and the stream goes on from there."""
    monkeypatch.setattr(feed_listener, "FIRST_PAUSE", 0.05)
    called = Called()
    async with subscribe([place(served.root)], called) as announcements:
        assert announcements.is_current()
        await ada.make("Another")  # other projects than before: its numbers are void
        await called.wait()

        assert announcements.is_current()
        await ada.put(record())
        await called.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server as a process of its own, which has the same address after a restart."""
    with server_process(tmp_path / "served", f"[server]\nlisten = '127.0.0.1:{free_port()}'\n") as made:
        yield made


async def test_change_is_announced_after_the_server_was_away(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client opens the stream again by itself."""
    monkeypatch.setattr(feed_listener, "FIRST_PAUSE", 0.05)
    called, at = Called(), place(await to_thread.run_sync(lambda: server.root))
    async with subscribe([at], called), open_store(at) as store:
        await store.write([Change(key("one"), record("one"), None)])
        await called.wait()
        await to_thread.run_sync(server.restart)
        await to_thread.run_sync(lambda: server.root)

        assert await store.write([Change(key("two"), record("two"), None)]) == [DONE]
        await called.wait()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """The keys whose records were asked for, each time."""
    asked: list[Key] = []
    whole = FeedApi.get

    def get(api: FeedApi, keys: set[Key]) -> object:
        asked.extend(keys)
        return whole(api, keys)

    monkeypatch.setattr(FeedApi, "get", get)
    return asked


async def test_look_reads_what_has_changed_and_nothing_else(
    served: Served, ada: Client, tmp_path: Path, read: list[Key]
) -> None:
    """Records come with the feed: no request is made for one."""
    for number in range(5):
        await ada.put(record(f"run-{number}"))
    async with tracked(served.root, "ada", tmp_path / "state") as (store, index):
        await look(store, index)
        assert len(read) == 5
        read.clear()
        await ada.put(commented(record("run-1"), "more"))
        await ada.ask("DELETE", f"records/{PROJECT}/run-2/")

        found = await store.track(index)

    assert read == []
    assert set(found.found) == {key("run-1"), key("run-2")}
    assert found.found[key("run-1")].digest == canonical.digest(commented(record("run-1"), "more"))
    assert found.found[key("run-2")] == ABSENT


async def test_number_that_the_server_does_not_know_costs_no_record(
    served: Served, ada: Client, tmp_path: Path, read: list[Key]
) -> None:
    """The client lists everything again, and reads only what differs from what it knows."""
    for number in range(3):
        await ada.put(record(f"run-{number}"))
    async with tracked(served.root, "ada", tmp_path / "state") as (store, index):
        await look(store, index)
        await ada.make("Another")  # other projects than before: its numbers are void
        read.clear()
        await ada.put(commented(record("run-1"), "more"))

        assert await look(store, index) == {key(f"run-{number}") for number in range(3)}

    assert read == [key("run-1")]


async def test_project_that_is_hidden_now_is_not_deleted(served: Served, ada: Client, tmp_path: Path) -> None:
    """A right that was withdrawn makes its records unreadable, not absent; and a read of one fails."""
    await ada.put(record())
    await ada.make("Other")
    await ada.put(record(), "Other")
    await grant(served, Right.READ)
    await grant(served, Right.READ, "Other")
    async with tracked(served.root, "bob", tmp_path / "state") as (store, index):
        assert await look(store, index) == {key("run"), key("run", "Other")}
        await grant(served, Right.NONE)

        assert await look(store, index) == {key("run"), key("run", "Other")}

        entries = await index.present()
        assert "denies this user access" in entries[key("run")].problem
        assert entries[key("run", "Other")].is_readable
        with pytest.raises(StoreRefused, match="no right to read project"):
            await store.read([key("run")])


async def test_project_that_was_deleted_is_absent(served: Served, ada: Client, tmp_path: Path) -> None:
    """Its records are, one by one, for the guard to judge."""
    await ada.put(record())
    async with tracked(served.root, "ada", tmp_path / "state") as (store, index):
        assert await look(store, index) == {key("run")}
        await ada.ask("DELETE", f"records/{PROJECT}/")

        assert await look(store, index) == set()


async def test_server_that_does_not_know_an_earlier_number_may_be_another(
    served: Served, ada: Client
) -> None:
    """Then smtd unites both sides, and deletes nothing."""
    await ada.put(record())
    async with open_store(place(served.root)) as store:
        await store.scan()
        marked = cast(MarkedStore, store)
        mark = await marked.mark()

        assert not await marked.is_another(mark, mark)
        assert await marked.is_another(str(int(mark) + 2**40), mark)


async def test_new_project_is_made_by_the_first_write(served: Served) -> None:
    """A user without the right to write there gets the reason instead."""
    async with open_store(place(served.root)) as store, open_store(place(served.root, "bob")) as other:
        assert await store.write([Change(key("run"), record(), None)]) == [DONE]
        (refused,) = await other.write([Change(key("more"), record("more"), None)])

    assert "denies this user access to project" in refused.reason


async def test_server_without_the_bulk_routes_is_used_as_a_sumatra_server(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one whose API is behind a proxy that does not let requests through to it."""

    async def refused(_: FeedApi) -> bool:
        return False

    async def kind() -> type[Store]:
        async with HTTP.open(place(served.root)) as store:
            return type(store)

    with monkeypatch.context() as patch:
        patch.setattr(FeedApi, "is_complete", refused)
        assert await kind() is HttpStore
    assert await kind() is FeedStore


async def test_changes_that_a_user_cannot_see_hide_none_that_they_can(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if they fill a whole page."""
    monkeypatch.setattr(changes_api, "PAGE", 3)
    await ada.put(record())
    await grant(served, Right.READ)
    async with open_store(place(served.root, "bob")) as store:
        await store.scan()
        token = await store.token()
        assert token is not None
        hidden = served.client("root")
        await hidden.make("Hidden")
        for number in range(5):
            await hidden.put(record(f"hidden-{number}"), "Hidden")
        await ada.put(commented(record(), "more"))

        assert not await store.unchanged_since(token)


async def test_record_that_the_server_cannot_take_keeps_no_other_back(served: Served, ada: Client) -> None:
    """A label that no request can have, and a record that is larger than a request."""
    large = record("large", stdout_stderr="x" * 17_000_000)
    async with open_store(place(served.root)) as store:
        outcomes = await store.write(
            [
                Change(key("one"), record("one"), None),
                Change(key("nul\0"), record("nul\0"), None),
                Change(key("large"), large, None),
                Change(key("two"), record("two"), None),
            ]
        )

        assert [outcome.result for outcome in outcomes] == [
            Result.DONE,
            Result.REFUSED,
            Result.REFUSED,
            Result.DONE,
        ]
        assert "16 MiB" in outcomes[2].reason
        assert set(await store.read([key("one"), key("nul\0"), key("two")])) == {key("one"), key("two")}


async def test_request_that_the_server_refuses_is_halved(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the record that it refuses is alone."""
    monkeypatch.setattr(bulk_lines, "MOST_LINES", 1)
    async with open_store(place(served.root)) as store:
        changes = [Change(key(f"run-{number}"), record(f"run-{number}"), None) for number in range(5)]

        assert await store.write(changes) == [DONE] * 5
        with pytest.raises(StoreUnreachable, match="does not accept"):
            await store.read([change.key for change in changes])


async def test_project_that_was_deleted_while_the_store_is_open_is_made_again(
    served: Served, ada: Client
) -> None:
    """By the next write after the one that finds out."""
    async with open_store(place(served.root)) as store:
        await store.write([Change(key("one"), record("one"), None)])
        await ada.ask("DELETE", f"records/{PROJECT}/")
        two = [Change(key("two"), record("two"), None)]

        (refused,) = await store.write(two)

        assert "there is no project" in refused.reason
        assert await store.write(two) == [DONE]


async def test_projects_may_have_other_names(served: Served, ada: Client, tmp_path: Path) -> None:
    """Looks and writes use the names of this side."""
    await ada.put(record())
    renamed = replace(place(served.root), renames=((("Mine"), PROJECT),))
    async with (
        open_journal(tmp_path / "state") as journal,
        journal.pair("renamed", "other") as pair,
        open_store(renamed) as opened,
    ):
        store, index = cast(TrackedStore, opened), pair.indexes.left
        assert await look(store, index) == {key("run", "Mine")}
        await ada.put(commented(record(), "more"))

        found = await store.track(index)

    assert set(found.found) == set(found.listed) == {key("run", "Mine")}


#: Syncs once.
Sync = Callable[[], Awaitable[dict[str, Any]]]


@pytest.fixture
async def sync(served: Served, tmp_path: Path, smtd: Smtd) -> Sync:
    """Syncs a shelf with two records and the server, and returns what was written."""
    await dumb_place(tmp_path / "shelf").put(record("kept"), record("deleted"))
    address = f"{served.root}records/".replace("://", f"://ada:{PASSWORD}@")

    async def run() -> dict[str, Any]:
        return written(await to_thread.run_sync(smtd.sync, tmp_path / "shelf.dat", address))

    return run


async def test_rights_that_change_do_not_make_it_another_server(ada: Client, sync: Sync) -> None:
    """A record that was deleted there stays deleted, though the client's number is void."""
    await sync()
    await ada.make("Another")
    await ada.ask("DELETE", f"{LISTED}deleted/")

    assert await sync() == {"left": (0, 0, 1), "right": (0, 0, 0)}


async def test_server_that_was_used_without_its_api_is_united_once(
    ada: Client, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell whether it was restored meanwhile: what it lacks is not deleted."""
    with monkeypatch.context() as patch:
        patch.setattr(served_application, "API", "/elsewhere/")
        await sync()
    await ada.ask("DELETE", f"{LISTED}deleted/")

    assert await sync() == {"left": (0, 0, 0), "right": (1, 0, 0)}
    await ada.ask("DELETE", f"{LISTED}deleted/")
    assert await sync() == {"left": (0, 0, 1), "right": (0, 0, 0)}


class Refusing:
    """A server that does not know the number of a follower, and then refuses each stream."""

    def __init__(self) -> None:
        self.attempts = 0

    @asynccontextmanager
    async def following(self, number: int | None) -> AsyncIterator[Any]:
        self.attempts += 1
        await anyio.lowlevel.checkpoint()
        if self.attempts == 1:
            raise Gone(is_other_log=True)
        if self.attempts:
            raise StoreUnreachable("too many")
        yield


async def test_refused_stream_after_an_unknown_number_is_not_asked_for_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The user has as many streams as the server allows, for example."""
    monkeypatch.setattr(feed_listener, "FIRST_PAUSE", 0.1)
    refusing = Refusing()
    follower = feed_listener._Follower(cast(FeedApi, refusing), Called())
    follower.number = 5

    with anyio.move_on_after(0.5):
        await follower.run()

    assert 2 <= refusing.attempts <= 5
