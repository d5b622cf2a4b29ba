"""The log shows which writes of smtd were undone by a program that had not seen them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smtd.merge.lost_updates import LoggedWrite, arrived_late, possibly_unseen, reverted
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


#: As above, where programs save single records. `+`: the write was there at a later read.
LOST_ALONE = {
    "what was written is there, and another write is undone": ["1-a a", "2bc b!"],
    "an earlier write is undone, and a later one of another key is there": ["1ab a!", "2-c c"],
    "the record is gone": ["1ab -!"],
    "the record is gone, and its write was there": ["1ab+ -"],
    "the record is gone, and only its first write was there": ["1-a+ 2ab -!"],
    "the record is gone, and its last write was there": ["1ab 2bc+ -"],
    "the record was edited": ["1ab c"],
    "the last of two writes is there": ["1ab 2bc c"],
    "the first of two writes is undone": ["1ab 2bc a!"],
    "the record went to and fro": ["1ab 2ba a"],
}


@pytest.mark.parametrize("case", LOST_ALONE)
def test_only_a_write_to_the_same_record_proves_something_where_records_are_saved_alone(case):
    rows = {key(str(at)): confirmed(row) for at, row in enumerate(LOST_ALONE[case])}
    now = {name: held for name, (_, held) in rows.items() if held is not None}

    lost = reverted({name: writes for name, (writes, _) in rows.items()}, now, by_record=True)

    assert set(lost) == {key(str(at)) for at, row in enumerate(LOST_ALONE[case]) if row.endswith("!")}


def confirmed(row):
    """Return the writes of one key (`+`: confirmed), and its state now (None: absent)."""
    *writes, now = row.rstrip("!").split(" ")
    return [
        LoggedWrite(int(number), digest(old), digest(new), confirmed=found == ["+"])
        for number, old, new, *found in writes
    ], digest(now)


#: As above; `!` marks a key that was edited, perhaps by a program that had not seen the last write.
UNSEEN = {
    "nothing was written": ["a"],
    "what was written is there": ["1ab b"],
    "what was there before is there again": ["1ab a"],
    "the record is gone": ["1ab -"],
    "the record was edited": ["1ab c!"],
    "one of a batch was edited, and another is there": ["1ab c", "1de e"],
    "an earlier write was edited, and a later one is there": ["1ab c", "2de e"],
    "a later write was edited, and an earlier one is there": ["1de e", "2ab c!"],
    "it was found undone, then another was written": ["1ab* c!", "2de e"],
    "the last of two writes was edited": ["1ab 2bd c!"],
    "the state before the last of two writes is there": ["1ab 2bd b"],
    "the state before the first of two writes is there": ["1ab 2bd a!"],
}


@pytest.mark.parametrize("case", UNSEEN)
def test_edit_may_not_have_seen_a_write_unless_a_later_one_is_there(case):
    rows = {key(str(at)): told(row) for at, row in enumerate(UNSEEN[case])}
    written = {name: writes for name, (writes, _) in rows.items()}
    now = {name: held for name, (_, held) in rows.items() if held is not None}

    unseen = possibly_unseen(written, now)

    expected = {key(str(at)) for at, row in enumerate(UNSEEN[case]) if row.endswith("!")}
    assert unseen == {name: written[name][-1] for name in expected}


def test_edit_may_not_have_seen_a_write_whatever_is_there_of_other_records_that_are_saved_alone():
    written = {key("edited"): [LoggedWrite(1, b"a", b"b")], key("there"): [LoggedWrite(2, b"d", b"e")]}
    now = {key("edited"): b"c", key("there"): b"e"}

    assert set(possibly_unseen(written, now, by_record=True)) == {key("edited")}


NOT_SEEN = LoggedWrite(1, b"a", b"b", seen=False, at=100.0)


@pytest.mark.parametrize(
    ("writes", "now", "baseline", "since", "expected"),
    [
        ([NOT_SEEN], b"b", b"c", 100.0, True),
        ([NOT_SEEN], b"b", b"a", 100.0, False),  # agreed on what it changes: it is no news
        ([NOT_SEEN], b"b", None, 100.0, False),
        ([NOT_SEEN], b"c", b"c", 100.0, False),
        ([replace(NOT_SEEN, seen=True)], b"b", b"c", 100.0, False),
        ([replace(NOT_SEEN, at=99.0)], b"b", b"c", 100.0, False),
        ([replace(NOT_SEEN, at=0.0)], b"b", b"c", None, True),  # however late
        ([replace(NOT_SEEN, after=None)], None, b"a", 100.0, True),  # a deletion of just the baseline
        ([replace(NOT_SEEN, after=None)], b"a", b"a", 100.0, False),
        ([NOT_SEEN, replace(NOT_SEEN, number=2, after=b"d")], b"b", b"c", 100.0, True),  # any of them
    ],
)
def test_request_arrived_late_if_the_store_shows_it_after_both_sides_agreed_on_another_state(
    writes, now, baseline, since, expected
):
    held = {} if now is None else {key("one"): now}
    span = {} if since is None else {"since": since}

    late = arrived_late({key("one"): writes}, held, {key("one"): baseline}, **span)

    assert late == ({key("one")} if expected else set())
