"""What only MySQL and MariaDB do: they take texts for equal that are not the same."""

from __future__ import annotations

import pytest

from smtd.errors import StoreRefused
from smtd.records.record import Executable, Key
from smtd.stores.base import DONE, Change, Result
from smtd.stores.locations import find
from smtd.stores.registry import open_database, open_store
from tests.build import key, record
from tests.servers.place import MysqlPlace
from tests.servers.server import PASSWORD, Database, DatabaseServer


@pytest.fixture
def place(mariadb_database: Database) -> MysqlPlace:
    return MysqlPlace(mariadb_database)


ALIKE = {
    "label": (key("run-É"), record("run-É"), "cannot be told from 'run-e'"),
    "tag": (key("tag"), record("tag", tags=frozenset({"GOOD"})), "its tag 'GOOD' differs from another one"),
    "project": (Key("MYPROJECT", "x"), record("x"), "differs only in case or accents"),
    "executable": (
        key("executable"),
        record("executable", executable=Executable("/USR/bin/python3", "Python", "3.11")),
        "its executable '/USR/bin/python3' differs from another one",
    ),
}


@pytest.mark.parametrize("what", ALIKE)
async def test_what_the_database_takes_for_another_is_refused(place: MysqlPlace, what: str) -> None:
    """Sumatra could not tell it from what is there; it is one record's failure, and the rest lands."""
    of, one, said = ALIKE[what]
    first = record(
        "run-e", tags=frozenset({"good"}), executable=Executable("/usr/bin/python3", "Python", "3.11")
    )

    async with place.open() as store:
        assert await store.write([Change(key("run-e"), first, None)]) == [DONE]
        refused, good = await store.write([Change(of, one, None), Change(key("new"), record("new"), None)])

    assert good == DONE
    assert refused.result is Result.REFUSED
    assert said in refused.reason


async def test_what_differs_among_new_ones_only_in_case_is_refused_but_for_the_first(
    place: MysqlPlace,
) -> None:
    """Two such labels in one batch are one too many."""
    async with place.open() as store:
        first, second = await store.write([Change(key(name), record(name), None) for name in ("run", "RUN")])

    assert first == DONE
    assert second.result is Result.REFUSED


async def test_database_that_looks_at_case_holds_both(mariadb_server: DatabaseServer) -> None:
    """The collation says what is equal, and nothing else."""
    database = mariadb_server.new(empty=True)
    database.run(f"ALTER DATABASE {database.name} COLLATE utf8mb4_bin")
    place = MysqlPlace(database)
    async with open_database(place.location) as made:
        assert await made.make()
    async with place.open() as store:
        changes = [Change(key(name), record(name, tags=frozenset({name})), None) for name in ("run", "RUN")]
        assert await store.write(changes) == [DONE, DONE]


@pytest.mark.parametrize("wrong", [(PASSWORD, "not-this"), ("/lab_", "/nolab_")])
async def test_way_that_leads_nowhere(place: MysqlPlace, wrong: tuple[str, str]) -> None:
    """What is wrong is told; the password is not."""
    async with open_store(find(place.database.url.replace(*wrong))) as store:
        with pytest.raises(StoreRefused, match="check the user, the password and the name") as told:
            await store.scan()

    assert "not-this" not in f"{told.value} {store!r}"
    assert PASSWORD not in str(told.value)


async def test_connections_that_the_server_ended(place: MysqlPlace) -> None:
    """A server that was started anew costs no more than a new connection."""
    await place.put(record())

    async with place.open() as store:
        await store.scan()
        for (number,) in place.run(
            "SELECT id FROM information_schema.processlist WHERE id <> connection_id()"
        ):
            place.run(f"KILL {number}")
        scan = await store.scan()
        assert await store.write([Change(key("new"), record("new"), None)]) == [DONE]

    assert set(scan.digests) == {key("run")}
