"""The newest records of a server are read again within a minute, with few requests."""

from __future__ import annotations

import pytest

from smtd.engine.costly_reads import RATE, waited_longest
from smtd.errors import StoreRefused
from smtd.merge.sides import Side
from tests.build import PROJECT, commented, key, record
from tests.engine.servers import ServerStore, later
from tests.engine.world import TestStore, World, counts, on, written

RECORDS = [record(f"run-{number:03}") for number in range(150)]
LABELS = [each.label for each in RECORDS]
NEWEST = LABELS[50:]
NOW = 1000.0


@pytest.fixture
async def world(tmp_path, clock):
    """A store and a server that came in sync long ago, and were looked at once since then."""
    server = ServerStore()
    world = await World(tmp_path, right=server).synced(*RECORDS)
    await later(world, clock, 3600.0, force_retry=True)
    server.reads.clear()
    return world


async def reads(world, clock, seconds, **policy):
    """Return what a scheduled cycle reads that comes *seconds* later."""
    await later(world, clock, seconds, force_retry=False, **policy)
    found = [*world.right.reads]
    world.right.reads.clear()
    return found


@pytest.mark.parametrize(
    ("read", "elapsed", "expected"),
    [
        ([970.0, 970.0], 28.0, "a"),
        ([970.0, 970.0], 30.0, "a"),
        ([970.0, 970.0], 30.1, "ab"),
        ([970.0, 969.0], 28.0, "b"),
        ([970.0, None], 28.0, "b"),
        ([970.0, 1001.0], 28.0, "b"),
        ([970.0, 969.0], 99.0, "ba"),
        ([970.0, 969.0], 0.0, "b"),
        ([970.0], 28.0, "a"),
        ([], 28.0, ""),
    ],
)
def test_newest_records_are_read_in_the_order_of_their_last_read(read, elapsed, expected):
    """As many as are needed to read all in time; of those that have waited equally long, the newest first."""
    newest = {key(label): moment for label, moment in zip("ab", read, strict=False)}

    assert "".join(each.label for each in waited_longest(newest, NOW, elapsed)) == expected


async def test_newest_records_are_read_again_at_two_requests_a_second(world, clock):
    """Two looks, half a minute apart, read all of them, and some of the others in between."""
    first = await reads(world, clock, 27.0)
    second = await reads(world, clock, 27.0)
    third = await reads(world, clock, 27.0)

    assert max(map(len, (first, second, third))) <= 27.0 * RATE
    assert {*NEWEST} <= {*first, *second}
    assert {*NEWEST} <= {*second, *third}


async def test_edit_of_a_new_record_is_synced_within_two_looks(world, clock):
    """Without any other change."""
    world.right.put(PROJECT, commented(RECORDS[60], "seen"))

    found = [counts(await later(world, clock, 27.0, force_retry=False)) for _ in range(2)]

    assert sorted(found, key=str) == sorted([written(), on(Side.LEFT, updated=1)], key=str)


async def test_record_that_changed_is_one_of_the_newest(world, clock):
    """It is likely to be edited again, however old its run is."""
    world.right.put(PROJECT, commented(RECORDS[3], "seen"))
    await later(world, clock, force_retry=True, verify_within=0.0)
    world.right.reads.clear()

    found = {*(await reads(world, clock, 27.0)), *(await reads(world, clock, 27.0))}

    assert LABELS[3] in found


async def test_requested_cycle_reads_all_of_the_newest_at_once(world, clock):
    """However lately they were read, and however many they are; a dry run, too."""
    await later(world, clock, 0.1, force_retry=True)
    asked = [*world.right.reads]
    world.right.reads.clear()
    await world.cycle(force_retry=True, dry_run=True)

    assert sorted(asked) == NEWEST
    assert {*NEWEST} <= {*world.right.reads}


async def test_older_records_get_a_share_of_rare_looks(world, clock):
    """Even if the newest alone would need all permitted reads."""
    found = [await reads(world, clock, 45.0, verify_within=300.0) for _ in range(15)]

    assert max(map(len, found)) <= 45.0 * RATE
    assert {label for each in found for label in each} == {*LABELS}


@pytest.mark.slow
async def test_looks_in_quick_succession_make_no_more_requests(world, clock):
    """A burst of changes on this side costs the server nothing, and stops no read that is due."""
    found = [await reads(world, clock, 0.8) for _ in range(100)]

    assert sum(map(len, found)) <= 80.0 * RATE
    assert {*NEWEST} <= {label for each in found for label in each}


async def test_pairs_with_a_common_server_share_its_reads(world, clock, tmp_path):
    """Each pair knows what the other one has read, and both see the edits in it."""
    other = World(tmp_path, TestStore("other"), world.right)
    await later(other, clock, 0.0)
    world.right.put(PROJECT, commented(RECORDS[60], "seen"))
    world.right.reads.clear()

    found = [await reads(each, clock, 13.0) for _ in range(5) for each in (world, other)]

    assert sum(map(len, found)) <= 130.0 * RATE
    assert world.contents.left == other.contents.left == world.contents.right


class HidingServer(ServerStore):
    """A server that does not list a project that is closed to smtd, and says so when asked for it by name."""

    closed = ""
    hidden = ""

    async def scan(self, projects=None, *, known=None):
        if projects is not None and self.closed in projects:
            raise StoreRefused("closed")
        shown = {name.project for name in self.records} - {self.closed, self.hidden}
        return await super().scan(shown if projects is None else projects, known=known)


async def hiding(directory):
    """Return a pair with such a server, with two projects."""
    world = await World(directory, right=HidingServer()).synced(*RECORDS[:3])
    return await world.synced(*RECORDS[:2], project="Other")


async def test_closed_project_deletes_nothing_though_all_is_read_again(tmp_path):
    """smtd asks for a project that is not listed any more: it may still exist."""
    world = await hiding(tmp_path)
    world.right.closed = "Other"

    with pytest.raises(StoreRefused, match="closed"):
        await world.cycle(force_retry=True)

    assert len(world.left.records) == 5


async def test_project_that_is_not_listed_may_still_exist(tmp_path):
    """Its records are read like any others."""
    world = await hiding(tmp_path)
    world.right.hidden = "Other"
    world.right.put("Other", commented(RECORDS[0], "seen"))

    report = await world.cycle(force_retry=True)

    assert (report.held, counts(report)) == ([], on(Side.LEFT, updated=1))


async def test_clock_set_back_stops_no_reads(world, clock):
    """A time in the future does not count."""
    clock.now -= 7200.0

    found = {*(await reads(world, clock, 27.0)), *(await reads(world, clock, 27.0))}

    assert {*NEWEST} <= found
