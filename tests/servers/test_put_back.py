"""A database on a server that was restored from a dump deletes nothing in the other store of its pair."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from smtd.merge.sides import Side
from smtd.stores.discovery import find
from smtd.stores.django.server_store import ServerStore
from smtd.stores.registry import open_store
from tests.build import change, full
from tests.sampling import sampled
from tests.servers.dump import Dump
from tests.servers.fixtures import SERVERS
from tests.servers.place import place_of
from tests.servers.server import PASSWORD, USER, Database, DatabaseServer
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace

pytestmark = pytest.mark.halved

#: `make test` tries one of these for each server.
CASES = sampled(product(SERVERS, [Dump.reload, Dump.restore]), 3)
OLD = [full(f"old-{number}") for number in range(3)]


@pytest.fixture
async def pair(database_server: DatabaseServer, tmp_path: Path) -> RealPair:
    """A database on a server with three records, and a file in sync with it."""
    left = place_of(database_server.new())
    return await RealPair(tmp_path / "state", left, DjangoPlace(tmp_path / "right.sqlite")).synced(OLD)


def dumped(pair: RealPair) -> Dump:
    return Dump(pair.left.database)  # type: ignore[union-attr]


@pytest.mark.parametrize(("database_server", "means"), CASES, indirect=["database_server"])
async def test_run_that_the_dump_lacks_comes_back(pair: RealPair, means: Callable[[Dump], None]) -> None:
    """The other store keeps it, and the next cycle has nothing to do."""
    dump = dumped(pair)
    await pair.left.put(full("run-of-today"))
    await pair.cycle()

    means(dump)
    report = await pair.cycle()

    assert (report.right.deleted, report.left.created, report.adopted) == (0, 1, [Side.LEFT])
    assert "run-of-today" in await pair.labels(Side.RIGHT)
    again = await pair.cycle()
    assert (again.adopted, again.left.written, again.right.written) == ([], 0, 0)


@pytest.mark.parametrize(("database_server", "means"), CASES, indirect=["database_server"])
async def test_comment_that_the_dump_lacks_stays(pair: RealPair, means: Callable[[Dump], None]) -> None:
    """No user removed it, and no row is missing."""
    dump = dumped(pair)
    await pair.left.put(change(OLD[0], outcome="it was as it should be, seen twice"))
    assert (await pair.cycle()).right.updated == 1

    means(dump)
    report = await pair.cycle()

    assert (report.right.written, report.adopted) == (0, [Side.LEFT])
    assert "it was as it should be, seen twice" in {
        one.outcome for one in (await pair.records(Side.RIGHT)).values()
    }


@pytest.mark.parametrize(("database_server", "means"), CASES, indirect=["database_server"])
async def test_later_records_in_a_restored_dump_hide_no_loss(
    pair: RealPair, means: Callable[[Dump], None]
) -> None:
    """It has as many runs as before, and numbers as high, but others."""
    dump = dumped(pair)
    await pair.left.put(full("run-of-today"))
    await pair.cycle()

    means(dump)
    await pair.left.put(full("another run"), full("one more"))
    report = await pair.cycle()

    assert (report.right.deleted, report.right.created, report.adopted) == (0, 2, [Side.LEFT])
    assert "run-of-today" in await pair.labels(Side.LEFT)


@pytest.mark.parametrize(("database_server", "means"), CASES, indirect=["database_server"])
async def test_own_writes_after_the_dump_do_not_count_as_deleted(
    pair: RealPair, means: Callable[[Dump], None]
) -> None:
    """The mark is that of the end of the cycle."""
    dump = dumped(pair)
    await pair.right.put(full("from the other side"))
    await pair.cycle()

    means(dump)
    report = await pair.cycle()

    assert (report.right.deleted, report.left.created) == (0, 1)


async def test_deletions_on_a_server_are_carried(pair: RealPair) -> None:
    """Also that of the newest record, and of the one before it."""
    found = []
    for label in ("old-2", "old-0"):
        await pair.left.remove(label)
        report = await pair.cycle()
        found.append((report.adopted, report.right.deleted))

    assert found == [([], 1), ([], 1)]


async def test_deletion_is_carried_after_a_vacuum_of_the_table(pair: RealPair) -> None:
    """A compacted table is the same one."""
    database = pair.left.database  # type: ignore[union-attr]
    if database.server.scheme == "postgresql":
        database.run("VACUUM FULL django_store_record")
    else:
        database.run("ANALYZE TABLE django_store_record")
    await pair.left.remove("old-2")

    report = await pair.cycle()

    assert (report.adopted, report.right.deleted) == ([], 1)


async def test_poll_of_an_idle_pair_reads_no_mark(pair: RealPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real cycle reads it at its beginning, at its end, and with each step that it records."""
    asked = []
    mark = ServerStore.mark

    async def counted(store: ServerStore) -> str:
        asked.append(store)
        return await mark(store)

    monkeypatch.setattr(ServerStore, "mark", counted)
    await pair.cycle()
    quiet = len(asked)
    await pair.left.put(full("new"))
    await pair.cycle()

    assert quiet == 0
    assert len(asked) <= 4


async def test_unprivileged_user_gets_a_mark_of_what_it_may_read(postgresql_database: Database) -> None:
    """Not every user may read the identity of the cluster, and the last number."""
    user = f"guest_{postgresql_database.name}"
    postgresql_database.run_all(
        (f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'", ()),
        (f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}", ()),
        ("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public", ()),
    )
    try:
        async with open_store(find(postgresql_database.url.replace(USER, user, 1))) as store:
            before = await store.mark()  # type: ignore[attr-defined]
            await place_of(postgresql_database).put(full("new"))
            assert not await store.is_another(  # type: ignore[attr-defined]
                before,
                await store.mark(),  # type: ignore[attr-defined]
            )
    finally:
        postgresql_database.run("GRANT EXECUTE ON FUNCTION pg_control_system() TO public")
