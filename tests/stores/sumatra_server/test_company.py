"""Several processes make records on one server, which would make twice what two of them send at once."""

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
    """Return changes that make *records*."""
    return [Change(key(each.label), each, None, contested) for each in records]


def results(outcomes: list[Outcome]) -> str:
    """Return the outcomes as words."""
    return " ".join(each.result.value for each in outcomes)


def requests(line: Line, label: str) -> list[str]:
    """Return the methods of what was asked on *line* about the record *label*, in order.

    The server writes a request down after it has answered, so its log may have them in another one.
    """
    path = f"/records/{PROJECT}/{label}/"
    return [method for method, _, asked in (each.partition(" ") for each in line.requests) if asked == path]


def test_wait_is_drawn_and_longer_after_a_lost_race() -> None:
    """Whoever lost waits longer than whoever did not, each time; after many races no longer still."""
    one = OtherClients(Random(1))
    first = [one.pause / other_clients.UNIT for _ in range(100)]
    one.lost_race()
    second = [one.pause / other_clients.UNIT for _ in range(100)]
    for _ in range(9):
        one.lost_race()
    last = [one.pause / other_clients.UNIT for _ in range(100)]

    assert 1.0 <= min(first) < max(first) <= other_clients.SPREAD < min(second)
    assert max(last) <= other_clients.SPREAD * (1 + other_clients.RACES)


def test_who_makes_a_record_waits_less_from_then_on() -> None:
    """As after one lost race: those who won before may be gone, and nothing is to take long for ever."""
    one = OtherClients(Random(1))
    for _ in range(other_clients.RACES):
        one.lost_race()
    before = min(one.pause for _ in range(100))
    one.note_created(0.0)
    after = [one.pause for _ in range(100)]

    assert max(after) < before
    assert min(after) > other_clients.SPREAD * other_clients.UNIT


def test_wait_is_longer_on_a_slow_server() -> None:
    """Two who wait for drawn times differ by more than a look and a write take; up to a limit."""
    slow, dead = OtherClients(Random(1)), OtherClients(Random(1))
    for _ in range(20):
        slow.note_write_time(2 * other_clients.UNIT)
        dead.note_look_time(600.0)

    assert slow.unit == pytest.approx(4 * other_clients.UNIT)
    assert dead.unit == other_clients.SLOW * other_clients.UNIT


def test_batches_grow_until_others_are_heard() -> None:
    """One record first, and more each time; all at once without company, in another order each time."""
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


def test_calm_is_over_after_a_while() -> None:
    """A look that showed nothing of others is good for one unit, and from each record that was made."""
    one = OtherClients(Random(1))
    one.note_scan(KEYS)
    one.note_created(0.0)
    before = one.is_calm(0.0)
    one.note_listing(KEYS, 10.0)
    one.note_created(10.0 + 0.9 * other_clients.UNIT)
    later = [one.is_calm(10.0 + units * other_clients.UNIT) for units in (1.8, 2.0)]

    assert (before, later, one.may_act) == (False, [True, False], False)


def looks_until_calm(one: OtherClients, there: list[Key]) -> int:
    """Return how many looks that show only what is *there* it takes until it is calm."""
    for count in range(1, 10):
        one.note_listing(there, now=0.0)
        if one.is_calm(0.0):
            return count
    return 0


def test_pause_of_others_is_no_end_of_their_work() -> None:
    """It takes more than one quiet look after others added a record, and more if it is the same one."""
    others, rivals, founder = OtherClients(Random(1)), OtherClients(Random(1)), OtherClients(Random(1))
    for one in (others, rivals):
        one.note_scan(KEYS[:1])
        one.note_listing(KEYS[:2], now=0.0)
    rivals.lost_race()
    founder.are_rivals()

    counts = [looks_until_calm(one, KEYS[:2]) for one in (others, rivals)]

    assert counts == [other_clients.LOOKS, other_clients.LOOKS_AT_RIVALS]
    assert looks_until_calm(founder, []) == other_clients.LOOKS_AT_RIVALS


def test_record_that_is_listed_is_contradicted_no_more() -> None:
    """It was another one's, whose record the listing before did not have yet."""
    one = OtherClients(Random(1))
    one.unlisted.update(KEYS[:2])
    one.note_scan(KEYS[:1])

    assert one.unlisted == {KEYS[1]}


async def test_of_all_who_meet_an_empty_server_one_begins(place: ServerPlace) -> None:
    """The server tells one of them that it has made the project; the others wait, and then all is there."""
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

        line.break_at(3, overtaken)  # after the looks at project and server, before the project is made
        told.append(results(await other.write(made(*records))))

    assert told == [" ".join(["done"] * 8), " ".join(["stale"] * 8)]
    assert (first.waits, len(second.waits)) == ([], 1)
    assert place.run("SELECT count(*) FROM django_store_record") == [(8,)]


async def test_record_that_somebody_made_since_the_listing_is_not_written_over(place: ServerPlace) -> None:
    """It is looked for directly before it is sent; what is not begun by then waits as in company."""
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


async def test_others_who_are_adding_records_are_waited_for(place: ServerPlace) -> None:
    """As long as each look shows more of theirs; what they have made is for the next look of the cycle."""
    await place.put(record("z"))
    clock = Clock(lambda: place.put(record("a")), lambda: place.put(record("b"), record("x")))
    async with opened(place, clock) as store:
        await store.scan([PROJECT])

        outcomes = await store.write(made(*map(record, LABELS)))

    assert results(outcomes) == "stale stale " + " ".join(["done"] * 6)
    assert sum(clock.waits[2:]) >= 2 * other_clients.UNIT * (1 + other_clients.SPREAD)


async def test_wait_ends_when_others_have_made_all(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked in the wait, so that the rest of it stops nothing."""
    monkeypatch.setattr(other_clients, "STEP", 0.5)
    await place.put(record("z"))
    clock = Clock(lambda: place.put(record("a"), record("b")))
    async with opened(place, clock) as store:
        await store.scan([PROJECT])

        outcomes = await store.write(made(record("a"), record("b")))

    assert (results(outcomes), len(clock.waits)) == ("stale stale", 1)


async def test_others_who_never_end_are_left_to_the_next_cycle(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cycle looks again, and tells how far everything is."""
    monkeypatch.setattr(other_clients, "ENOUGH", 0.0)
    await place.put(record("z"))
    async with opened(place, Clock(lambda: place.put(record("y")))) as store:
        await store.scan([PROJECT])

        assert await store.write(made(record("a"), record("b"))) == [STALE, STALE]


async def test_record_that_is_brought_back_may_be_brought_back_by_others(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deleted it on the server: all laptops that changed it meanwhile make it again at once."""
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


async def test_record_that_smtd_deleted_and_makes_again_is_no_sign_of_others(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits as for any new record."""
    monkeypatch.setattr(other_clients, "SLOW", 1.0)
    await place.put(record("z"), record("a"))
    clock = Clock()
    async with opened(place, clock) as store:
        await store.scan([PROJECT])
        await store.write([delete(record("a"))])

        outcomes = await store.write(made(record("a")))

    assert results(outcomes) == "done"
    assert 0 < sum(clock.waits) <= other_clients.UNIT * other_clients.SPREAD


async def test_who_is_alone_waits_for_nobody(place: ServerPlace) -> None:
    """In a project that it has made, or that nobody else adds to, smtd looks once before each record."""
    clock = Clock()
    async with (
        line_to(place.server.root) as line,
        opened(place, clock, url=f"{line.url}/records/") as store,
    ):
        await store.write(made(record("a"), record("b")))
        await store.write(made(record("c"), contested=False))

    assert clock.waits == []
    assert requests(line, "c") == ["GET", "PUT", "GET"]


async def test_row_that_records_share_and_that_is_there_twice_is_named(place: ServerPlace) -> None:
    """Two who make the first records of two projects at once may make it twice; then no record gets in."""
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


async def test_platform_that_is_there_twice_keeps_no_record_out(place: ServerPlace) -> None:
    """The server makes one for each record, so it is not among the tables in which to look."""
    await place.put(full("a"))
    columns = "architecture_bits, architecture_linkage, machine, network_name, ip_addr, processor, release"
    columns += ", system_name, version"
    place.run(
        f"INSERT INTO django_store_platforminformation ({columns})"
        f" SELECT {columns} FROM django_store_platforminformation"
    )
    async with opened(place, Clock()) as store:
        assert await store.write(made(full("c"), contested=False)) == [DONE]
