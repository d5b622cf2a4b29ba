"""Where a store makes twice what two programs make at once, it is told where others may be adding records."""

from __future__ import annotations

from smtd.stores.base import Capabilities
from tests.build import PROJECT, change, key, record, tagged
from tests.engine.world import TestStore, World


class DoublingStore(TestStore):
    """A store like a server: two programs that make one record at once make it twice."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, makes_doubles=True)


def contested(store: TestStore) -> dict[str, bool]:
    """Return which records smtd made on *store* since it was last asked, and whether that was contested."""
    made = {each.key.label: each.contested for each in store.changes if each.expect is None}
    store.changes.clear()
    return made


async def test_first_records_of_a_project_are_contested_and_later_ones_not(tmp_path):
    """Somebody else may be about to begin, too; where all records are smtd's own, nobody else adds any."""
    world = World(tmp_path, right=DoublingStore("right"))
    world.left.put(PROJECT, record("a"))
    await world.cycle()
    first = contested(world.right)
    world.left.put(PROJECT, record("b"))
    world.left.put(PROJECT, tagged(record("a"), "edited"))
    await world.cycle()
    second = contested(world.right)
    world.right = world.right.copy()  # another process
    world.left.put(PROJECT, record("c"))
    await world.cycle()

    assert (first, second, contested(world.right)) == ({"a": True}, {"b": False}, {"c": False})


async def test_records_are_contested_where_others_have_made_some(tmp_path):
    """In the cycle that finds a record of theirs, and in every later process."""
    world = World(tmp_path, right=DoublingStore("right"))
    world.left.put(PROJECT, record("a"))
    await world.cycle()
    contested(world.right)
    world.left.put(PROJECT, record("b"))
    world.right.put(PROJECT, record("theirs"))
    await world.cycle()
    first = contested(world.right)
    world.right = world.right.copy()
    world.left.put(PROJECT, record("c"))
    world.left.put("Other", record("d"))
    await world.cycle()

    assert (first, contested(world.right)) == ({"b": True}, {"c": True, "d": True})


async def test_records_are_contested_where_both_sides_had_some_before_they_met(tmp_path):
    """Equal ones, and those that are in conflict."""
    for label, theirs in (("equal", record("a")), ("conflict", change(record("a"), version="2222"))):
        world = World(tmp_path / label, right=DoublingStore("right"))
        world.left.put(PROJECT, record("a"))
        world.left.put(PROJECT, record("b"))
        world.right.put(PROJECT, theirs)
        await world.cycle()

        assert contested(world.right) == {"b": True}, label


async def test_nothing_is_contested_in_other_stores(tmp_path):
    """They compare and write without a gap."""
    world = World(tmp_path)
    world.left.put(PROJECT, record("a"))
    await world.cycle()

    assert contested(world.right) == {"a": False}
    assert key("a") in world.right.records
