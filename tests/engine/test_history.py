"""Before smtd overwrites or deletes a record, its full content is in the history."""

from __future__ import annotations

from smtd.journal.record_codec import unpack
from smtd.records.canonical import digest
from smtd.records.record import Pickled
from tests.build import PROJECT, commented, full, key, record, tagged
from tests.engine.world import RefusingStore, both_sides

A, B, C = record("a"), record("b"), record("c")


@both_sides
async def test_history_has_every_overwritten_or_deleted_state(world, side):
    """Cycle after cycle, with its side and label; both records of a merge; nothing of what is new."""
    world.right.put(PROJECT, C)
    await world.synced(A, B, C)
    world[side].put(PROJECT, tagged(A, "x"))
    await world.cycle()
    world[side.other].put(PROJECT, tagged(A, "x", "y"))
    await world.cycle()
    world[side].remove(PROJECT, "b")
    await world.cycle()
    left, right = commented(C, "left"), commented(C, "right")
    world.left.put(PROJECT, left)
    world.right.put(PROJECT, right)

    await world.cycle()

    assert world.history() == [
        (side.other.value, "a", "update", digest(A)),
        (side.value, "a", "update", digest(tagged(A, "x"))),
        (side.other.value, "b", "delete", digest(B)),
        ("left", "c", "update", digest(left)),
        ("right", "c", "update", digest(right)),
    ]


async def test_history_has_the_complete_record(world):
    """A before-image has all that only a shelf can hold, too."""
    before = full(
        opaque={"on_changed": Pickled(b"1", b"2"), "platforms": Pickled(b"3", b"4", expressed=True)}
    )
    await world.synced(before)
    world.left.put(PROJECT, tagged(before, "good"))

    await world.cycle()

    ((data,),) = world.journal("SELECT record FROM history WHERE record IS NOT NULL")
    assert unpack(data) == before


async def test_history_is_written_before_the_store(world):
    """At the moment of the write the journal file has the before-image and the intent."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "good"))
    seen = []
    world.right.meanwhile["before write"] = lambda: seen.extend(
        [world.history(), world.journal("SELECT project, label, side, result FROM intent")]
    )

    await world.cycle()

    assert seen == [
        [("right", "a", "update", digest(A))],
        [(PROJECT, "a", "right", digest(tagged(A, "good")))],
    ]
    assert world.journal("SELECT * FROM intent") == []


async def test_history_has_the_cycle_and_the_time(world):
    """A before-image belongs to the cycle of this pair that wrote."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "good"))

    await world.cycle()

    ((cycle, at),) = world.journal("SELECT cycle, at FROM history WHERE record IS NOT NULL")
    assert world.journal("SELECT max(id) FROM cycle") == [(cycle,)]
    assert at.endswith("+00:00")


async def test_before_image_of_a_refused_write_equals_the_current_record(world):
    """So it is harmless."""
    world.right = RefusingStore("right")
    await world.synced(A)
    world.right.refused = frozenset({"a"})
    world.left.put(PROJECT, tagged(A, "good"))

    await world.cycle()

    assert {each for *_, each in world.history()} <= {digest(A)}
    assert digest(world.right.records[key("a")]) == digest(A)
