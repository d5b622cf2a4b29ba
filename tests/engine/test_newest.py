"""The newest records of a server are read again within a minute, and a server is asked little for that."""

from __future__ import annotations

import pytest

from smtd.engine.scrub.pace import RATE, waited_longest
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
    """Return what a cycle reads that comes so many *seconds* later, and that nobody asked for."""
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
def test_those_that_wait_longest_are_read_again(read, elapsed, expected):
    """As many as have to be, to have read all in time, and of those that wait equally long the newest."""
    newest = {key(label): moment for label, moment in zip("ab", read, strict=False)}

    assert "".join(each.label for each in waited_longest(newest, NOW, elapsed)) == expected


async def test_newest_records_are_read_again_at_two_requests_a_second(world, clock):
    """In two looks of half a minute all of them are, and in between some of the others have their turn."""
    first = await reads(world, clock, 27.0)
    second = await reads(world, clock, 27.0)
    third = await reads(world, clock, 27.0)

    assert max(map(len, (first, second, third))) <= 27.0 * RATE
    assert {*NEWEST} <= {*first, *second}
    assert {*NEWEST} <= {*second, *third}


async def test_edit_of_a_new_record_comes_over_within_two_looks(world, clock):
    """Nobody else has to do anything for that."""
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


async def test_person_who_asks_has_the_newest_read_at_once(world, clock):
    """Whatever was read a moment ago, and however much that is; a dry run, too."""
    await later(world, clock, 0.1, force_retry=True)
    asked = [*world.right.reads]
    world.right.reads.clear()
    await world.cycle(force_retry=True, dry_run=True)

    assert sorted(asked) == NEWEST
    assert {*NEWEST} <= {*world.right.reads}


async def test_old_records_have_their_turn_however_late_the_newest_are(world, clock):
    """Looks so seldom that the newest take all that may be asked leave a share to the others."""
    found = [await reads(world, clock, 45.0, verify_within=300.0) for _ in range(15)]

    assert max(map(len, found)) <= 45.0 * RATE
    assert {label for each in found for label in each} == {*LABELS}


async def test_looks_in_quick_succession_ask_for_no_more(world, clock):
    """A burst of changes on this side costs the server nothing, and keeps nothing from being read."""
    found = [await reads(world, clock, 0.8) for _ in range(100)]

    assert sum(map(len, found)) <= 80.0 * RATE
    assert {*NEWEST} <= {label for each in found for label in each}


async def test_pairs_that_have_a_server_in_common_ask_it_together(world, clock, tmp_path):
    """What one of them has read the other one knows, and both see the edits in it."""
    other = World(tmp_path, TestStore("other"), world.right)
    await later(other, clock, 0.0)
    world.right.put(PROJECT, commented(RECORDS[60], "seen"))
    world.right.reads.clear()

    found = [await reads(each, clock, 13.0) for _ in range(5) for each in (world, other)]

    assert sum(map(len, found)) <= 130.0 * RATE
    assert world.contents.left == other.contents.left == world.contents.right


class HidingServer(ServerStore):
    """A server that lists no project which it closed to us, and says so to who asks for that."""

    closed = ""
    hidden = ""

    async def scan(self, projects=None, *, known=None):
        if projects is not None and self.closed in projects:
            raise StoreRefused("closed")
        shown = {name.project for name in self.records} - {self.closed, self.hidden}
        return await super().scan(shown if projects is None else projects, known=known)


async def hiding(directory):
    """Return a pair with such a server, of two projects."""
    world = await World(directory, right=HidingServer()).synced(*RECORDS[:3])
    return await world.synced(*RECORDS[:2], project="Other")


async def test_project_that_is_closed_to_us_deletes_nothing_though_all_is_read_again(tmp_path):
    """A project that is not listed is asked for: it may be there."""
    world = await hiding(tmp_path)
    world.right.closed = "Other"

    with pytest.raises(StoreRefused, match="closed"):
        await world.cycle(force_retry=True)

    assert len(world.left.records) == 5


async def test_project_that_is_merely_not_listed_is_there(tmp_path):
    """What it has is read as any other."""
    world = await hiding(tmp_path)
    world.right.hidden = "Other"
    world.right.put("Other", commented(RECORDS[0], "seen"))

    report = await world.cycle(force_retry=True)

    assert (report.held, counts(report)) == ([], on(Side.LEFT, updated=1))


async def test_time_that_was_set_back_keeps_nothing_from_being_read(world, clock):
    """A moment to come tells nothing."""
    clock.now -= 7200.0

    found = {*(await reads(world, clock, 27.0)), *(await reads(world, clock, 27.0))}

    assert {*NEWEST} <= found
