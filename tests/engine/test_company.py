"""smtd tells a store that may create records twice in which projects other clients may be adding records."""

from __future__ import annotations

from smtd.stores.base import Capabilities
from tests.build import PROJECT, change, key, record, tagged
from tests.engine.world import TestStore, World


class DoublingStore(TestStore):
    """A store like a server: if two programs create one record at once, there are two."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, creates_duplicates=True)


def contested(store: TestStore) -> dict[str, bool]:
    """Return which records smtd created on *store* since the last call, and which projects were contested."""
    made = {each.key.label: each.contested for each in store.changes if each.expect is None}
    store.changes.clear()
    return made


async def test_first_records_of_a_project_are_contested_and_later_ones_not(tmp_path):
    """Another client may be about to begin, too. If all records are smtd's own, no other client adds any."""
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


async def test_project_with_records_of_others_is_contested(tmp_path):
    """In the cycle that finds such a record, and in every later process."""
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


async def test_project_with_records_from_before_the_first_sync_is_contested(tmp_path):
    """With equal records on both sides, and with records in conflict."""
    for label, theirs in (("equal", record("a")), ("conflict", change(record("a"), version="2222"))):
        world = World(tmp_path / label, right=DoublingStore("right"))
        world.left.put(PROJECT, record("a"))
        world.left.put(PROJECT, record("b"))
        world.right.put(PROJECT, theirs)
        await world.cycle()

        assert contested(world.right) == {"b": True}, label


async def test_store_that_cannot_double_records_is_never_contested(tmp_path):
    """Such a store compares and writes in one step."""
    world = World(tmp_path)
    world.left.put(PROJECT, record("a"))
    await world.cycle()

    assert contested(world.right) == {"a": False}
    assert key("a") in world.right.records
