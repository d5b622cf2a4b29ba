"""Tests of PostgreSQL only: how smtd sees changes, excludes other writers, and connects."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

from smtd.errors import StoreBusy, StoreRefused, StoreUnreachable, UsageError
from smtd.records import canonical
from smtd.stores.access import Access
from smtd.stores.base import DONE, STALE, Change, Store
from smtd.stores.discovery import find
from smtd.stores.django import notify, postgresql
from smtd.stores.django.driver import open_postgresql
from smtd.stores.django.postgresql import PostgresqlConnection
from smtd.stores.registry import open_store, subscribe
from tests.build import commented, full, key, record
from tests.command import Smtd
from tests.daemon.process import daemon_process, synced
from tests.servers.place import TOO_LONG, PostgresqlPlace
from tests.servers.server import PASSWORD, Database, DatabaseServer
from tests.stores.asking import create, scan_of, write_to
from tests.stores.places import DjangoPlace

#: The statement by which an administrator ends all connections of smtd.
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'smtd'"


@pytest.fixture
def place(postgresql_database: Database) -> PostgresqlPlace:
    return PostgresqlPlace(postgresql_database)


@asynccontextmanager
async def someone(place: PostgresqlPlace) -> AsyncIterator[Any]:
    """Yield a connection of another program."""
    db = await asyncpg.connect(place.database.url, ssl="disable")
    try:
        yield db
    finally:
        await db.close()


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The queries of smtd, and how many rows each of them returned."""
    queries: list[tuple[str, int]] = []
    fetch = PostgresqlConnection.fetch

    async def counted(self: PostgresqlConnection, sql: str, parameters: Any = ()) -> Any:
        rows = await fetch(self, sql, parameters)
        queries.append((sql, len(rows)))
        return rows

    monkeypatch.setattr(PostgresqlConnection, "fetch", counted)
    return queries


async def token_of(store: Store) -> bytes:
    """Return the token of a scan."""
    await store.scan()
    token = await store.token()
    assert token is not None
    return token


async def test_look_at_an_unchanged_database_reads_no_record(
    place: PostgresqlPlace, moved: list[tuple[str, int]]
) -> None:
    """An idle cycle reads a few numbers, and not even versions if no transaction was committed."""
    await place.put(*[record(f"run-{number}") for number in range(20)])

    async with place.open() as store:
        token = await token_of(store)
        moved.clear()
        assert await store.unchanged_since(token)

    assert sum(rows for _, rows in moved) == 2  # the tables, and the moment
    assert not any("django_store_record r" in sql for sql, _ in moved)


async def test_scan_after_one_change_reads_one_record(
    place: PostgresqlPlace, moved: list[tuple[str, int]]
) -> None:
    """Of the others only the versions."""
    await place.put(*[record(f"run-{number}") for number in range(20)])

    async with place.open() as store:
        await store.scan()
        await place.put(commented(record("run-7"), "new"))
        moved.clear()
        scan = await store.scan()

    assert scan.digests[key("run-7")] == canonical.digest(commented(record("run-7"), "new"))
    assert [rows for sql, rows in moved if "SELECT r.db_id, r.project_id, r." in sql] == [1]


@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE django_store_datakey SET digest = 'x'",
        "DELETE FROM django_store_taggeditem",
        "DELETE FROM django_store_record_platforms",
        "UPDATE django_store_tag SET name = 'x' || name",
    ],
)
async def test_every_change_of_rows_of_a_record_is_seen(place: PostgresqlPlace, deed: str) -> None:
    """Although the row of the record itself is unchanged, and the number of rows may be the same."""
    await place.put(full(), full("other", tags=frozenset({"another"})))

    async with place.open() as store:
        token = await token_of(store)
        assert await store.unchanged_since(token)
        place.run(deed)

        assert not await store.unchanged_since(token)


async def test_commits_in_other_databases_change_nothing(
    place: PostgresqlPlace, postgresql_server: DatabaseServer, moved: list[tuple[str, int]]
) -> None:
    """A server counts the transactions of all its databases; only the records matter."""
    await place.put(record())

    async with place.open() as store:
        token = await token_of(store)
        postgresql_server.new()
        place.run("CREATE TABLE notes (text text)")
        moved.clear()

        assert await store.unchanged_since(token)
        assert await store.token() == token
    assert not any("hashtext" in sql for sql, _ in moved)  # not even the versions were computed


async def test_change_that_is_rolled_back_is_not_seen(place: PostgresqlPlace) -> None:
    """No program ever saw it."""
    await place.put(record())

    async with place.open() as store, someone(place) as db:
        token = await token_of(store)
        async with anyio.create_task_group():
            await db.execute("BEGIN")
            await db.execute("UPDATE django_store_record SET outcome = 'not to be'")
            await db.execute("ROLLBACK")

        assert await store.unchanged_since(token)


async def test_change_that_is_committed_late_is_seen_then(place: PostgresqlPlace) -> None:
    """A transaction that began before a scan, and ends long after others, hides nothing."""
    await place.put(record(), record("other"))

    async with place.open() as store, someone(place) as db:
        await db.execute("BEGIN")
        await db.execute("UPDATE django_store_record SET outcome = 'late' WHERE label = 'run'")
        place.run("UPDATE django_store_record SET outcome = 'early' WHERE label = 'other'")
        token = await token_of(store)
        before = await store.read([key("run")])
        await db.execute("COMMIT")
        unchanged = await store.unchanged_since(token)
        after = (await store.scan()).digests[key("run")]

    assert before[key("run")].outcome == record().outcome
    assert not unchanged
    assert after == canonical.digest(commented(record(), "late"))


async def test_record_that_is_committed_late_is_read_then(place: PostgresqlPlace) -> None:
    """Rows with lower numbers may appear after rows with higher ones."""
    await place.put(record())
    columns = place.columns("django_store_record", but=("db_id", "label"))
    made = f"INSERT INTO django_store_record (label, {columns}) SELECT '{{}}', {columns}"
    made += " FROM django_store_record WHERE label = 'run'"

    async with place.open() as store, someone(place) as db:
        await store.scan()
        await db.execute("BEGIN")
        await db.execute(made.format("late"))
        place.run(made.format("early"))
        before = await store.read([key("late"), key("early")])
        await db.execute("COMMIT")
        after = await store.read([key("late"), key("early")])
        late = Change(key("late"), None, canonical.digest(after[key("late")]))
        assert await store.write([late, Change(key("early"), None, None)]) == [DONE, STALE]

    assert set(before) == {key("early")}
    assert set(after) == {key("late"), key("early")}


async def test_edit_of_a_shared_row_changes_all_its_records(place: PostgresqlPlace) -> None:
    """Sumatra never does that, but a user who corrects a path does."""
    await place.put(record("one"), record("two"))

    async with place.open() as store:
        token = await token_of(store)
        before = (await store.scan()).digests
        place.run("UPDATE django_store_executable SET path = '/opt/new'")
        unchanged = await store.unchanged_since(token)
        after = (await store.scan()).digests

    assert not unchanged
    assert all(before[of] != after[of] for of in before)


async def test_write_beside_a_steady_writer_is_given_up(
    place: PostgresqlPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a message, and without a lock left."""
    monkeypatch.setattr(postgresql, "_WAITS", ("10ms", "11ms"))
    monkeypatch.setattr("smtd.stores.retrying.ATTEMPTS", 1)
    await place.put(record())

    async with place.open() as store, someone(place) as db:
        await db.execute("BEGIN")
        await db.execute("UPDATE django_store_record SET outcome = 'mine'")
        with pytest.raises(StoreBusy, match="other programs keep writing to"):
            await store.write([create(record("new"))])
        await db.execute("COMMIT")
        assert await store.write([create(record("new"))]) == [DONE]

    assert place.is_free()


async def test_connection_closed_by_the_server_is_replaced(place: PostgresqlPlace) -> None:
    """A restart, or an administrator, costs only a new connection."""
    await place.put(record())

    async with place.open() as store:
        await store.scan()
        place.run(END)
        scan = await store.scan()
        place.run(END)
        assert await store.write([create(record("new"))]) == [DONE]

    assert set(scan.digests) == {key("run")}


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ((PASSWORD, "not-this"), StoreRefused, "login to .* failed: .*; check the user and the password"),
        (("/lab_", "/nolab_"), StoreRefused, "does not exist .*; create the database first"),
        (("127.0.0.1:", "127.0.0.1:1"), StoreUnreachable, "address of|cannot be reached|port"),
    ],
)
async def test_failed_connection_is_reported_without_the_password(
    place: PostgresqlPlace, wrong: tuple[str, str], error: type[Exception], said: str
) -> None:
    """With what is wrong, and who has to act."""
    url = place.database.url.replace(*wrong) if "1:1" not in wrong[1] else "postgresql://a:pw@127.0.0.1:1/x"

    async with open_store(find(url)) as store:
        with pytest.raises(error, match=said) as told:
            await store.scan()

    assert PASSWORD not in str(told.value)
    assert "not-this" not in f"{told.value} {store!r}"


async def test_server_without_required_tls_gets_nothing(place: PostgresqlPlace) -> None:
    """smtd sends nothing in clear text."""
    async with open_store(find(f"{place.database.url}?sslmode=require")) as store:
        with pytest.raises(StoreRefused, match="does not support TLS"):
            await store.scan()


async def test_database_without_tables_is_an_error(postgresql_server: DatabaseServer) -> None:
    """smtd never creates them silently; the message says who can."""
    async with open_store(find(postgresql_server.new(empty=True).url)) as store:
        with pytest.raises(StoreRefused, match="no Sumatra tables yet; create them with smtd check --create"):
            await store.write([create(record())])


async def test_missing_driver_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one to install."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "smtd.stores.django.postgresql")
    monkeypatch.delattr("smtd.stores.django.postgresql", raising=False)

    with pytest.raises(UsageError, match=r"needs asyncpg: run pip install '\.\[postgres\]' in the checkout"):
        async with open_store(find("postgresql://nowhere/x")):
            pass


async def test_text_too_long_for_its_column_is_reported_with_its_field(place: PostgresqlPlace) -> None:
    """It is one record's failure, and the rest lands."""
    changes = [create(one) for one in (*TOO_LONG.values(), record("good"))]

    *refused, good = await write_to(place, changes)

    assert good == DONE
    assert [
        (field, outcome.reason)
        for field, outcome in zip(TOO_LONG, refused, strict=True)
        if not outcome.reason.startswith(f"its {field} ") or "but the database allows" not in outcome.reason
    ] == []


# Durability


@pytest.mark.parametrize(("usual", "within"), [("off", "on"), ("local", "local")])
async def test_commit_of_smtd_is_durable_before_it_is_acknowledged(
    postgresql_database: Database, usual: str, within: str
) -> None:
    """Even if the administrator turned that off; one that waits for a standby still does."""
    name = postgresql_database.url.rpartition("/")[2]
    postgresql_database.run(f'ALTER DATABASE "{name}" SET synchronous_commit = {usual}')
    async with open_postgresql(find(postgresql_database.url)) as database, database.session() as db:
        async with db.writing():
            assert await db.value("SHOW synchronous_commit") == within
        assert await db.value("SHOW synchronous_commit") == usual


async def test_commit_of_others_is_durable_before_it_is_agreed_on(place: PostgresqlPlace) -> None:
    """It would be reported sooner; and what makes it durable does not count as a change."""
    async with open_postgresql(find(place.database.url)) as database, someone(place) as other:
        await other.execute("SET synchronous_commit = off")
        await other.execute("INSERT INTO django_store_project (id, name, description) VALUES ('P', 'P', '')")
        written = await other.fetchval("SELECT CAST(pg_current_wal_insert_lsn() AS text)")
        before = await other.fetchval("SELECT CAST(pg_current_snapshot() AS text)")

        await database.flush()

        flushed = "SELECT pg_current_wal_flush_lsn() >= CAST(CAST($1 AS text) AS pg_lsn)"
        assert await other.fetchval(flushed, written)
        assert await other.fetchval("SELECT CAST(pg_current_snapshot() AS text)") == before


@pytest.mark.slow
async def test_server_without_durability_is_busy(
    place: PostgresqlPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_FLUSHES", 0)
    async with place.open() as store:
        with pytest.raises(StoreBusy, match="does not flush commits to disk"):
            await store.flush()


def test_check_warns_of_a_server_without_durability(postgresql_database: Database, smtd: Smtd) -> None:
    """The servers of these tests are such."""
    configured(smtd, postgresql_database.url)

    answer = smtd("check")

    assert answer.code == 0
    assert "! lab          fsync is off on this server" in answer.out
    assert answer.out.count("set fsync = on") == 1


# Notices


def configured(smtd: Smtd, url: str, *more: str) -> None:
    """Write a configuration with one store."""
    smtd.home.mkdir(exist_ok=True)
    file = smtd.home / "smtd" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.touch(mode=0o600)
    file.write_text("\n".join(["[stores.lab]", f'location = "{url}"', *more]), "utf-8")


def test_check_creates_the_tables_on_request(postgresql_server: DatabaseServer, smtd: Smtd) -> None:
    """A new, empty database gets Sumatra's tables, once, and never silently."""
    database = postgresql_server.new(empty=True)
    configured(smtd, database.url)

    silent = smtd("check")
    asked = smtd("check", "--create")
    again = smtd("check", "--create")

    assert (silent.code, asked.code, again.code) == (4, 0, 0)
    assert "no Sumatra tables yet" in silent.out
    assert f"{database.shown}  tables created; 0 records of no projects" in asked.out
    assert "tables created" not in again.out
    assert PASSWORD not in silent.out + asked.out


@pytest.mark.slow
def test_check_reports_a_sequence_that_may_not_be_used(postgresql_database: Database, smtd: Smtd) -> None:
    """Tables that Sumatra made have them; a statement that inserts no row does not need them."""
    user = f"writer_{postgresql_database.name}"
    postgresql_database.run_all(
        ("CREATE SEQUENCE django_store_tag_id_old OWNED BY django_store_tag.id", ()),
        (f"CREATE ROLE {user} LOGIN PASSWORD 'pw'", ()),
        (f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}", ()),
    )
    configured(smtd, postgresql_database.url.replace("smt:pw-of-smt@", f"{user}:pw@"))

    denied = smtd("check")
    postgresql_database.run(f"GRANT USAGE ON SEQUENCE django_store_tag_id_old TO {user}")
    granted = smtd("check")

    assert "permission denied: this user may not use the sequence django_store_tag_id_old of" in denied.out
    assert "; can be written\n" in granted.out


def test_check_installs_and_removes_notices(postgresql_database: Database, smtd: Smtd) -> None:
    """Triggers are created only on request, and leave nothing behind."""
    triggers = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"
    functions = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'smtd%'"
    configured(smtd, postgresql_database.url)
    smtd("check", "--install-notify")
    unasked = postgresql_database.run(triggers)

    configured(smtd, postgresql_database.url, "notify = true")
    installed = smtd("check", "--install-notify")
    there = postgresql_database.run(triggers)
    removed = smtd("check", "--remove-notify")
    left = postgresql_database.run(triggers), postgresql_database.run(functions)
    both = smtd("check", "--install-notify", "--remove-notify")

    assert unasked == [(0,)]
    assert "triggers installed" in installed.out
    assert there[0][0] >= 4
    assert "triggers removed" in removed.out
    assert left == ([(0,)], [(0,)])
    assert (both.code, "exclude each other" in both.err) == (2, True)


async def test_write_of_another_program_is_notified(place: PostgresqlPlace) -> None:
    """A listener gets it at the commit, and also the end of the connection."""
    for statement in notify.INSTALL:
        place.run(statement)
    location = find(place.database.url, Access(notify=True))
    told = anyio.Event()

    with anyio.fail_after(10):
        async with subscribe([location], lambda: told.set()) as hears:
            await place.put(record())
            await told.wait()
            assert hears.is_alive()
            told = anyio.Event()
            place.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'smtd'"
            )
            await told.wait()
            assert not hears.is_alive()


async def test_daemon_syncs_notified_changes_at_once(place: PostgresqlPlace, tmp_path: Path) -> None:
    """Although the database would be polled in an hour; also on a new connection."""
    for statement in notify.INSTALL:
        place.run(statement)
    file = tmp_path / "mirror.sqlite"
    text = f'[stores.lab]\nlocation = "{place.database.url}"\nnotify = true\npoll_interval = "1h"\n'
    text += f'[stores.own]\nlocation = "{file}"\n[pairs.pair]\nleft = "lab"\nright = "own"\n'
    (tmp_path / "config.toml").touch(mode=0o600)
    with daemon_process(tmp_path, text) as daemon:
        daemon.sync()
        for label in ("one", "two"):
            last = max((event["id"] for event in daemon.events()), default=0)
            await place.put(record(label))
            daemon.wait_event(synced, last)
            place.run(END)
            daemon.sync()

    assert set((await scan_of(DjangoPlace(file))).digests) == {key("one"), key("two")}
    assert PASSWORD not in daemon.log.read_text("utf-8")
