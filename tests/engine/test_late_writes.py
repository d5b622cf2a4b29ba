"""A request to a server breaks off, and arrives all the same when the record has gone on."""

from __future__ import annotations

import pytest

from smtd.errors import StoreBusy, StoreUnreachable
from smtd.merge.decide import Mode
from smtd.stores import retrying
from smtd.stores.wrapped import WrappedStore
from tests.build import PROJECT, change, commented, key, record, tagged
from tests.engine.servers import ServerStore, later, words
from tests.engine.world import TestStore, World

A, B = record("a"), record("b")


class SlowServer(ServerStore):
    """A server behind a line that breaks, and that brings later what was sent."""

    breaks = False

    def __init__(self, location="server"):
        super().__init__(location)
        self.under_way = []

    async def write(self, changes):
        if not self.breaks:
            return await super().write(changes)
        self.under_way += changes
        raise StoreUnreachable("the line broke")

    def arrive(self):
        """Save what was sent, whatever is there by now."""
        for each in self.under_way:
            self._save(each)

    def arrive_once(self):
        """Save the first of what was sent; the rest is still on its way."""
        self._save(self.under_way.pop(0))

    def _save(self, change):
        if change.record is None:
            self.remove(PROJECT, change.key.label)
        else:
            self.put(PROJECT, change.record)


async def break_off(world, clock, **policy):
    """Run a cycle whose line breaks when it has sent what is new."""
    world.right.breaks = True
    with pytest.raises(StoreUnreachable):
        await later(world, clock, **policy)
    world.right.breaks = False


@pytest.fixture
async def world(tmp_path, clock):
    """A database and a server, and a comment that was sent when the line broke."""
    world = await World(tmp_path, TestStore("left"), SlowServer()).synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    await break_off(world, clock)
    return world


@pytest.fixture
async def deleting(tmp_path, clock):
    """A database and a server, and a deletion that was sent when the line broke."""
    world = await World(tmp_path, TestStore("left"), SlowServer()).synced(A, B)
    world.left.remove(PROJECT, "a")
    await break_off(world, clock)
    return world


async def test_tag_of_a_person_survives_a_request_that_arrives_later_than_the_next_one(world, clock):
    """smtd has sent the comment again, and has seen the tag since."""
    await later(world, clock)
    world.right.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    await later(world, clock)

    world.right.arrive()
    await later(world, clock)

    assert "theirs" in world.left.records[key("a")].tags
    assert world.left.records == world.right.records


async def test_tag_of_a_person_survives_a_request_that_arrives_after_a_merge(world, clock):
    """smtd has seen the tag before it sent the comment once more."""
    world.right.put(PROJECT, tagged(A, "theirs"))
    await later(world, clock)
    world.right.arrive()

    await later(world, clock)

    assert "theirs" in world.left.records[key("a")].tags
    assert words(world.right) == ["ours"]
    assert world.left.records == world.right.records


async def test_edit_of_a_person_survives_twice(world, clock):
    """A line may bring a request more than once."""
    world.right.put(PROJECT, tagged(A, "theirs"))
    await later(world, clock)
    for _ in range(4):
        world.right.arrive()
        report = await later(world, clock)

    assert report.ok
    assert "theirs" in world.right.records[key("a")].tags
    assert world.left.records == world.right.records


async def test_what_the_other_side_says_meanwhile_is_kept_as_well(world, clock):
    await later(world, clock)
    world.right.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    await later(world, clock)
    world.right.arrive()
    world.left.put(PROJECT, change(world.left.records[key("a")], reason="why"))

    await later(world, clock)

    both = world.left.records[key("a")]
    assert ("theirs" in both.tags, both.reason, words(world.left)) == (True, "why", ["ours"])
    assert world.left.records == world.right.records


async def test_request_that_arrives_first_is_nobodys_edit(world, clock):
    """Both sides agree on it then."""
    world.right.arrive()
    world.left.changes.clear()
    world.right.changes.clear()

    report = await later(world, clock)

    assert (report.ok, world.left.changes, world.right.changes) == (True, [], [])


async def test_person_who_takes_a_tag_away_long_after_means_it(world, clock):
    """No request takes so long."""
    await later(world, clock)
    world.right.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    for seconds in (5.0, 30.0, 150.0, 300.0):
        await later(world, clock, seconds)
    world.right.put(PROJECT, commented(A, "ours"))

    await later(world, clock)

    assert "theirs" not in world.left.records[key("a")].tags
    assert world.left.records == world.right.records


async def test_bad_line_asks_nobody(world, clock):
    """However often the same is sent: the server shows what was agreed on."""
    for _ in range(6):
        await break_off(world, clock)

    report = await later(world, clock)

    assert (report.ok, words(world.right)) == (True, ["ours"])


async def test_deletion_that_arrives_when_the_record_was_kept_after_all_deletes_nothing(deleting, clock):
    """Somebody had edited it meanwhile, and the edit won."""
    deleting.right.put(PROJECT, commented(A, "theirs"))
    await later(deleting, clock)
    assert words(deleting.left) == words(deleting.right) == ["theirs"]

    deleting.right.arrive()
    report = await later(deleting, clock)

    assert report.ok
    assert words(deleting.left) == words(deleting.right) == ["theirs"]


async def test_deletion_that_arrives_late_is_one_if_nobody_kept_the_record(deleting, clock):
    deleting.right.arrive()

    report = await later(deleting, clock)

    assert (report.ok, [*deleting.left.records], [*deleting.right.records]) == (True, [key("b")], [key("b")])


@pytest.mark.parametrize("tries", [1, 2])
async def test_server_that_only_takes_shows_the_source_again(world, clock, tries):
    """There the other side has what is right in any case, whether the same was sent once more or not."""
    for text in ("ours", "ours and more")[2 - tries :]:
        world.left.put(PROJECT, commented(A, text))
        await later(world, clock, mode=Mode.LEFT_TO_RIGHT)
    world.right.arrive()

    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)

    assert words(world.left) == words(world.right) == ["ours and more"]


async def test_server_that_only_takes_has_a_record_again_that_was_kept_after_all(tmp_path, clock):
    server = SlowServer()
    world = await World(tmp_path, TestStore("left"), server).synced(A, B)
    world.left.remove(PROJECT, "a")
    await break_off(world, clock, mode=Mode.LEFT_TO_RIGHT)
    world.left.put(PROJECT, commented(A, "kept"))
    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)
    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)

    server.arrive()
    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)

    assert words(world.left) == words(server) == ["kept"]


async def test_request_that_arrives_at_a_server_that_is_only_read_now_is_not_written_again(world, clock):
    """Whoever changed the mode wants nothing to be written there."""
    world.left.put(PROJECT, commented(A, "ours and more"))
    await later(world, clock)
    world.right.arrive()
    world.right.changes.clear()

    await later(world, clock, mode=Mode.RIGHT_TO_LEFT)

    assert world.right.changes == []


async def test_record_that_was_brought_back_survives_a_deletion_that_arrives_later(deleting, clock):
    """Both sides are as they were when the record was deleted; so nobody would send anything."""
    deleting.left.put(PROJECT, A)
    await later(deleting, clock)

    deleting.right.arrive()
    report = await later(deleting, clock)

    assert report.ok
    assert deleting.left.records.keys() == deleting.right.records.keys() == {key("a"), key("b")}


async def test_person_who_deletes_a_record_means_it_though_smtd_goes_on_writing_to_it(deleting, clock):
    """The request that had broken off was of an hour ago, and the log of writes still has it."""
    deleting.right.put(PROJECT, commented(A, "theirs"))
    for number in range(4):
        await later(deleting, clock, 40.0)
        deleting.left.put(PROJECT, commented(A, f"edit {number}"))
    await later(deleting, clock)
    await later(deleting, clock)

    deleting.right.remove(PROJECT, "a")
    await later(deleting, clock)

    assert deleting.left.records.keys() == deleting.right.records.keys() == {key("b")}


async def test_person_who_takes_the_same_back_again_and_again_is_asked(world, clock):
    """What smtd writes again meanwhile makes no new request of the one that broke off."""
    await later(world, clock)
    world.right.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    for _ in range(8):
        await later(world, clock, 30.0)
        world.right.put(PROJECT, commented(A, "ours"))

    report = await later(world, clock)

    assert [each.label for each in report.held] == ["a"]


@pytest.fixture
async def deleted_twice(deleting, clock):
    """A database and a server, and a deletion that was sent twice when the line broke."""
    await break_off(deleting, clock)
    return deleting


async def test_record_that_was_brought_back_survives_two_deletions(deleted_twice, clock):
    """When the first has arrived smtd makes the record again; the second is still on its way."""
    world = deleted_twice
    world.left.put(PROJECT, commented(A, "kept"))
    await later(world, clock)
    world.right.arrive_once()
    await later(world, clock)

    world.right.arrive_once()
    await later(world, clock)

    assert words(world.left) == words(world.right) == ["kept"]


async def test_record_that_was_made_again_survives_the_second_of_two_deletions(deleted_twice, clock):
    """Both sides were without it when the first had arrived."""
    world = deleted_twice
    world.right.arrive_once()
    await later(world, clock)
    world.left.put(PROJECT, A)
    await later(world, clock)

    world.right.arrive_once()
    await later(world, clock)

    assert world.left.records == world.right.records
    assert key("a") in world.left.records


async def test_deletion_that_never_arrives_is_forgotten_in_the_end(deleted_twice, clock):
    """Neither side has the record; nothing is left that asks for another cycle."""
    world = deleted_twice
    for seconds in (5.0, 5.0, 30.0, 150.0, 300.0):
        report = await later(world, clock, seconds)

    assert report.again is None
    assert world.journal("SELECT label FROM written") == []


class RetriedServer(SlowServer):
    """A server that is silent once, and is asked again in the same call, as the registry's stores are."""

    async def write(self, changes):
        return await retrying.RetryingStore(_SilentOnce(self)).write(changes)


class _SilentOnce(WrappedStore):
    def __init__(self, server):
        super().__init__(server)
        self.server = server

    async def write(self, changes):
        if self.server.breaks:
            self.server.breaks = False
            self.server.under_way += changes
            raise StoreBusy("no answer")
        return await SlowServer.write(self.server, changes)


@pytest.fixture
def retried(monkeypatch):
    """A server with two records whose next write is made twice."""
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.0)
    return RetriedServer()


async def test_tag_of_a_person_survives_a_request_that_was_repeated_at_once(tmp_path, clock, retried):
    world = await World(tmp_path, TestStore("left"), retried).synced(A, B)
    retried.breaks = True
    world.left.put(PROJECT, commented(A, "ours"))
    await later(world, clock)
    retried.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    await later(world, clock)

    retried.arrive()
    await later(world, clock)

    assert "theirs" in world.left.records[key("a")].tags
    assert world.left.records == retried.records


async def test_record_that_was_made_again_survives_a_deletion_that_was_repeated_at_once(
    tmp_path, clock, retried
):
    world = await World(tmp_path, TestStore("left"), retried).synced(A, B)
    retried.breaks = True
    world.left.remove(PROJECT, "a")
    await later(world, clock)
    world.left.put(PROJECT, A)
    await later(world, clock)

    retried.arrive()
    await later(world, clock)

    assert world.left.records == retried.records
    assert key("a") in retried.records


async def test_tag_of_a_person_survives_the_making_of_the_record_that_arrives_late(world, clock):
    """A PUT makes a record, or else sets what may be set."""
    world.right.under_way.clear()
    world.left.put(PROJECT, record("new"))
    await break_off(world, clock)
    await later(world, clock)
    await later(world, clock)
    world.right.put(PROJECT, tagged(record("new"), "theirs"))
    await later(world, clock)

    world.right.arrive()
    await later(world, clock)

    assert "theirs" in world.left.records[key("new")].tags
    assert world.left.records == world.right.records


async def test_person_who_deletes_a_new_record_means_it_though_it_was_sent_twice(world, clock):
    """Nobody can have read what was not there."""
    world.left.put(PROJECT, record("new"))
    await break_off(world, clock)
    await later(world, clock)

    world.right.remove(PROJECT, "new")
    await later(world, clock)

    assert key("new") not in world.left.records
    assert key("new") not in world.right.records


async def test_record_that_was_deleted_comes_back_if_a_late_request_shows_before_that_travels(world, clock):
    """Nobody can tell it from one that another laptop made again just then; who deletes it again means it."""
    world.right.put(PROJECT, tagged(A, "theirs"))
    await later(world, clock)
    world.left.remove(PROJECT, "a")
    world.right.arrive()
    await later(world, clock)
    assert key("a") in world.left.records
    assert world.left.records == world.right.records

    world.left.remove(PROJECT, "a")
    await later(world, clock)

    assert key("a") not in world.left.records
    assert key("a") not in world.right.records
