"""The log shows which writes of smtd were undone by a program that had not seen them."""

from __future__ import annotations

import pytest

from smtd.merge.lost_updates import LoggedWrite, reverted
from tests.build import key

#: For each key: smtd's writes, each with the number of its batch, the state before it, and what
#: it wrote; and the state now. `-` is an absence, `!` marks a lost write.
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
    """Return the writes of one key (`*`: it was found undone), and its state now (None: absent)."""
    *writes, now = row.rstrip("!").split(" ")
    return [
        LoggedWrite(int(number), digest(old), digest(new), reverted=found == ["*"])
        for number, old, new, *found in writes
    ], digest(now)


@pytest.mark.parametrize("case", LOST)
def test_write_is_lost_if_it_and_all_later_ones_are_undone(case):
    """A program that had read the store before saves everything as it was then."""
    rows = {key(str(at)): told(row) for at, row in enumerate(LOST[case])}
    written = {name: writes for name, (writes, _) in rows.items()}
    now = {name: held for name, (_, held) in rows.items() if held is not None}

    lost = reverted(written, now)

    assert set(lost) == {key(str(at)) for at, row in enumerate(LOST[case]) if row.endswith("!")}
    assert all(now.get(name) == write.before for name, writes in lost.items() for write in writes)


def digest(letter):
    """Return the digest that *letter* stands for."""
    return None if letter == "-" else letter.encode()


def test_other_records_say_nothing_about_a_lost_write():
    """A record that smtd did not write does not show which program had seen what."""
    written = {key("mine"): [LoggedWrite(1, None, b"a")]}

    assert set(reverted(written, {key("theirs"): b"b"})) == {key("mine")}
