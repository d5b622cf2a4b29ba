"""Tests of MySQL and MariaDB only: they take texts for equal that differ."""

from __future__ import annotations

import pytest

from smtd.errors import StoreRefused
from smtd.records import canonical
from smtd.records.record import DataKey, Executable, Key
from smtd.stores.base import DONE, Change, Result
from smtd.stores.discovery import find
from smtd.stores.django.driver import open_mysql
from smtd.stores.registry import open_store
from tests.build import MOMENT, full, key, record
from tests.servers.place import MysqlPlace
from tests.servers.server import PASSWORD, Database, DatabaseServer
from tests.stores.asking import create, scan_of, write_to


@pytest.fixture
def place(mariadb_database: Database) -> MysqlPlace:
    return MysqlPlace(mariadb_database)


ALIKE = {
    "label": (key("run-É"), record("run-É"), "cannot be told apart from 'run-e'"),
    "tag": (key("tag"), record("tag", tags=frozenset({"GOOD"})), "its tag 'GOOD' differs from another one"),
    "project": (Key("MYPROJECT", "x"), record("x"), "differs only in case or accents"),
    "executable": (
        key("executable"),
        record("executable", executable=Executable("/USR/bin/python3", "Python", "3.11")),
        "its executable '/USR/bin/python3' differs from another one",
    ),
}


@pytest.mark.parametrize("what", ALIKE)
async def test_label_that_the_database_takes_for_another_is_refused(place: MysqlPlace, what: str) -> None:
    """Sumatra could not distinguish the two; it is one record's failure, and the rest lands."""
    of, one, said = ALIKE[what]
    first = record(
        "run-e", tags=frozenset({"good"}), executable=Executable("/usr/bin/python3", "Python", "3.11")
    )

    async with place.open() as store:
        assert await store.write([create(first)]) == [DONE]
        refused, good = await store.write([Change(of, one, None), create(record("new"))])

    assert good == DONE
    assert refused.result is Result.REFUSED
    assert said in refused.reason


async def test_only_the_first_of_new_labels_that_differ_in_case_lands(
    place: MysqlPlace,
) -> None:
    """Also within one batch."""
    first, second = await write_to(place, [create(record(name)) for name in ("run", "RUN")])

    assert first == DONE
    assert second.result is Result.REFUSED


async def test_database_with_a_case_sensitive_collation_holds_both(mariadb_server: DatabaseServer) -> None:
    """Only the collation decides what is equal."""
    place = await _made(mariadb_server, "COLLATE utf8mb4_bin")
    async with place.open() as store:
        changes = [create(record(name, tags=frozenset({name}))) for name in ("run", "RUN")]
        assert await store.write(changes) == [DONE, DONE]


#: Character sets of a database, each with a label that fits, and one that does not.
CHARACTERS = {
    "latin1": ("r\xe4n", "\u65e5"),
    "latin1 COLLATE latin1_bin": ("r\xe4n", "\u65e5"),
    "ascii": ("run", "\xe4n"),
    "cp1250": ("\u0142an", "\u65e5"),
    "sjis": ("\u65e5", "r\xe4n"),
    "ucs2": ("\u65e5", "\U00020000"),
    "utf8mb3": ("\u65e5", "\U00020000"),
}


@pytest.mark.parametrize("characters", CHARACTERS)
async def test_database_in_another_character_set_holds_what_fits(
    mariadb_server: DatabaseServer, characters: str
) -> None:
    """It is read back unchanged; other text is one record's failure, with the column."""
    fits, fails = CHARACTERS[characters]
    place = await _made(mariadb_server, f"CHARACTER SET {characters}")
    changes = [create(record(label, tags=frozenset({label}))) for label in (fits, fails)]
    unfit_path = full("path", output_data=(DataKey(f"/data/{fails}", "0" * 40, MOMENT, {}),))

    async with place.open() as store:
        landed, refused = await store.write(changes)
        (no_path,) = await store.write([create(unfit_path)])
        back = await store.read([key(fits)])
        assert await store.write([create(full("full"))]) == [DONE]
        scan = await store.scan({"MyProject", fails})

    assert landed == DONE
    assert canonical.digest(back[key(fits)]) == canonical.digest(record(fits, tags=frozenset({fits})))
    assert set(scan.digests) == {key(fits), key("full")}
    assert refused.result is no_path.result is Result.REFUSED
    assert "its label has a character that is not in the character set" in refused.reason


@pytest.mark.parametrize("table", ["record", "datakey", "tag", "executable", "parameterset"])
async def test_tables_may_have_different_character_sets(mariadb_database: Database, table: str) -> None:
    """Their texts are compared and joined nevertheless."""
    mariadb_database.run_all(
        (
            "ALTER TABLE django_store_record"
            " DROP FOREIGN KEY django_store_record_project_id_8a4ecf6c_fk_django_st",
            (),
        ),
        (f"ALTER TABLE django_store_{table} CONVERT TO CHARACTER SET latin1 COLLATE latin1_german1_ci", ()),
    )

    async with MysqlPlace(mariadb_database).open() as store:
        assert await store.write([create(full("r\xe4n"))]) == [DONE]
        assert set((await store.scan()).digests) == {key("r\xe4n")}


async def test_case_counts_in_case_sensitive_tables(mariadb_server: DatabaseServer) -> None:
    """One table that takes `A` for `a` does not affect the others."""
    place = await _made(mariadb_server, "COLLATE utf8mb4_bin")
    place.run("ALTER TABLE django_store_tag CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")

    async with place.open() as store:
        assert await store.write([create(record(name)) for name in ("run", "RUN")]) == [
            DONE,
            DONE,
        ]
        (refused,) = await store.write([create(record("x", tags=frozenset({"good", "GOOD"})))])

    assert "its tag" in refused.reason


async def test_database_with_a_binary_character_set_gets_no_tables(mariadb_server: DatabaseServer) -> None:
    """Sumatra could not read them."""
    with pytest.raises(StoreRefused, match="has the character set binary"):
        await _made(mariadb_server, "CHARACTER SET binary")


async def test_binary_column_is_reported(mariadb_database: Database) -> None:
    """Sumatra cannot read it."""
    mariadb_database.run("ALTER TABLE django_store_record MODIFY label varbinary(100) NOT NULL")

    with pytest.raises(StoreRefused, match=r"django_store_record\.label has the character set binary"):
        await scan_of(MysqlPlace(mariadb_database))


async def _made(server: DatabaseServer, texts: str) -> MysqlPlace:
    """Return a new database with *texts* as its default, whose tables smtd has created."""
    database = server.new(empty=True)
    database.run(f"ALTER DATABASE {database.name} {texts}")
    place = MysqlPlace(database)
    async with open_mysql(place.location) as made:
        assert await made.make()
    return place


@pytest.mark.parametrize(
    ("wrong", "step"),
    [
        ((PASSWORD, "not-this"), "check the user and the password"),
        (("/lab_", "/nolab_"), "check its name, or create the database first"),
    ],
    ids=["password", "database"],
)
async def test_failed_connection_is_reported_without_the_password(
    place: MysqlPlace, wrong: tuple[str, str], step: str
) -> None:
    """With what is wrong."""
    async with open_store(find(place.database.url.replace(*wrong))) as store:
        with pytest.raises(StoreRefused, match=step) as told:
            await store.scan()

    assert "not-this" not in f"{told.value} {store!r}"
    assert PASSWORD not in str(told.value)


async def test_connection_closed_by_the_server_is_replaced(place: MysqlPlace) -> None:
    """A restart of the server costs only a new connection."""
    await place.put(record())

    async with place.open() as store:
        await store.scan()
        for (number,) in place.run(
            "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND db = database()"
        ):
            place.run(f"KILL {number}")
        scan = await store.scan()
        assert await store.write([create(record("new"))]) == [DONE]

    assert set(scan.digests) == {key("run")}


async def test_server_without_durability_is_reported_with_the_remedy(
    mariadb_database: Database,
) -> None:
    """A connection cannot set that for itself; without a binary log its setting does not count."""
    setting = "innodb_flush_log_at_trx_commit"
    async with open_mysql(find(mariadb_database.url)) as database:
        ((usual,),) = mariadb_database.run(f"SELECT @@GLOBAL.{setting}")
        told = {}
        try:
            for value in (0, 1, 2, 3):
                mariadb_database.run(f"SET GLOBAL {setting} = {value}")
                told[value] = await database.risk()
        finally:
            mariadb_database.run(f"SET GLOBAL {setting} = {usual}")

    assert (told[1], told[3]) == ("", "")
    assert told[0].startswith(f"{setting} is 0 on this server: ")
    assert told[2].endswith(f"; set {setting} = 1")
