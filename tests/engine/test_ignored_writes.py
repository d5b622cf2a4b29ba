"""A store reports a write as done, but keeps nothing of it, or shows it later: that is no edit."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from smtd.engine.edit import restore
from smtd.engine.resolve import Resolution, resolve
from smtd.engine.undo import undo
from smtd.errors import StoreUnreachable
from smtd.journal.decisions import Choice
from smtd.merge.sides import Side
from smtd.output.english import sentence
from smtd.stores.base import DONE, Change
from tests.build import PROJECT, change, commented, key, record, tagged
from tests.engine.servers import ServerStore, believe, later, stopped, words
from tests.engine.world import TestStore, UnlockedStore, World, alike, counts, holding, written

A, B = record("a"), record("b")
HOUR = 3600.0


class Forgetful(TestStore):
    """A store that accepts writes and does nothing while it is `lying`; `kept` has those writes."""

    def __init__(self, location):
        super().__init__(location)
        self.lying = False
        self.kept: list[Change] = []

    async def write(self, changes):
        if not self.lying:
            return await super().write(changes)
        self.changes += changes
        self.kept += changes
        return [DONE for _ in changes]

    def show(self):
        """Show the writes in `kept` at last."""
        self.lying = False
        for each in self.kept:
            assert each.record is not None
            self.put(PROJECT, each.record)


class ForgetfulDatabase(Forgetful):
    """Like a trigger that swallows writes."""


class ForgetfulShelf(Forgetful, UnlockedStore):
    """Like a disk that swallows writes."""


class ForgetfulServer(Forgetful, ServerStore):
    """Like a proxy that answers for the server, or a cache."""


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that moves only when the test moves it."""
    clock = stopped(monkeypatch)
    believe(monkeypatch)
    return clock


@pytest.fixture(params=[ForgetfulDatabase, ForgetfulShelf, ForgetfulServer])
def world(request, tmp_path, clock):
    """A database, and a store of each kind that can be told to keep nothing."""
    return World(tmp_path, TestStore("left"), request.param("right"))


@pytest.fixture
def server_world(tmp_path, clock):
    """A database, and a server that can be told to keep nothing."""
    return World(tmp_path, TestStore("left"), ForgetfulServer("right"))


def errors(report):
    """Return the failures, by label."""
    return {failure.label: sentence(failure.why) for failure in report.failed}


async def test_edit_that_the_store_ignores_is_not_reverted_elsewhere(world):
    """The store shows the previous state, so the write has not landed; smtd retries it later."""
    await world.synced(A, B)
    world.right.lying = True
    world.left.put(PROJECT, commented(A, "an hour of thought"))

    reports = [await world.cycle(force_retry=False) for _ in range(3)]

    assert len(world.right.kept) == 1
    assert [set(errors(report)) for report in reports] == [{"a"}] * 3
    assert "reported success, but still shows the old record; smtd" in errors(reports[2])["a"]
    assert words(world.left) == ["an hour of thought"]


async def test_ignored_edit_arrives_once_the_store_keeps_writes(world, clock):
    """After a pause that grows with each try."""
    await world.synced(A, B)
    world.right.lying = True
    world.left.put(PROJECT, commented(A, "ours"))
    pauses = []
    for _ in range(3):
        pauses.append(round((await later(world, clock, 11.0, force_retry=False)).again - clock.now))
    world.right.lying = False

    reports = [await later(world, clock, 21.0, force_retry=False) for _ in range(2)]

    assert pauses[0] <= 5
    assert max(pauses) <= 20
    assert reports[-1].ok
    assert world.contents.left == world.contents.right == holding(commented(A, "ours"), B)


async def test_history_has_only_the_try_that_the_store_kept(world, clock):
    """Ignored writes do not count as written, also after later looks."""
    await world.synced(A, B)
    world.right.lying = True
    world.left.put(PROJECT, commented(A, "ours"))
    for _ in range(2):
        await later(world, clock)
    world.right.lying = False
    for _ in range(3):
        await later(world, clock)

    updates = "SELECT landed FROM history WHERE side = 'right' AND action = 'update' ORDER BY id"
    assert world.journal(updates) == [(0,), (0,), (1,)]


async def test_ignored_creation_is_no_deletion(world):
    """The record stays on its side, and is created when the store keeps it."""
    await world.synced(A)
    world.right.lying = True
    world.left.put(PROJECT, B)

    lying = await world.cycle(force_retry=False)
    world.right.lying = False
    honest = await world.cycle()

    assert "reported success, but does not have the record" in errors(lying)["b"]
    assert honest.ok
    assert world.contents == alike(A, B)


async def test_ignored_deletion_restores_no_record(world):
    """smtd retries it, and not in every cycle."""
    await world.synced(A, B)
    world.right.lying = True
    world.left.remove(PROJECT, "a")

    lying = [await world.cycle(force_retry=False) for _ in range(2)]
    tries = len(world.right.kept)
    world.right.lying = False
    honest = await world.cycle()

    assert ["reported success, but still has the record" in errors(each)["a"] for each in lying] == [True] * 2
    assert tries == 1
    assert (honest.ok, counts(honest)) == (True, written(right=(0, 0, 1)))
    assert world.contents == alike(B)


async def test_ignored_half_of_a_merge_is_written_again(world, clock):
    """The other half has arrived; in the end both sides have the edits of both."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    world.right.put(PROJECT, commented(A, "right"))
    world.right.lying = True
    lying = await later(world, clock, 2 * HOUR)
    world.right.lying = False

    honest = await later(world, clock)

    assert set(errors(lying)) == {"a"}
    assert honest.ok
    assert words(world.left) == words(world.right) == ["left", "right"]


async def test_resolution_stays_decided_if_the_store_ignores_its_write(world, clock):
    """The user is not asked a second time."""
    await world.synced(A, B)
    world.left.put(PROJECT, change(A, reason="left"))
    world.right.put(PROJECT, change(A, reason="right"))
    await later(world, clock, 2 * HOUR, verify_within=1.0)
    clock.now += 5.0
    await world.do(resolve, Resolution(Choice.LEFT), policy={"verify_within": 1.0})
    world.right.lying = True
    lying = await later(world, clock, verify_within=1.0)
    world.right.lying = False

    honest = await later(world, clock, verify_within=1.0)

    assert (set(errors(lying)), lying.conflicts) == ({"a"}, [])
    assert honest.ok
    assert world.right.records[key("a")].reason == "left"


async def test_undo_fails_if_the_store_ignores_its_write(world):
    """The undo reports it, and can be repeated."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.cycle()
    ((number,),) = world.journal("SELECT max(cycle) FROM history")
    world.right.lying = True
    lying = await world.do(undo, number)
    world.right.lying = False

    honest = await world.do(undo, number)

    assert [each.label for each in lying.refused] == ["a"]
    assert "reported success, but still shows the old record" in sentence(lying.refused[0].why)
    assert (honest.refused, world.right.records[key("a")]) == ([], A)


async def test_restore_reports_a_write_that_the_store_ignores(world, clock):
    """The other side has the record; later cycles copy it."""
    await world.synced(A, B)
    before = datetime.now(timezone.utc)
    world.left.put(PROJECT, commented(A, "new"))
    await world.cycle()
    world.right.lying = True
    lying = await world.do(restore, key("a"), before)
    world.right.lying = False

    honest = await later(world, clock)

    assert set(errors(lying)) == {"a"}
    assert honest.ok
    assert world.contents == alike(A, B)


@pytest.fixture
async def shown_late(server_world):
    """The same world; the server shows an edit only after the record has been edited further."""
    await server_world.synced(A, B)
    server_world.right.lying = True
    server_world.left.put(PROJECT, change(A, reason="first"))
    await server_world.cycle(force_retry=False)
    server_world.left.put(PROJECT, change(A, reason="second"))
    server_world.right.show()
    return server_world


async def test_late_write_of_smtd_is_no_edit_of_a_user(shown_late, clock):
    """Since then the record was edited further, in a way that no rule could merge with a user's edit."""
    world = shown_late

    report = await later(world, clock, force_retry=False)

    assert report.ok
    assert world.contents == alike(change(A, reason="second"), B)
    landed = "SELECT count(*) FROM history WHERE side = 'right' AND action = 'update' AND landed"
    assert world.journal(landed) == [(2,)]


async def test_dry_run_recognizes_a_late_write(shown_late, clock):
    """It decides as the cycle will, and stores nothing."""
    world = shown_late
    clock.now += 5.0
    before = world.knowledge()

    report = await world.cycle(dry_run=True, force_retry=False)

    assert [(each.action, each.side) for each in report.actions] == [("update", Side.RIGHT)]
    assert world.knowledge() == before


async def test_record_that_shows_late_stays_deleted(server_world, clock):
    """It was deleted on its own side before the server showed it."""
    world = server_world
    await world.synced(A)
    world.right.lying = True
    world.left.put(PROJECT, B)
    await world.cycle(force_retry=False)
    world.left.remove(PROJECT, "b")
    world.right.show()

    report = await later(world, clock, force_retry=False)

    assert report.ok
    assert world.contents == alike(A)


async def test_late_write_that_is_edited_at_once_is_read_again(server_world, clock):
    """Another program edits it between the scan and the read."""
    world = server_world
    await world.synced(A, B)
    world.right.lying = True
    world.left.put(PROJECT, commented(A, "ours"))
    await world.cycle(force_retry=False)
    world.right.show()
    more = commented(commented(A, "ours"), "theirs")
    world.right.meanwhile["after scan"] = lambda: world.right.put(PROJECT, more)

    report = await later(world, clock, force_retry=False)

    assert report.ok
    assert words(world.left) == words(world.right) == ["ours", "theirs"]


async def test_late_write_is_durable_before_it_becomes_the_baseline(server_world, clock, monkeypatch):
    """A server that cannot make it durable may lose it in a power cut, so the baseline stays as it was."""
    world = server_world
    await world.synced(A, B)
    world.right.lying = True
    world.left.put(PROJECT, commented(A, "ours"))
    await world.cycle(force_retry=False)
    world.right.show()
    baselines = world.journal("SELECT * FROM agreed")

    async def full(store):
        raise StoreUnreachable("its disk is full")

    monkeypatch.setattr(ForgetfulServer, "flush", full)
    with pytest.raises(StoreUnreachable):
        await later(world, clock, force_retry=False)

    assert world.journal("SELECT * FROM agreed") == baselines
