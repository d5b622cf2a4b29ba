"""Which of several servers of one PostgreSQL enters what other programs write, and what if it is stopped."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from smtd.server.foreign_writes import ForeignWrites
from smtd.server.lease import LENGTH, Lease, may_take
from smtd.server.postgresql_lease import PostgresqlLease
from smtd.server.server_settings import ServerSettings
from smtd.stores.discovery import find
from smtd.stores.django.connection import ServerLink
from smtd.stores.django.driver import open_served
from tests.build import PROJECT, full, record
from tests.daemon.process import wait_until
from tests.server.process import ServerProcess
from tests.server.served import Client, serving
from tests.server.waiting import PATIENCE, in_thread
from tests.servers.clients import sharing, until_entered, until_logged
from tests.servers.place import PostgresqlPlace
from tests.servers.served import served
from tests.servers.server import Database

TOOK_OVER = "this server now enters what other programs write"
LOST = "another server now enters what other programs write"
SET_OUTCOME = "UPDATE django_store_record SET outcome = ? WHERE label = 'run'"


@pytest.mark.parametrize(
    ("left", "is_free"),
    [(None, True), (-0.1, True), (0.0, True), (0.1, False), (LENGTH, False), (3600, True)],
)
def test_lease_is_free_when_overdue_or_its_holder_is_gone(left: float | None, is_free: bool) -> None:
    """Nor does a lease count that can only be of a clock that was set back."""
    assert may_take(Lease("a", left, True, "")) is is_free


@asynccontextmanager
async def link_to(database: Database) -> AsyncIterator[ServerLink]:
    """Give a connection of its own to *database*, as a server has one for its duty."""
    async with open_served(find(database.url)) as opened, opened.own_link() as link:
        yield link


async def holder_first(servers: list[ServerProcess]) -> list[ServerProcess]:
    """Return *servers*, first the one that has the duty."""

    def found() -> list[ServerProcess]:
        return sorted(servers, key=lambda each: TOOK_OVER not in each.log.read_text("utf-8"))

    await to_thread.run_sync(wait_until, lambda: TOOK_OVER in found()[0].log.read_text("utf-8"))
    return found()


async def until_in_feed(client: Client, label: str, **expected: Any) -> list[Any]:
    """Wait until *client* finds *label* in the feed with what is *expected*; return all changes."""
    with anyio.fail_after(PATIENCE):
        while True:
            found: list[Any] = (await client.changes()).json.get("changes", [])
            of_label = [one for one in found if one["label"] == label]
            if of_label and expected.items() <= of_label[0].items():
                return found
            await anyio.sleep(0.05)


@pytest.mark.slow
async def test_stopped_process_loses_the_duty_and_finds_that_out(
    servers: list[ServerProcess], database: Database
) -> None:
    """The other enters what programs write; the stopped one, when it continues, serves the same as before."""
    place = PostgresqlPlace(database)
    stopped, other = await holder_first(servers)
    async with sharing([stopped, other]) as (of_stopped, of_other):
        stopped.signal(signal.SIGSTOP)
        try:
            await place.put(record("meanwhile"))
            await until_in_feed(of_other, "meanwhile")
        finally:
            stopped.signal(signal.SIGCONT)
        await until_logged(stopped, LOST)
        await place.put(record("afterwards"))
        await until_entered(database)

        pages = [(await client.changes()).json for client in (of_stopped, of_other)]
        assert [one["label"] for one in pages[0]["changes"]] == ["meanwhile", "afterwards"]
        assert pages[0] == pages[1]
        assert (await of_stopped.put(record("own"))).status == 201


@pytest.mark.slow
async def test_process_that_lost_the_duty_enters_nothing_until_it_has_it_again(
    tmp_path: Path, database: Database
) -> None:
    """The test has the duty meanwhile, and does nothing."""
    table, place = PostgresqlLease(), PostgresqlPlace(database)
    async with in_thread(served(tmp_path / "servers", database)) as (server,):
        await until_logged(server, TOOK_OVER)
        async with sharing([server]) as (client,):
            async with link_to(database) as link:
                before = await table.read(link)
                assert before is not None
                assert not may_take(before)
                assert await table.take(link, before, "the test", is_ready=True)
                await until_logged(server, LOST)
                await place.put(record("meanwhile"))
                assert (await client.put(record("own"))).status == 201
                assert await table.renew(link, "the test")
                labels = [one["label"] for one in (await client.changes()).json["changes"]]

            assert labels == ["own"]
            await until_in_feed(client, "meanwhile")


async def test_lease_cannot_be_taken_from_a_transaction_that_relies_on_it(
    servers: list[ServerProcess], database: Database
) -> None:
    """It ends first; the next transaction finds out that the lease is lost."""
    first, second, taken = PostgresqlLease(), PostgresqlLease(), list[str]()
    async with link_to(database) as one, link_to(database) as other:
        before = await first.read(one)
        assert before is not None
        assert await first.take(one, before, "first", is_ready=True)

        async def take() -> None:
            found = await second.read(other)
            assert found is not None
            assert await second.take(other, found, "second", is_ready=True)
            taken.append("taken")

        async with anyio.create_task_group() as group, one.writing():
            assert await first.hold(one, "first")
            group.start_soon(take)
            await until_waiting(database, "smtd_duty")
            taken.append("committed")

        assert taken == ["committed", "taken"]
        async with one.writing():
            assert not await first.hold(one, "first")
        assert not await first.renew(one, "first")


async def until_waiting(database: Database, words: str) -> None:
    """Wait until a statement with *words* waits for a lock."""
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE ?"
        " AND datname = current_database()"
    )
    await to_thread.run_sync(wait_until, lambda: bool(database.run(query, f"%{words}%")))


@pytest.mark.slow
async def test_idle_servers_write_nothing(servers: list[ServerProcess], database: Database) -> None:
    """To keep the duty costs no transaction: pairs of the same database would take each for a write."""
    await holder_first(servers)

    def end_of_lease() -> int:
        query = "SELECT max(objid::bigint) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
        return int(database.run(query)[0][0])

    def is_quiet_while_renewed() -> bool:
        """Say whether nothing was committed during three renewals; a server that has just started commits."""
        query = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
        before, until = database.run(query), end_of_lease() + 3
        wait_until(lambda: end_of_lease() >= until)
        return bool(database.run(query) == before)

    await to_thread.run_sync(wait_until, is_quiet_while_renewed)


class Observed:
    """The watch for foreign writes in this process, which waits at the end of a comparison.

    From then on it neither looks for missing triggers nor enters what they note, as if the other process had
    repaired them between two looks.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.compared, self.go_on, self.ended = anyio.Event(), anyio.Event(), anyio.Event()
        self._turn = anyio.Lock()
        monkeypatch.setattr(ForeignWrites, "_compare_page", self._stopping(ForeignWrites._compare_page))
        monkeypatch.setattr(ForeignWrites, "_compare_when_due", self._to_end(ForeignWrites._compare_when_due))
        for name in ("_check_for_writes", "_enter_settled"):
            monkeypatch.setattr(ForeignWrites, name, self._until_compared(getattr(ForeignWrites, name)))

    def _stopping(self, compare: Callable[[ForeignWrites, int], Awaitable[Any]]) -> Any:
        async def wrapped(writes: ForeignWrites, last: int) -> Any:
            page = await compare(writes, last)
            if page is None and not self.go_on.is_set():
                async with self._turn:
                    self.compared.set()
                await self.go_on.wait()
            return page

        return wrapped

    def _to_end(self, work: Callable[[ForeignWrites], Awaitable[None]]) -> Any:
        async def wrapped(writes: ForeignWrites) -> None:
            try:
                await work(writes)
            finally:
                if self.go_on.is_set():
                    self.ended.set()

        return wrapped

    def _until_compared(self, work: Callable[[ForeignWrites], Awaitable[None]]) -> Any:
        async def wrapped(writes: ForeignWrites) -> None:
            async with self._turn:
                if not self.compared.is_set():
                    await work(writes)

        return wrapped


async def test_comparison_is_made_again_if_another_process_repaired_triggers_meanwhile(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written without them, after the comparison had passed it, is entered all the same."""
    async with serving(tmp_path / "here", ServerSettings(find(database.url))) as server:
        await server.ada.make()
        await server.ada.put(full("run"))
    observed = Observed(monkeypatch)
    async with serving(tmp_path / "here", ServerSettings(find(database.url))) as server:
        await to_thread.run_sync(database.run, "UPDATE django_store_executable SET version = '9'")
        with anyio.fail_after(PATIENCE):
            await observed.compared.wait()
        await to_thread.run_sync(database.run, "ALTER TABLE django_store_record DISABLE TRIGGER USER")
        await to_thread.run_sync(database.run, SET_OUTCOME, "unseen")
        async with in_thread(served(tmp_path / "there", database)):
            observed.go_on.set()
            expected = (await server.ada.get(f"records/{PROJECT}/run/")).etag.strip('"')
            await until_in_feed(server.ada, "run", digest=expected)


async def test_work_that_was_begun_before_the_duty_was_lost_is_not_committed(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a comparison deletes no note, since it belongs to another process now."""
    table = PostgresqlLease()
    async with serving(tmp_path, ServerSettings(find(database.url))) as server:
        await server.ada.make()
        await server.ada.put(full("run"))
    observed = Observed(monkeypatch)
    async with serving(tmp_path, ServerSettings(find(database.url))), link_to(database) as link:
        await to_thread.run_sync(database.run, "UPDATE django_store_executable SET version = '9'")
        with anyio.fail_after(PATIENCE):
            await observed.compared.wait()
        before = await table.read(link)
        assert before is not None
        assert await table.take(link, before, "the test", is_ready=True)
        observed.go_on.set()
        with anyio.fail_after(PATIENCE):
            await observed.ended.wait()

        assert await to_thread.run_sync(database.run, "SELECT count(*) FROM smtd_dirty") == [(1,)]


async def test_feed_recovers_if_a_process_without_the_duty_repaired_triggers(
    servers: list[ServerProcess], database: Database
) -> None:
    """The one that has the duty was stopped meanwhile, and finds all triggers in place."""
    holder, other = await holder_first(servers)
    async with sharing([holder]) as (client,):
        await client.put(record("run"))
        await to_thread.run_sync(other.stop)
        holder.signal(signal.SIGSTOP)
        try:
            await to_thread.run_sync(database.run, "ALTER TABLE django_store_record DISABLE TRIGGER USER")
            await to_thread.run_sync(database.run, SET_OUTCOME, "unseen")
            await to_thread.run_sync(other.start)
        finally:
            holder.signal(signal.SIGCONT)

        expected = (await client.get(f"records/{PROJECT}/run/")).etag.strip('"')
        await until_in_feed(client, "run", digest=expected)
