"""A wrong document from a server is the failure of one record."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aiohttp import web

from smtd.errors import AnotherRecord, RecordUnusable, StoreUnreachable
from smtd.records import canonical
from smtd.records.record import Key
from smtd.stores.base import STALE, Change
from smtd.stores.http import form
from tests.build import PROJECT, change, full, key, record
from tests.peers import line as faults
from tests.stores.asking import scan_of
from tests.stores.server_place import ServerPlace, on_a_line

ASKED = key("full")


def document(**fields: Any) -> bytes:
    """Return a server's document of a record, with other *fields*; bytes are inserted as they are."""
    # As sent, except fractions of a second, which no server shows.
    sent = re.sub(rb"\.\d{6}\+", b"+", form.body(full()))
    said = json.loads(sent) | {"project_id": PROJECT}
    for each in said["input_data"] + said["output_data"]:
        each["metadata"] = json.loads(each["metadata"])
    raw = {name: value for name, value in fields.items() if isinstance(value, bytes)}
    text = json.dumps(said | {**fields, **dict.fromkeys(raw, "@")}).encode()
    for name, value in raw.items():
        text = text.replace(f'"{name}": "@"'.encode(), f'"{name}": '.encode() + value)
    return text


NEXT_STEP = "correct the record there, or delete it there"
#: Values for which Python's own error would mean nothing to a user, by what is said.
IN_WORDS = {
    "a number of 401 digits": "a number in it is too large",
    "a number of 5000 digits": "a number in it has too many digits",
    "deep lists": "it is nested too deeply",
    "latin-1": "it is not UTF-8",
    "UTF-16": "it is not UTF-8",
}
BAD: dict[str, bytes] = {
    "a number of 401 digits": document(duration=b"1" + b"0" * 400),
    "a number of 5000 digits": document(duration=b"1" * 5000),
    "a number without end": document(duration=b"1e999"),
    "a duration that is true": document(duration=True),
    "a time before all": document(timestamp="0001-01-01 00:00:00+0100"),
    "a time after all": document(timestamp="9999-12-31 23:59:59-0100"),
    "a creation after all": document(
        output_data=[{"path": "a", "digest": "b", "creation": "9999-12-31 23:59:59-0100", "metadata": {}}]
    ),
    "a name that is there twice": document()[:-1] + b', "reason": "second"}',
    "a name inside that is there twice": document(
        executable=b'{"path": "a", "name": "b", "version": "c", "options": "", "path": "d"}'
    ),
    "deep lists": b"[" * 200_000,
    "a deep reason": document(reason=b"[" * 100_000 + b"]" * 100_000),
    "deep parameters": document(launch_mode={"type": "X", "parameters": "{1:" * 5000 + "}" * 5000}),
    "tags that are lists": document(tags=[["a"]]),
    "no tags": document(tags=None),
    "latin-1": document(reason=b'"\xe9"'),
    "UTF-16": document().decode().encode("utf-16"),
    "a lone surrogate": document(reason=b'"a\\ud800b"'),
    "a list": b"[]",
    "nothing": b"",
    "no label": b'{"timestamp": "2024-01-01 00:00:00+0000"}',
}


@pytest.mark.parametrize("case", BAD)
def test_bad_value_is_the_failure_of_its_record(case: str) -> None:
    """A sentence of one line, in the words of a user; smtd raises nothing else."""
    with pytest.raises(RecordUnusable) as told:
        form.read(BAD[case], ASKED)

    said = str(told.value)
    assert len(said) < 400
    assert "\n" not in said
    if case in IN_WORDS:
        assert said == f"the server's answer is not a record: {IN_WORDS[case]}; {NEXT_STEP}"


def not_shown(label: str) -> faults.Fault:
    """Answer that the record *label* does not exist, and pass on all else."""

    async def fault(line: faults.Line, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith(f"/{label}/"):
            return web.Response(status=404)
        return await faults.passed(line, request)

    return fault


def test_document_is_read() -> None:
    """The document from which the others are made is a valid record."""
    assert canonical.digest(form.read(document(), ASKED)) == canonical.digest(full())


OTHER = {
    "another label": (document(label="good"), "MyProject/good"),
    "another project": (document(project_id="Other"), "Other/full"),
    "a label that is a path": (document(label="../../etc"), "MyProject/../../etc"),
    "a label of escapes": (document(label="x\ny\x1b[2J"), r"MyProject/x\ny\x1b[2J"),
    "a label that is not text": (document(label=7), "MyProject/7"),
}


@pytest.mark.parametrize("case", OTHER)
def test_document_of_another_record_is_not_accepted(case: str) -> None:
    """Its content counts, not the address under which smtd got it."""
    data, name = OTHER[case]

    with pytest.raises(AnotherRecord) as told:
        form.read(data, ASKED)

    assert f"a document of {name} when asked for MyProject/full; look for a cache" in str(told.value)


async def test_mixed_up_documents_are_failures_of_their_records(place: ServerPlace) -> None:
    """They are unreadable, smtd does not overwrite them, and reads the others."""
    await place.put(record("a"), record("b", outcome="other"), record("c"))
    mixed_up = faults.altered(lambda body: body.replace(b'"label": "a"', b'"label": "b"'))

    async with on_a_line(place.server, mixed_up) as (store, _):
        scan = await store.scan([PROJECT])
        found = await store.read([key("a"), key("b"), key("c")])
        written = await store.write(
            [
                Change(key("a"), change(record("a"), reason="new"), canonical.digest(record())),
                Change(key("a"), None, canonical.digest(record())),
            ]
        )

    assert set(scan.unreadable) == {key("a")}
    assert "a document of MyProject/b when asked for MyProject/a" in scan.unreadable[key("a")]
    assert set(scan.digests) == set(found) == {key("b"), key("c")}
    assert written == [STALE, STALE]
    assert place.run("SELECT count(*) FROM django_store_record WHERE reason = 'a first look'") == [(3,)]


async def test_record_that_is_listed_but_not_shown_is_not_deleted(place: ServerPlace) -> None:
    """One of the two answers is wrong; if smtd took that for a deletion, the record would be lost."""
    await place.put(record("a"), record("b"))

    async with on_a_line(place.server, not_shown("a")) as (store, _):
        scan = await store.scan([PROJECT])

    assert set(scan.digests) == {key("b")}
    assert set(scan.unreadable) == {key("a")}
    assert "lists it, but reports that it does not exist" in scan.unreadable[key("a")]


async def test_record_deleted_after_the_listing_is_absent(place: ServerPlace) -> None:
    """Another listing shows that it no longer exists."""
    await place.put(record("a"), record("b"))

    async def deleted(line: faults.Line, request: web.BaseRequest) -> web.StreamResponse:
        line.faults.clear()
        place.run("DELETE FROM django_store_record WHERE label = 'a'")
        return await faults.passed(line, request)

    async with on_a_line(place.server, {2: deleted}) as (store, _):
        scan = await store.scan([PROJECT])

    assert (set(scan.digests), set(scan.unreadable)) == ({key("b")}, set())


@pytest.mark.parametrize("part", ["name", "addresses"])
async def test_listing_of_another_project_deletes_nothing(place: ServerPlace, part: str) -> None:
    """The store counts as not readable as a whole: no record of the project is missing."""
    await place.put(record("a"))
    old, new = {"name": (b'"id": "MyProject"', b'"id": "Other"'), "addresses": (b"/MyProject/", b"/Other/")}[
        part
    ]

    async with on_a_line(place.server, faults.altered(lambda body: body.replace(old, new))) as (store, _):
        with pytest.raises(StoreUnreachable, match="when asked for 'MyProject'; look for a cache or a proxy"):
            await store.scan([PROJECT])


async def test_label_and_project_may_be_spelled_in_any_way(place: ServerPlace) -> None:
    """Real servers return the name that was requested."""
    of = Key("été a.b", "日本|x")
    await place.put(record(of.label), project=of.project)

    scan = await scan_of(place, [of.project])

    assert (set(scan.digests), dict(scan.unreadable)) == ({of}, {})
