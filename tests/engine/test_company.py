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


async def test_records_are_contested_while_another_client_may_be_adding_some(tmp_path):
    """It may be about to begin, or has added one of its own, which a later process of smtd knows, too."""
    world = World(tmp_path, right=DoublingStore("right"))
    told = []
    for label in "abcde":
        world.left.put(PROJECT, record(label))
        if label == "b":
            world.left.put(PROJECT, tagged(record("a"), "edited"))
        elif label == "d":
            world.right.put(PROJECT, record("theirs"))
        else:
            world.right = world.right.copy()  # another process
        if label == "e":
            world.left.put("Other", record("f"))
        await world.cycle()
        told.append(contested(world.right))

    assert told == [{"a": True}, {"b": False}, {"c": False}, {"d": True}, {"e": True, "f": True}]


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
