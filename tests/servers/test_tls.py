"""A database on a server must prove its identity if configured, and no other server gets any data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from smtd.errors import StoreRefused
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, key, record
from tests.servers.place import place_of
from tests.servers.programs import lacking, without_tls
from tests.servers.server import PASSWORD, Database, DatabaseServer

#: Another name of 127.0.0.1, which needs no /etc/hosts.
OTHER_NAME = "127.1"


@contextmanager
def speaking_tls(server: DatabaseServer) -> Iterator[None]:
    """Make PostgreSQL accept TLS until the end of the block; MariaDB always does."""
    if server.scheme != "postgresql":
        yield
        return
    anywhere = Database(server, "postgres")
    anywhere.run_all(("ALTER SYSTEM SET ssl = on", ()), ("SELECT pg_reload_conf()", ()))
    try:
        yield
    finally:
        anywhere.run_all(("ALTER SYSTEM RESET ssl", ()), ("SELECT pg_reload_conf()", ()))


@pytest.fixture(params=[each for each in ("postgresql", "mariadb") if each not in lacking() | without_tls()])
def database_server(request: pytest.FixtureRequest) -> DatabaseServer:
    """Each of the servers that support TLS."""
    found: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
async def database(database_server: DatabaseServer) -> Database:
    """A database with one record on a server with TLS."""
    made = database_server.new()
    await place_of(made).put(record())
    return made


@pytest.fixture(autouse=True)
def tls(database_server: DatabaseServer) -> Iterator[None]:
    with speaking_tls(database_server):
        yield


def location(
    database: Database, *, sslmode: str = "", host: str = "127.0.0.1", known: bool = True
) -> Location:
    """Return the location of *database*; *known*: with the file of the server's certificate authority."""
    found = find(database.url.replace("127.0.0.1", host) + (sslmode and f"?sslmode={sslmode}"))
    authority = str(database.server.authority) if known else None
    return replace(found, access=replace(found.access, ca_file=authority))


def secured(database: Database) -> int:
    """Return how many TLS connections were ever made (MariaDB), or exist now (PostgreSQL)."""
    if database.server.scheme == "postgresql":
        asked = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        ((count,),) = database.run(f"{asked} WHERE ssl AND application_name = 'smtd'")
    else:
        ((_, count),) = database.run("SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts'")
    return int(count)


@pytest.mark.parametrize("sslmode", ["", "require", "verify-ca", "verify-full"])
async def test_server_with_a_certificate_of_the_authority_is_accepted(
    database: Database, sslmode: str
) -> None:
    """The connection is encrypted."""
    before = secured(database)
    async with open_store(location(database, sslmode=sslmode)) as store:
        assert set((await store.scan([PROJECT])).digests) == {key("run")}
        assert secured(database) > before


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
async def test_server_with_an_unknown_certificate_is_rejected(database: Database, sslmode: str) -> None:
    """smtd sends nothing, and the message says what to do."""
    async with open_store(location(database, sslmode=sslmode, known=False)) as store:
        with pytest.raises(
            StoreRefused, match=r"the certificate of .* is not trusted .*name the authority"
        ) as told:
            await store.scan([PROJECT])

    assert PASSWORD not in str(told.value)


async def test_certificate_of_another_host_is_rejected(database: Database) -> None:
    """Unless only the authority should be verified."""
    async with open_store(location(database, host=OTHER_NAME)) as store:
        with pytest.raises(StoreRefused, match=r"the certificate of .* is not trusted"):
            await store.scan([PROJECT])

    async with open_store(location(database, host=OTHER_NAME, sslmode="verify-ca")) as store:
        assert set((await store.scan([PROJECT])).digests) == {key("run")}
