"""Records as JSON, as Sumatra's clients send and are given it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.server import record_form
from smtd.server.record_form import BadDocument
from smtd.stores.http import form
from tests.build import change, full
from tests.stores.samples import ALL

KEY = Key("MyProject", "full")


def document(record: Record) -> dict[str, Any]:
    return record_form.document(record, KEY.project)


def sent(document: Any) -> Record:
    found = record_form.parsed_put(json.dumps(document).encode(), KEY)
    assert isinstance(found, Record)
    return found


def is_infinite(record: Record) -> bool:
    return record.duration is not None and math.isinf(record.duration)


@pytest.mark.parametrize(
    "one", [one for one in ALL if not (one.opaque or is_infinite(one))], ids=lambda one: one.label
)
def test_record_survives(one: Record) -> None:
    """What is given says what was sent; smtd's own client reads it, too; precisely, not a byte is lost."""
    key = Key(KEY.project, one.label)
    body = record_form.encoded(record_form.document(one, key.project))
    precise = record_form.encoded(record_form.document(one, key.project, precise=True))

    assert canonical.digest(record_form.parsed_put(body, key)) == canonical.digest(one)  # type: ignore[arg-type]
    assert canonical.digest(form.read(body, key)) == canonical.digest(one)
    again = record_form.parsed_put(precise, key)
    assert isinstance(again, Record)
    assert again.timestamp == one.timestamp


def test_times_are_utc_without_a_zone() -> None:
    """Sumatra 0.7 reads nothing else."""
    assert document(full())["timestamp"] == "2024-03-31 00:30:00"
    assert document(full())["output_data"][0]["creation"] == "2024-03-31 00:30:03"


@pytest.mark.parametrize(
    "text",
    ["2024-03-31 00:30:00+0000", "2024-03-31 01:30:00.5+0100", "2024-03-31T00:30:00", "2024-03-31 00:30:00"],
)
def test_each_form_of_a_time_is_accepted(text: str) -> None:
    """With a zone and without, with a fraction and without."""
    assert sent(document(full()) | {"timestamp": text}).timestamp.replace(
        microsecond=0
    ) == full().timestamp.replace(microsecond=0)


@pytest.mark.parametrize("name", ["reason", "main_file", "version"])
def test_null_is_accepted(name: str) -> None:
    """Sumatra sends it where nothing is known."""
    assert not getattr(sent(document(full()) | {name: None}), name)


def test_text_in_place_of_an_object_is_accepted() -> None:
    """smtd's own client sends what the columns of a server hold."""
    whole = document(full())
    texts = {
        **whole,
        "launch_mode": {
            "type": "SerialLaunchMode",
            "parameters": "{'working_directory': '/code', 'options': None}",
        },
    }
    texts["output_data"] = [
        each | {"metadata": json.dumps(each["metadata"])} for each in whole["output_data"]
    ]

    assert sent(texts) == sent(whole)


@pytest.mark.parametrize(("duration", "text"), [(math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan")])
def test_infinite_duration_is_text(duration: float, text: str) -> None:
    """Where all is precise; and what is given so is taken so."""
    given = record_form.document(change(full(), duration=duration), KEY.project, precise=True)

    assert given["duration"] == text
    assert repr(sent(given).duration) == repr(duration)


def test_number_that_no_store_keeps_is_named() -> None:
    """The metadata is a dictionary, and the client should not look for a fault there."""
    (output,) = document(full())["output_data"]

    with pytest.raises(RecordUnusable, match=r"more than 64 bits.*metadata"):
        sent(document(full()) | {"output_data": [output | {"metadata": {"size": 2**64}}]})


def test_missing_fields_get_defaults() -> None:
    """Fields came with versions of Sumatra."""
    few = {name: document(full())[name] for name in ("timestamp", "executable", "repository", "parameters")}
    few |= {name: document(full())[name] for name in ("launch_mode", "datastore")}

    assert sent(few).label == KEY.label
    assert sent(few).outcome == ""


BAD: dict[str, bytes] = {
    "no JSON": b"{",
    "no UTF-8": b'{"reason": "\xff"}',
    "deep": b"[" * 100_000,
    "deep in a record": b'{"reason": "", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a list": b"[]",
    "a name twice": b'{"reason": "a", "reason": "b"}',
    "empty": b"{}",
    "a number as text": b'{"reason": 3}',
    "an empty list as text": b'{"reason": []}',
    "false as text": b'{"outcome": false}',
    "tags as text": b'{"tags": "x"}',
    "no tags": b'{"tags": null}',
    "half of a pair of surrogates": b'{"reason": "\\ud800"}',
    "an endless number": b'{"reason": "", "duration": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("case", BAD)
def test_bad_body_is_refused_with_a_sentence(case: str) -> None:
    """Whatever it is, it is no defect."""
    with pytest.raises(BadDocument, match=r"the body \w+"):
        record_form.parsed_put(BAD[case], KEY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "another"},
        {"project_id": "another"},
        {"timestamp": "yesterday"},
        {"timestamp": None},
        {"executable": []},
        {"duration": "long"},
        {"input_data": [{"path": "p"}]},
        {"launch_mode": {"type": "SerialLaunchMode", "parameters": "__import__('os').abort()"}},
        {"tags": [1]},
        {"stdout_stderr": {}},
        {"platforms": None},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_wrong_field_is_refused(wrong: dict[str, Any]) -> None:
    """It is refused, and nothing of it is run."""
    with pytest.raises((BadDocument, RecordUnusable)):
        sent(document(full()) | wrong)


def test_too_many_parts_are_refused_before_parsing() -> None:
    """Bytes that would take fifty times their room; but not a text with as many commas."""
    many = b'{"x": [' + b"[]," * 1_100_000 + b"[]]}"
    text = document(change(full(), stdout_stderr="a, b, c\n" * 500_000))

    with pytest.raises(BadDocument, match="parts"):
        record_form.parsed_put(many, KEY)
    assert isinstance(sent(text), Record)
