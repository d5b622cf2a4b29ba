"""Servers that answer in other forms than Sumatra Server 0.3, or answer what is not true."""

from __future__ import annotations

import json
import re

import pytest
from aiohttp import web

from smtd.records import canonical
from smtd.records.record import Parameters, Record
from smtd.stores.base import DONE, STALE, Change, Result
from smtd.stores.http import form, session, writer
from tests.build import PROJECT, change, full, key, record
from tests.peers import line as faults
from tests.peers.line import Line
from tests.stores.asking import create
from tests.stores.server_place import ServerPlace, on_a_line


def without_zone(body: bytes) -> bytes:
    """Return *body* with its times as written by servers that know no time zones."""
    return re.sub(rb"(\d\d:\d\d:\d\d)\+00:?00", rb"\1", body)


def in_no_form(body: bytes) -> bytes:
    """Return *body* with times that cannot be parsed."""
    return re.sub(rb"\d\d:\d\d:\d\d\+00:?00", rb"noon", body)


async def test_times_without_a_zone_are_utc(place: ServerPlace) -> None:
    """smtd creates, annotates, replaces and compares such a record as on any other server."""
    first = full()
    annotated = change(first, outcome="fine")
    replaced = change(annotated, version="another")
    async with on_a_line(place.server, faults.altered(without_zone)) as (store, _):
        done = []
        for expect, one in ((None, first), (first, annotated), (annotated, replaced)):
            digest = None if expect is None else canonical.digest(place.kept(expect))
            done += await store.write([Change(key("full"), one, digest)])
        scan = await store.scan([PROJECT])

    assert done == [DONE] * 3
    assert scan.digests == {key("full"): canonical.digest(place.kept(replaced))}


async def test_record_that_cannot_be_compared_is_not_removed(place: ServerPlace) -> None:
    """The write counts as refused, with the reason; the server's record stays."""
    async with on_a_line(place.server, faults.altered(in_no_form)) as (store, _):
        (outcome,) = await store.write([create(full("run"))])
        scan = await store.scan([PROJECT])

    assert outcome.result is Result.REFUSED
    assert "noon' is not a time; correct the record there, or delete it there" in outcome.reason
    assert set(scan.unreadable) == {key("run")}
    assert place.run("SELECT label FROM django_store_record") == [("run",)]


async def test_unreadable_record_after_a_failed_put_is_not_removed(place: ServerPlace) -> None:
    """After a PUT that fails (500), another client may have created the record."""

    async def theirs(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PUT":
            await place.put(record())
            return web.Response(status=500)
        return await faults.altered(in_no_form)(line, request)

    async with on_a_line(place.server, theirs) as (store, _):
        (outcome,) = await store.write([create(full("run"))])

    assert outcome.result is not Result.DONE
    assert place.run("SELECT label FROM django_store_record") == [("run",)]


def only(method: str, fault: faults.Fault, times: int = 100) -> faults.Fault:
    """Apply *fault* to the first *times* requests of *method*; let others pass."""
    left = [times]

    async def chosen(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == method and "/run/" in request.path and left[0]:
            left[0] -= 1
            return await fault(line, request)
        return await faults.passed(line, request)

    return chosen


RUN = record()
EDITED = change(RUN, outcome="fine")
OTHER = change(RUN, version="another")


@pytest.mark.parametrize(
    ("fault", "before", "wanted"),
    [
        (only("PUT", faults.status(201)), None, RUN),
        (only("PUT", faults.status(200)), RUN, EDITED),
        (only("DELETE", faults.status(204)), RUN, OTHER),
        (only("DELETE", faults.status(204)), RUN, None),
    ],
    ids=["create", "annotate", "replace", "delete"],
)
async def test_ignored_write_is_read_back_as_the_old_record(
    place: ServerPlace, fault: faults.Fault, before: Record | None, wanted: Record | None
) -> None:
    """Whatever the server says; smtd does nothing else to it."""
    await place.put(record("other"), *([] if before is None else [before]))
    expect = None if before is None else canonical.digest(place.kept(before))
    async with on_a_line(place.server, fault) as (store, _):
        outcomes = await store.write([Change(key("run"), wanted, expect)])
        found = await store.read([key("run")])

    assert outcomes == [DONE]
    assert (canonical.digest(found[key("run")]) if found else None) == expect


async def test_annotation_of_a_deleted_record_is_stale(place: ServerPlace) -> None:
    """The server cannot create a record from it (500); that is no refusal."""

    async def delete(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        await place.remove("run")
        return await faults.passed(line, request)

    await place.put(RUN, record("other"))
    async with on_a_line(place.server, only("PUT", delete)) as (store, _):
        outcomes = await store.write([Change(key("run"), EDITED, canonical.digest(place.kept(RUN)))])

    assert outcomes == [STALE]


@pytest.mark.parametrize(("method", "wanted"), [("DELETE", None), ("PUT", OTHER)])
async def test_delayed_change_is_made_after_another_look(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch, method: str, wanted: Record | None
) -> None:
    """Another client edits or restores the record after a request for which the server was too busy."""

    async def edit(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        await place.put(EDITED)
        return await faults.status(503)(line, request)

    monkeypatch.setattr(session, "FIRST_PAUSE", 0.0)
    await place.put(RUN, record("other"))
    async with on_a_line(place.server, only(method, edit, times=1)) as (store, _):
        outcomes = await store.write([Change(key("run"), wanted, canonical.digest(place.kept(RUN)))])
        found = await store.read([key("run")])

    assert outcomes == [STALE]
    assert found[key("run")].outcome == "fine"


async def test_replacement_that_arrived_after_all_is_not_repeated(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server had begun with it when it answered that it was busy, and shows it after a while."""
    looks = 0

    async def late(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        nonlocal looks
        looks += request.method == "GET" and request.path.endswith("/run/")
        if request.method == "PUT":
            await place.put(OTHER)
            return web.Response(status=503)
        hidden = request.method == "GET" and looks in (3, 4)
        return web.Response(status=404) if hidden else await faults.passed(line, request)

    monkeypatch.setattr(session, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(writer, "PARTIAL_AFTER", 0.0)
    await place.put(RUN, record("other"))
    async with on_a_line(place.server, late) as (store, _):
        outcomes = await store.write([Change(key("run"), OTHER, canonical.digest(place.kept(RUN)))])

    assert (outcomes, looks) == ([DONE], 5)


async def test_altered_record_is_removed_even_if_the_answer_was_lost(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stores parameters that cannot be read again: it must keep nothing of the refused record."""
    text = "{'a': GammaDist(a=1, b=2), 'b': {'c': [pi, true, false]}, 'd': ref('b.c')}"
    altered = change(RUN, parameters=Parameters("NTParameterSet", text))
    monkeypatch.setattr(writer, "PARTIAL_AFTER", 0.0)
    await place.put(record("other"))
    async with on_a_line(place.server, only("PUT", faults.lost, times=1)) as (store, _):
        (outcome,) = await store.write([create(altered)])

    assert outcome.result is Result.REFUSED
    assert place.run("SELECT label FROM django_store_record") == [("other",)]
    assert "so it was removed again" in outcome.reason


async def test_altered_record_of_another_client_is_not_removed(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client created it when the PUT got lost."""

    async def theirs(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        document = json.loads(form.body(OTHER))
        document["parameters"] = {"type": "NTParameterSet", "content": "{'a': GammaDist(a=1, b=2)}"}
        await line.ask(request, lambda _: json.dumps(document).encode())
        return await faults.reset(line, request)

    monkeypatch.setattr(writer, "PARTIAL_AFTER", 0.0)
    async with on_a_line(place.server, only("PUT", theirs, times=1)) as (store, _):
        outcomes = await store.write([create(RUN)])

    assert outcomes == [STALE]
    assert place.run("SELECT version FROM django_store_record") == [("another",)]


async def test_record_that_is_shown_but_not_listed_is_not_waited_for(place: ServerPlace) -> None:
    """A cache shows a deleted record: that is no record of a competing client."""
    shown: list[bytes] = []

    async def cached(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        if not shown:
            shown.append((await line.ask(request))[1])
        return web.Response(body=shown[0], content_type="application/json")

    await place.put(RUN, record("other"))
    async with on_a_line(place.server, only("GET", cached)) as (store, _):
        await store.read([key("run")])
        await place.remove("run")
        outcomes = []
        for _ in range(2):
            await store.scan([PROJECT])
            outcomes += await store.write([create(EDITED)])

    assert [outcome.result for outcome in outcomes] == [Result.STALE, Result.REFUSED]
    assert "but does not list it in its project" in outcomes[1].reason
