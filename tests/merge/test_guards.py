"""When an absence is no deletion: emptied stores, many deletions at once, and lost updates."""

from __future__ import annotations

import pytest

from smtd.merge.guards import DeletionLimit, Written, suspicion, undone
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Side
from tests.build import key

NO_LONGER_ANY = because(Code.ALL_GONE, Side.LEFT)

SUSPICIONS = [
    # agreed, missing, limit, reason
    (0, 0, DeletionLimit(), None),
    (1, 0, DeletionLimit(), None),
    (1, 1, DeletionLimit(), NO_LONGER_ANY),
    (2, 1, DeletionLimit(), None),
    (2, 2, DeletionLimit(), NO_LONGER_ANY),
    (20, 19, DeletionLimit(), None),
    (20, 20, DeletionLimit(), NO_LONGER_ANY),
    (21, 20, DeletionLimit(), None),
    (22, 21, DeletionLimit(), because(Code.MANY_GONE, Side.LEFT, 21, 22)),
    (100, 20, DeletionLimit(), None),
    (100, 21, DeletionLimit(), because(Code.MANY_GONE, Side.LEFT, 21, 100)),
    (105, 21, DeletionLimit(), None),
    (104, 21, DeletionLimit(), because(Code.MANY_GONE, Side.LEFT, 21, 104)),
    (1000, 200, DeletionLimit(), None),
    (1000, 201, DeletionLimit(), because(Code.MANY_GONE, Side.LEFT, 201, 1000)),
    (1000, 999, DeletionLimit(count=1000), None),
    (1000, 1000, DeletionLimit(count=1000), NO_LONGER_ANY),
    (1000, 999, DeletionLimit(count=0, share=1.0), None),
    (1000, 1, DeletionLimit(count=0, share=0.0), because(Code.MANY_GONE, Side.LEFT, 1, 1000)),
]


@pytest.mark.parametrize(("agreed", "missing", "limit", "reason"), SUSPICIONS)
def test_deletions_are_held_above_both_limits_or_if_all_are_gone(agreed, missing, limit, reason):
    """A store that lost everything, or more than a person deletes at once, deletes nothing."""
    assert suspicion(agreed, missing, limit, Side.LEFT) == reason


#: For each key: smtd's writes, each with the number of its batch, what was there before it, and what
#: it wrote; and what is there now. `-` is nothing, `!` marks what was lost.
LOST = {
    "nothing was written": [],
    "of one key nothing is known any more": ["-", "1-a -!"],
    "what was written is there": ["1-a a"],
    "what was written was edited": ["1-a b"],
    "the only record is gone": ["1-a -!"],
    "the only edit is undone": ["1ab a!"],
    "all of a batch is gone": ["1-a -!", "1-b -!", "1-c -!"],
    "one of a batch is gone": ["1-a -", "1-b b", "1-c c"],
    "one of a batch is gone and one was edited": ["1-a -!", "1-b x"],
    "one of a batch is reverted": ["1ab a", "1-c c"],
    "an earlier write is gone and a later one is there": ["1-a -", "2-b b"],
    "an earlier edit is reverted and a later write is there": ["1ab a", "2-c c"],
    "a later write is gone and an earlier one is there": ["1-a a", "2-b -!"],
    "a later edit is undone and an earlier one is there": ["1-a a", "2bc b!"],
    "the last two writes are gone and an earlier one is there": ["1-a a", "2-b -!", "3-c -!"],
    "writes around one that is there": ["1-a -", "2-b b", "3-c -!"],
    "what was edited is gone": ["1ab -"],
    "a write that changed nothing": ["1aa a"],
    "a write that changed nothing and a loss": ["1aa a", "2-b -!"],
    "two writes of one key are undone": ["1-a 2ab -!"],
    "two edits of one key are undone": ["1ab 2bc a!"],
    "the last of two edits of one key is undone": ["1ab 2bc b!"],
    "three writes of one key are undone with others": ["1-a 3ab 5bc -!", "2-d -!", "4de d!"],
    "the first of two writes was seen": ["1-a 3ab -", "2-c c", "4-d d"],
    "the first of two writes was seen and the last was not": ["1-a 3ab a!", "2-c c"],
    "the first of two writes was seen and the record deleted": ["1-a 3ab -", "2-c c"],
    "a person edited between two writes": ["1-a 2bc -!"],
    "a person edited between two writes, and that came back": ["1-a 2bc b!"],
    "a person edited after the last write": ["1-a 2ab c"],
    "a record went to and fro": ["1ab 2ba a"],
    "it was found undone, then another was written": ["1-a* -!", "2-b b"],
    "it was found undone, then a person made another": ["1-a* c", "2-b b"],
    "the first of two writes was found undone": ["1-a* 2ab* -!", "3-b b"],
    "it was found undone, and was written again": ["1-a 2-a -", "3-b b"],
}


def told(row):
    """Return the writes of one key (`*`: it was found undone), and what is there now (None: nothing)."""
    *writes, now = row.rstrip("!").split(" ")
    return [
        Written(int(number), digest(old), digest(new), undone=found == ["*"])
        for number, old, new, *found in writes
    ], digest(now)


@pytest.mark.parametrize("case", LOST)
def test_write_is_lost_if_it_and_all_later_ones_are_undone(case):
    """A program that had read the store before puts back everything as it was then."""
    rows = {key(str(at)): told(row) for at, row in enumerate(LOST[case])}
    written = {name: writes for name, (writes, _) in rows.items()}
    now = {name: held for name, (_, held) in rows.items() if held is not None}

    lost = undone(written, now)

    assert set(lost) == {key(str(at)) for at, row in enumerate(LOST[case]) if row.endswith("!")}
    assert all(now.get(name) == write.before for name, writes in lost.items() for write in writes)


def digest(letter):
    """Return the digest that *letter* stands for."""
    return None if letter == "-" else letter.encode()


def test_other_records_say_nothing_about_a_lost_write():
    """A record that smtd did not write shows nothing about who had seen what."""
    written = {key("mine"): [Written(1, None, b"a")]}

    assert set(undone(written, {key("theirs"): b"b"})) == {key("mine")}
