"""smtd and real Sumatra 0.8.1 share databases on servers, and neither notices the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtd.records.record import Record
from smtd.stores.base import DONE, Change
from tests.peers.environments import Environment
from tests.peers.fixtures import RICH
from tests.peers.stores import PeerStore
from tests.sampling import sampled
from tests.servers.fixtures import SERVERS
from tests.servers.place import DatabasePlace, place_of
from tests.servers.programs import lacking
from tests.servers.server import Database, DatabaseServer
from tests.stores import seen as sumatra
from tests.stores.places import Place, dumb_place
from tests.stores.sumatra.contract import SumatraContract, as_in_a_database, copy, differing

pytestmark = pytest.mark.halved


@pytest.fixture
def database(database_server: DatabaseServer) -> Database:
    """A database with tables that smtd created."""
    return database_server.new()


@pytest.fixture
def place(database: Database) -> DatabasePlace:
    return place_of(database)


def peer_of(environment: Environment, database: Database, directory: Path) -> PeerStore:
    return PeerStore(environment, "django", directory / "nothing", url=database.url)


@pytest.fixture
def peer(django_environment: Environment, database: Database, tmp_path: Path) -> PeerStore:
    """Sumatra at work in that database."""
    return peer_of(django_environment, database, tmp_path)


def schema(database: Database) -> dict[str, list[Any]]:
    """Return tables, columns, indexes and constraints, without how row numbers are generated."""
    if database.server.scheme == "mariadb":
        tables = [name for (name,) in database.run("SHOW TABLES")]
        return {
            name: sorted(str(line).strip().rstrip(",") for line in _shown(database, name)) for name in tables
        }
    return {
        "columns": database.run(
            "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        ),
        "indexes": database.run("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
        "constraints": database.run(
            "SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
        ),
    }


def _shown(database: Database, table: str) -> Iterator[str]:
    ((_, text),) = database.run(f"SHOW CREATE TABLE {table}")
    for line in text.splitlines():
        yield re.sub(r" AUTO_INCREMENT=\d+", "", line)


async def test_tables_equal_those_of_sumatra(
    database_server: DatabaseServer, database: Database, peer: PeerStore, tmp_path: Path
) -> None:
    """Sumatra has nothing to change."""
    theirs = database_server.new(empty=True)
    peer_of(peer.environment, theirs, tmp_path).make_many(RICH, 1)
    made = schema(database)

    assert peer.dump() == {}

    assert schema(database) == made == schema(theirs)
    asked = "SELECT app, name FROM django_migrations ORDER BY app, name"
    assert database.run(asked) == theirs.run(asked)
    kinds = "SELECT app_label, model FROM django_content_type ORDER BY app_label, model"
    assert database.run(kinds) == theirs.run(kinds)


def is_heard(place: DatabasePlace, one: Record) -> bool:
    """Say whether Sumatra sees all of *one*: Django 3.2 uses the short form of UTF-8 with MySQL."""
    return place.database.server.scheme == "postgresql" or max(str(one)) <= "\uffff"


class TestDatabaseOnAServer(SumatraContract):
    """The contract for each of the servers."""

    def said(self, one: Record) -> Record:
        return as_in_a_database(one)

    def hears(self, place: Place, one: Record) -> bool:
        assert isinstance(place, DatabasePlace)
        return is_heard(place, one)


def make_sweep(peer: PeerStore) -> None:
    peer.make_many(RICH, 20)


def make_rich(peer: PeerStore) -> None:
    peer.make_rich(RICH)


#: What Sumatra saves in which server; it cannot save all records of a rich store in MySQL.
FILLED = [
    *(
        pytest.param("postgresql", make_rich, marks=pytest.mark.soak)
        for _ in {"postgresql"} - lacking().keys()
    ),
    *sampled([(scheme, make_sweep) for scheme in SERVERS], 2),
]


@pytest.mark.parametrize(("database_server", "fill"), FILLED, indirect=["database_server"])
async def test_store_is_read_and_copied_completely(
    database_server: DatabaseServer,
    place: DatabasePlace,
    peer: PeerStore,
    tmp_path: Path,
    fill: Callable[[PeerStore], None],
) -> None:
    """smtd reads a store that Sumatra filled as Sumatra does, and Sumatra sees the same in a copy."""
    filled = database_server.new()  # with the tables that Sumatra would create
    theirs = peer_of(peer.environment, filled, tmp_path)
    fill(theirs)
    seen = theirs.dump()
    expected = sumatra.records(seen)

    copied = await copy(type(place)(filled), place)

    assert copied.keys() == expected.keys()
    assert differing(copied, expected) == {}
    assert peer.dump() == seen


@pytest.mark.slow
async def test_sumatra_reads_every_record_of_a_shelf_in_a_database(
    rich_shelf: Path, place: DatabasePlace, peer: PeerStore
) -> None:
    """It sees what smtd read in the shelf, except what the columns cannot hold."""
    async with dumb_place(rich_shelf).open() as left, place.open() as right:
        copied = await left.read((await left.scan()).digests)
        outcomes = await right.write([Change(of, one, None) for of, one in copied.items()])
    landed = [of for of, outcome in zip(copied, outcomes, strict=True) if outcome == DONE]

    found = sumatra.records(peer.dump())

    assert len(landed) > len(copied) * 0.9
    assert all(outcome == DONE or outcome.reason for outcome in outcomes)
    assert found.keys() == set(landed)
    heard = {of: copied[of] for of in landed if is_heard(place, copied[of])}
    assert differing(found, heard) == {}
