"""Records as bytes: the journal returns what it was given."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from smtd.errors import RecordUnusable
from smtd.journal.record_codec import unpack
from smtd.records.canonical import digest
from smtd.records.record import (
    FIELDS,
    Component,
    DataKey,
    Key,
    Parameters,
    Pickled,
    Record,
    decode,
    encode,
    is_plain,
)
from tests.build import MOMENT, full, record

OPAQUE = {"platforms": Pickled(b"1" * 16, b"\x80\x02.", expressed=True), "on_changed": Pickled(b"", b"\xff")}

#: `full(opaque=OPAQUE)` as the history of smtd 0.1 has it, and the fields that a record had then.
OLD = Path(__file__).parent / "record_of_smtd_0_1.bin"
FIRST_FIELDS = Record.__struct_fields__[:24]


@pytest.mark.parametrize(
    "made",
    [
        record(),
        full(),
        full(opaque=OPAQUE),
        record(reason=None, executable=None, repository=None, duration=None, repeats=None),
        record(timestamp=datetime(1, 1, 1, tzinfo=timezone.utc)),
        record(timestamp=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)),
        record(stdout_stderr="\0 \U0010ffff"),
    ],
    ids=["plain", "full", "opaque", "nothing", "first moment", "last moment", "text"],
)
def test_record_is_decoded_as_it_was_encoded(made):
    """The bytes of a record give the very same record."""
    assert decode(encode(made)) == made


def test_record_of_the_first_journals_is_still_read():
    """Histories are never rewritten: a new field comes last, after `opaque`, and has a default."""
    now = unpack(OLD.read_bytes())

    assert {name: getattr(now, name) for name in FIRST_FIELDS} == {
        name: getattr(full(opaque=OPAQUE), name) for name in FIRST_FIELDS
    }


def test_old_record_has_the_default_of_a_field_that_is_new():
    """With the present fields and one more."""

    class Longer(Record, frozen=True, kw_only=True, array_like=True, dict=True):
        queue: str | None = None

    now = msgspec.msgpack.decode(encode(full(opaque=OPAQUE)), type=Longer)

    assert (now.opaque, now.queue) == (OPAQUE, None)


@pytest.mark.parametrize(
    "state",
    [
        {"x": (1, 2)},
        {"x": {1: 2}},
        {"x": {None: {True: 1.5}}},
        {"x": date(2024, 2, 29)},
        {"x": datetime(2024, 2, 29, 12)},
        {"x": datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=2)))},
        {"x": b"bytes"},
        {"x": {"nested": [(1,), {2: 3}]}},
        {"x": float("inf")},
        {"x": 2**64 - 1},
        {"x": -(2**63)},
        *({key: "x"} for key in (1, None, True, 1.5, b"x", (1, 2))),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["metadata", "launch mode"])
def test_value_that_a_shelf_can_hold_keeps_its_meaning_or_is_refused(where, state):
    """A record that the journal accepts has the same digest afterwards, whatever it contains.

    Metadata in a shelf may have keys of any type.
    """
    made = {
        "metadata": full(output_data=(DataKey("path", "1" * 40, None, state),)),
        "launch mode": full(launch_mode=Component("SerialLaunchMode", state)),
    }[where]

    assert digest(stored(made)) == digest(made)


def stored(made):
    """Return what the journal returns for *made*, or *made* if the journal refuses it."""
    try:
        data = encode(made)
    except RecordUnusable:
        return made
    return decode(data)


def endless():
    """Return a list that contains itself."""
    value: list[object] = []
    value.append(value)
    return value


UNWRITABLE = {
    "not unicode": "\ud800",
    "too large": 2**64,
    "too small": -(2**63) - 1,
    "an object": object(),
    "complex": 1j,
    "endless": endless(),
}


@pytest.mark.parametrize("what", UNWRITABLE)
def test_record_that_cannot_be_encoded_is_refused(what):
    """A value that only a shelf can hold makes the record unusable elsewhere."""
    made = record(launch_mode=Component("SerialLaunchMode", {"x": UNWRITABLE[what]}))

    with pytest.raises(RecordUnusable, match="a value cannot be written as text"):
        encode(made)
    assert not is_plain(UNWRITABLE[what])


DAMAGED = [
    *(b"", b"\xc1", b"\x80", b"not a record", encode(full())[:-1], encode(full()) + b"1"),
    encode(record(reason="aaaa")).replace(b"aaaa", b"aa\xffa"),
]


@pytest.mark.parametrize("data", DAMAGED)
def test_damaged_bytes_are_no_record(data):
    """Bytes that were not written as a record are refused."""
    with pytest.raises(RecordUnusable, match="a stored record is damaged"):
        decode(data)


def test_plain_values_can_be_part_of_a_record():
    """Text, numbers, and lists and dictionaries of them."""
    assert is_plain({"a": [1, 2.5, None, True, "é"], "b": MOMENT})


def test_key_is_project_and_label():
    """Users read a key as project/label; keys sort by project, then label."""
    assert str(Key("MyProject", "run")) == "MyProject/run"
    assert Key("A", "z") < Key("B", "a") < Key("B", "b")


def test_fields_are_those_of_sumatra_except_the_label():
    """smtd models what Sumatra exports, in its order."""
    assert (
        *("timestamp", "reason", "duration", "executable", "repository", "main_file", "version"),
        *("parameters", "input_data", "script_arguments", "launch_mode", "datastore", "input_datastore"),
        *("outcome", "output_data", "tags", "diff", "user", "dependencies", "platforms"),
        *("stdout_stderr", "repeats"),
    ) == FIELDS


def test_fields_beyond_words_are_those_with_a_placeholder():
    """Fields that only a shelf can hold are named; extra attributes of a shelf are not."""
    opaque = {**OPAQUE, "parameters": Pickled(b"1", b"1")}

    assert record(parameters=Parameters("Other", ""), opaque=opaque).unmodelled_fields == ["parameters"]
    assert full(opaque=OPAQUE).unmodelled_fields == []


def test_record_cannot_be_changed():
    """Records are frozen."""
    made: Record = record()

    with pytest.raises(AttributeError, match="immutable"):
        made.reason = "another"  # type: ignore[misc]
