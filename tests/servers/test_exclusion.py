"""Two smtd write to one database at the same moment, without knowing of each other."""

from __future__ import annotations

import anyio
import pytest

from smtd.records.record import Executable
from smtd.stores.base import DONE, STALE, Outcome
from smtd.stores.django.driver import POSTGRESQL, open_mysql, open_postgresql
from smtd.stores.django.server_store import ServerStore
from tests.build import record
from tests.servers.place import DatabasePlace, place_of
from tests.servers.server import DatabaseServer
from tests.stores.asking import create

ROUNDS = 8


@pytest.fixture
def place(database_server: DatabaseServer) -> DatabasePlace:
    return place_of(database_server.new())


async def test_record_written_by_two_smtd_at_once_is_created_once(place: DatabasePlace) -> None:
    """One of them creates it; a row that two records share is created once."""
    opened = open_postgresql if place.location.driver is POSTGRESQL else open_mysql
    outcomes: list[list[Outcome]] = [[] for _ in range(ROUNDS)]

    async def write(number: int, own: str) -> None:
        # As in another process, without the locks between pairs of one process.
        async with opened(place.location) as database:
            program = Executable("/opt/sim", "sim", f"{number}")
            changes = [
                create(record(label, executable=program)) for label in (f"both-{number}", f"{own}-{number}")
            ]
            outcomes[number] += await ServerStore(database, "lab").write(changes)

    for number in range(ROUNDS):
        async with anyio.create_task_group() as group:
            group.start_soon(write, number, "one")
            group.start_soon(write, number, "other")

    doubled = "SELECT {} FROM django_store_{} GROUP BY {} HAVING count(*) > 1"
    assert place.run(doubled.format("label", "record", "label")) == []
    assert place.run(doubled.format("version", "executable", "version")) == []
    assert [sorted(each, key=str) for each in outcomes] == [sorted([DONE] * 3 + [STALE], key=str)] * ROUNDS
