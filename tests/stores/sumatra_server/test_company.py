"""Several processes create records on one server, where two requests at once make two records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from aiohttp import web

from smtd.records.record import Key, Record
from smtd.stores.base import DONE, STALE, Change, Outcome, Result
from smtd.stores.http import other_clients
from smtd.stores.http.other_clients import OtherClients
from smtd.stores.http.session import Login, Trust, connect
from smtd.stores.http.store import HttpStore
from tests.build import PROJECT, commented, full, key, record
from tests.peers.line import Line, line_to, passed
from tests.peers.server import PASSWORD, USERS
from tests.stores.asking import delete
from tests.stores.server_place import ServerPlace

LABELS = "abcdefgh"
KEYS = [key(label) for label in LABELS]


class Clock:
    """What a store does instead of waiting: the next of *meanwhile*, and nothing after that."""

    def __init__(self, *meanwhile: Callable[[], Awaitable[object]]) -> None:
        self.meanwhile = list(meanwhile)
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if self.meanwhile:
            await self.meanwhile.pop(0)()


@asynccontextmanager
async def opened(place: ServerPlace, clock: Clock, url: str = "") -> AsyncIterator[HttpStore]:
    """Open a store as another process does."""
    async with connect(url or place.server.url, Login(USERS[0], PASSWORD), Trust()) as session:
        yield HttpStore(session, "server", Random(1), clock.sleep)


def made(*records: Record, contested: bool = True) -> list[Change]:
    """Return changes that create *records*."""
    return [Change(key(each.label), each, None, contested) for each in records]


def results(outcomes: list[Outcome]) -> str:
    """Return the outcomes as words."""
    return " ".join(each.result.value for each in outcomes)


def requests(line: Line, label: str) -> list[str]:
    """Return the methods of the requests on *line* about the record *label*, in order.

    The server logs a request after its answer, so its log may have them in another order.
    """
    path = f"/records/{PROJECT}/{label}/"
    return [method for method, _, asked in (each.partition(" ") for each in line.requests) if asked == path]


def test_wait_is_random_and_grows_after_each_lost_race() -> None:
    """Up to a limit."""
    one = OtherClients(Random(1))
    first = [one.pause / other_clients.UNIT for _ in range(100)]
    one.lost_race()
    second = [one.pause / other_clients.UNIT for _ in range(100)]
    for _ in range(9):
        one.lost_race()
    last = [one.pause / other_clients.UNIT for _ in range(100)]

    assert 1.0 <= min(first) < max(first) <= other_clients.SPREAD < min(second)
    assert max(last) <= other_clients.SPREAD * (1 + other_clients.RACES)


def test_wait_is_shorter_after_a_created_record() -> None:
    """As after one lost race: the clients that won before may be gone."""
    one = OtherClients(Random(1))
    for _ in range(other_clients.RACES):
        one.lost_race()
    before = min(one.pause for _ in range(100))
    one.note_created(0.0)
    after = [one.pause for _ in range(100)]

    assert max(after) < before
    assert min(after) > other_clients.SPREAD * other_clients.UNIT


def test_wait_is_longer_on_a_slow_server() -> None:
    """Random waits of two clients must differ by more than a look and a write take; up to a limit."""
    slow, dead = OtherClients(Random(1)), OtherClients(Random(1))
    for _ in range(20):
        slow.note_write_time(2 * other_clients.UNIT)
        dead.note_listing_time(600.0)

    assert slow.unit == pytest.approx(4 * other_clients.UNIT)
    assert dead.unit == other_clients.SLOW * other_clients.UNIT


def test_batches_grow_until_other_clients_show_up() -> None:
    """One record first, and more each time; all at once if alone, in a random order."""
    one, other = OtherClients(Random(1)), OtherClients(Random(2))
    alone = [one.batch(KEYS), other.batch(KEYS)]
    one.note_scan(KEYS[:1])
    one.note_scan(KEYS[:2])
    sizes = [len(one.batch(KEYS)) for _ in range(3)]
    one.note_listing(KEYS[:3], now=0.0)
    sizes += [len(one.batch(KEYS)) for _ in range(2)]

    assert [sorted(each) for each in alone] == [KEYS, KEYS]
    assert alone[0] != alone[1]
    assert sizes == [1, 2, 4, 1, 2]


def test_quiet_period_ends_after_a_while() -> None:
    """A look without records of others is worth one unit, which created records use up."""
    one = OtherClients(Random(1))
    one.note_scan(KEYS)
    one.note_created(0.0)
    before = one.is_calm(0.0)
    one.note_listing(KEYS, 10.0)
    one.note_created(10.0 + 0.9 * other_clients.UNIT)
    later = [one.is_calm(10.0 + units * other_clients.UNIT) for units in (1.8, 2.0)]

    assert (before, later, one.may_act) == (False, [True, False], False)


def listings_until_calm(one: OtherClients, there: list[Key]) -> int:
    """Return how many looks that show only *there* it takes until the project counts as quiet."""
    for count in range(1, 10):
        one.note_listing(there, now=0.0)
        if one.is_calm(0.0):
            return count
    return 0


def test_project_is_quiet_only_after_several_quiet_looks() -> None:
    """After another client added a record, and after more looks if it is the same record."""
    others, rivals, founder = OtherClients(Random(1)), OtherClients(Random(1)), OtherClients(Random(1))
    for one in (others, rivals):
        one.note_scan(KEYS[:1])
        one.note_listing(KEYS[:2], now=0.0)
    rivals.lost_race()
    founder.are_rivals()

    counts = [listings_until_calm(one, KEYS[:2]) for one in (others, rivals)]

    assert counts == [other_clients.LISTINGS, other_clients.LISTINGS_OF_RIVALS]
    assert listings_until_calm(founder, []) == other_clients.LISTINGS_OF_RIVALS


def test_listed_record_counts_as_seen() -> None:
    """It was another client's record, which the listing before did not have yet."""
    one = OtherClients(Random(1))
    one.unlisted.update(KEYS[:2])
    one.note_scan(KEYS[:1])

    assert one.unlisted == {KEYS[1]}


async def test_only_one_of_several_clients_begins_on_an_empty_server(place: ServerPlace) -> None:
    """The server tells one of them that it has created the project; the others wait.

    Then all records are there.
    """
    records = [record(label) for label in LABELS]
    first, second = Clock(), Clock()
    told: list[str] = []

    async with (
        line_to(place.server.root) as line,
        opened(place, first) as one,
        opened(place, second, url=f"{line.url}/records/") as other,
    ):

        async def overtaken(_line: Line, request: web.BaseRequest) -> web.StreamResponse:
            told.append(results(await one.write(made(*records))))
            return await passed(line, request)

        line.break_at(3, overtaken)  # after the looks at project and server, before the project is created
        told.append(results(await other.write(made(*records))))

    assert told == [" ".join(["done"] * 8), " ".join(["stale"] * 8)]
    assert (first.waits, len(second.waits)) == ([], 1)
    assert place.run("SELECT count(*) FROM django_store_record") == [(8,)]


async def test_record_created_by_others_since_the_listing_is_not_overwritten(place: ServerPlace) -> None:
    """smtd reads it directly before it would send it; further creations then wait for others."""
    await place.put(record("z"))
    clock = Clock()
    async with opened(place, clock) as store:
        assert await store.write(made(record("y"), contested=False)) == [DONE]
        await place.put(*(commented(record(label), "mine") for label in LABELS))

        outcomes = await store.write(made(*map(record, "abcdefghijklmnop"), contested=False))

        held = await store.read([key("a")])
    assert results(outcomes) == " ".join(["stale"] * 8 + ["done"] * 8)
    assert held[key("a")].outcome == "mine"
    assert clock.waits != []


async def test_client_waits_for_others_that_add_records(place: ServerPlace) -> None:
    """As long as each look shows more of their records; the next look of the cycle has them."""
    await place.put(record("z"))
    clock = Clock(lambda: place.put(record("a")), lambda: place.put(record("b"), record("x")))
    async with opened(place, clock) as store:
        await store.scan([PROJECT])

        outcomes = await store.write(made(*map(record, LABELS)))

    assert results(outcomes) == "stale stale " + " ".join(["done"] * 6)
    assert sum(clock.waits[2:]) >= 2 * other_clients.UNIT * (1 + other_clients.SPREAD)


async def test_wait_ends_when_others_have_created_all_records(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd looks during the wait, so that the rest of the wait delays nothing."""
    monkeypatch.setattr(other_clients, "STEP", 0.5)
    await place.put(record("z"))
    clock = Clock(lambda: place.put(record("a"), record("b")))
    async with opened(place, clock) as store:
        await store.scan([PROJECT])

        outcomes = await store.write(made(record("a"), record("b")))

    assert (results(outcomes), len(clock.waits)) == ("stale stale", 1)


async def test_wait_for_others_ends_with_the_cycle(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next cycle looks again, and reports the progress."""
    monkeypatch.setattr(other_clients, "ENOUGH", 0.0)
    await place.put(record("z"))
    async with opened(place, Clock(lambda: place.put(record("y")))) as store:
        await store.scan([PROJECT])

        assert await store.write(made(record("a"), record("b"))) == [STALE, STALE]


async def test_restored_record_may_be_restored_by_others_too(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was deleted on the server: all laptops that changed it meanwhile create it again at once."""
    monkeypatch.setattr(other_clients, "SLOW", 1.0)
    await place.put(record("z"), record("a"))
    clock = Clock()
    async with opened(place, clock) as store:
        await store.scan([PROJECT])
        await place.remove("a")
        await store.scan([PROJECT])

        outcomes = await store.write(made(record("a")))

    assert results(outcomes) == "done"
    assert sum(clock.waits) > other_clients.UNIT * other_clients.SPREAD


async def test_record_that_smtd_recreates_does_not_count_as_one_of_others(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd waits as for any new record."""
    monkeypatch.setattr(other_clients, "SLOW", 1.0)
    await place.put(record("z"), record("a"))
    clock = Clock()
    async with opened(place, clock) as store:
        await store.scan([PROJECT])
        await store.write([delete(record("a"))])

        outcomes = await store.write(made(record("a")))

    assert results(outcomes) == "done"
    assert 0 < sum(clock.waits) <= other_clients.UNIT * other_clients.SPREAD


async def test_sole_client_does_not_wait(place: ServerPlace) -> None:
    """In a project that it created, or to which no other client adds, it looks once before each record."""
    clock = Clock()
    async with (
        line_to(place.server.root) as line,
        opened(place, clock, url=f"{line.url}/records/") as store,
    ):
        await store.write(made(record("a"), record("b")))
        await store.write(made(record("c"), contested=False))

    assert clock.waits == []
    assert requests(line, "c") == ["GET", "PUT", "GET"]


async def test_doubled_shared_row_is_reported(place: ServerPlace) -> None:
    """Two clients with the first records of two projects may double it; then no record gets in."""
    await place.put(record("a"))
    columns = "path, name, version, options"
    place.run(
        f"INSERT INTO django_store_executable ({columns}) SELECT {columns} FROM django_store_executable"
    )
    async with opened(place, Clock()) as store:
        (outcome,) = await store.write(made(record("b"), contested=False))

    assert outcome.result is Result.REFUSED
    assert "(status 500)" in outcome.reason
    assert "tables executable, launchmode, parameterset, datastore and repository; make" in outcome.reason


async def test_doubled_platform_blocks_no_record(place: ServerPlace) -> None:
    """The server creates one for each record, so smtd does not look in this table."""
    await place.put(full("a"))
    columns = "architecture_bits, architecture_linkage, machine, network_name, ip_addr, processor, release"
    columns += ", system_name, version"
    place.run(
        f"INSERT INTO django_store_platforminformation ({columns})"
        f" SELECT {columns} FROM django_store_platforminformation"
    )
    async with opened(place, Clock()) as store:
        assert await store.write(made(full("c"), contested=False)) == [DONE]
