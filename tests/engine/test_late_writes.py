"""An interrupted request to a server arrives after all, when the record has changed further."""

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
    """A server on an unreliable connection, which delivers interrupted requests later."""

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
        """Save the first request; the rest is still on its way."""
        self._save(self.under_way.pop(0))

    def _save(self, change):
        if change.record is None:
            self.remove(PROJECT, change.key.label)
        else:
            self.put(PROJECT, change.record)


async def break_off(world, clock, **policy):
    """Run a cycle whose connection breaks when it has sent its changes."""
    world.right.breaks = True
    with pytest.raises(StoreUnreachable):
        await later(world, clock, **policy)
    world.right.breaks = False


@pytest.fixture
async def world(tmp_path, clock):
    """A database and a server, and a comment that was sent when the connection broke."""
    world = await World(tmp_path, TestStore("left"), SlowServer()).synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    await break_off(world, clock)
    return world


@pytest.fixture
async def deleting(tmp_path, clock):
    """A database and a server, and a deletion that was sent when the connection broke."""
    world = await World(tmp_path, TestStore("left"), SlowServer()).synced(A, B)
    world.left.remove(PROJECT, "a")
    await break_off(world, clock)
    return world


async def test_tag_survives_a_request_that_arrives_after_its_repetition(world, clock):
    """smtd has sent the comment again, and has seen the tag since."""
    await later(world, clock)
    world.right.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    await later(world, clock)

    world.right.arrive()
    await later(world, clock)

    assert "theirs" in world.left.records[key("a")].tags
    assert world.left.records == world.right.records


async def test_edit_survives_a_request_that_arrives_several_times(world, clock):
    """smtd saw the tag before it sent the comment again; a connection may deliver a request repeatedly."""
    world.right.put(PROJECT, tagged(A, "theirs"))
    await later(world, clock)
    for _ in range(4):
        world.right.arrive()
        report = await later(world, clock)

        assert (report.ok, words(world.right)) == (True, ["ours"])
        assert "theirs" in world.right.records[key("a")].tags
        assert world.left.records == world.right.records


async def test_edit_of_the_other_side_survives_a_late_request_too(world, clock):
    await later(world, clock)
    world.right.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    await later(world, clock)
    world.right.arrive()
    world.left.put(PROJECT, change(world.left.records[key("a")], reason="why"))

    await later(world, clock)

    both = world.left.records[key("a")]
    assert ("theirs" in both.tags, both.reason, words(world.left)) == (True, "why", ["ours"])
    assert world.left.records == world.right.records


async def test_request_that_arrives_before_the_next_cycle_is_no_edit(world, clock):
    """Both sides then agree on it."""
    world.right.arrive()
    world.left.changes.clear()
    world.right.changes.clear()

    report = await later(world, clock)

    assert (report.ok, world.left.changes, world.right.changes) == (True, [], [])


async def test_tag_removed_long_after_a_request_stays_removed(world, clock):
    """No request takes that long."""
    await later(world, clock)
    world.right.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    for seconds in (5.0, 30.0, 150.0, 300.0):
        await later(world, clock, seconds)
    world.right.put(PROJECT, commented(A, "ours"))

    await later(world, clock)

    assert "theirs" not in world.left.records[key("a")].tags
    assert world.left.records == world.right.records


async def test_repeatedly_interrupted_requests_ask_no_user(world, clock):
    """However often smtd repeats them: the server shows what was agreed."""
    for _ in range(6):
        await break_off(world, clock)

    report = await later(world, clock)

    assert (report.ok, words(world.right)) == (True, ["ours"])


async def test_late_deletion_of_an_edited_record_deletes_nothing(deleting, clock):
    """A user had edited the record meanwhile, and the edit won."""
    deleting.right.put(PROJECT, commented(A, "theirs"))
    await later(deleting, clock)
    assert words(deleting.left) == words(deleting.right) == ["theirs"]

    deleting.right.arrive()
    report = await later(deleting, clock)

    assert report.ok
    assert words(deleting.left) == words(deleting.right) == ["theirs"]


async def test_late_deletion_of_an_unchanged_record_is_kept(deleting, clock):
    deleting.right.arrive()

    report = await later(deleting, clock)

    assert (report.ok, [*deleting.left.records], [*deleting.right.records]) == (True, [key("b")], [key("b")])


@pytest.mark.parametrize("tries", [1, 2])
async def test_one_way_target_gets_the_state_of_its_source_again_after_a_late_request(world, clock, tries):
    """The source has the right state in any case, whether smtd sent the same again or not."""
    for text in ("ours", "ours and more")[2 - tries :]:
        world.left.put(PROJECT, commented(A, text))
        await later(world, clock, mode=Mode.LEFT_TO_RIGHT)
    world.right.arrive()

    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)

    assert words(world.left) == words(world.right) == ["ours and more"]


async def test_one_way_target_gets_a_record_again_after_a_late_deletion(tmp_path, clock):
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


async def test_late_request_is_not_repaired_on_a_server_that_became_the_source(world, clock):
    """The user who changed the mode wants no writes there."""
    world.left.put(PROJECT, commented(A, "ours and more"))
    await later(world, clock)
    world.right.arrive()
    world.right.changes.clear()

    await later(world, clock, mode=Mode.RIGHT_TO_LEFT)

    assert world.right.changes == []


async def test_restored_record_survives_a_late_deletion(deleting, clock):
    """Both sides are as when the record was deleted, so no difference would make smtd write."""
    deleting.left.put(PROJECT, A)
    await later(deleting, clock)

    deleting.right.arrive()
    report = await later(deleting, clock)

    assert report.ok
    assert deleting.left.records.keys() == deleting.right.records.keys() == {key("a"), key("b")}


async def test_deletion_by_a_user_is_carried_though_smtd_kept_writing_to_the_record(deleting, clock):
    """The interrupted request was minutes ago, and the write log still has it."""
    deleting.right.put(PROJECT, commented(A, "theirs"))
    for number in range(4):
        await later(deleting, clock, 40.0)
        deleting.left.put(PROJECT, commented(A, f"edit {number}"))
    await later(deleting, clock)
    await later(deleting, clock)

    deleting.right.remove(PROJECT, "a")
    await later(deleting, clock)

    assert deleting.left.records.keys() == deleting.right.records.keys() == {key("b")}


async def test_user_who_reverts_the_same_write_repeatedly_is_asked(world, clock):
    """smtd's repetitions do not count as new requests that may arrive late."""
    await later(world, clock)
    world.right.put(PROJECT, tagged(commented(A, "ours"), "theirs"))
    for _ in range(8):
        await later(world, clock, 30.0)
        world.right.put(PROJECT, commented(A, "ours"))

    report = await later(world, clock)

    assert [each.label for each in report.held] == ["a"]


@pytest.fixture
async def deleted_twice(deleting, clock):
    """A database and a server, and a deletion that was sent twice over broken connections."""
    await break_off(deleting, clock)
    return deleting


async def test_restored_record_survives_two_late_deletions(deleted_twice, clock):
    """After the first one smtd creates the record again; the second one is still on its way."""
    world = deleted_twice
    world.left.put(PROJECT, commented(A, "kept"))
    await later(world, clock)
    world.right.arrive_once()
    await later(world, clock)

    world.right.arrive_once()
    await later(world, clock)

    assert words(world.left) == words(world.right) == ["kept"]


async def test_recreated_record_survives_the_second_late_deletion(deleted_twice, clock):
    """Both sides had no record when the first one had arrived."""
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
    """Neither side has the record, and nothing asks for another cycle."""
    world = deleted_twice
    for seconds in (5.0, 5.0, 30.0, 150.0, 300.0):
        report = await later(world, clock, seconds)

    assert report.again is None
    assert world.journal("SELECT label FROM written") == []


class RetriedServer(SlowServer):
    """A server that fails to answer once, and gets the request again in the same call, as in the registry."""

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


async def test_tag_survives_a_late_request_that_was_retried_at_once(tmp_path, clock, retried):
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


async def test_recreated_record_survives_a_late_deletion_that_was_retried_at_once(tmp_path, clock, retried):
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


async def test_tag_survives_a_late_creation_of_the_record(world, clock):
    """A PUT creates a record, or sets the fields that may change."""
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


async def test_deletion_of_a_new_record_is_carried_though_its_creation_was_sent_twice(world, clock):
    """No program can have read the record before it existed."""
    world.left.put(PROJECT, record("new"))
    await break_off(world, clock)
    await later(world, clock)

    world.right.remove(PROJECT, "new")
    await later(world, clock)

    assert key("new") not in world.left.records
    assert key("new") not in world.right.records


async def test_late_request_restores_a_record_deleted_since_the_last_cycle(world, clock):
    """smtd cannot tell it from a record that another laptop just created again.

    If a user deletes it once more, it is gone.
    """
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
