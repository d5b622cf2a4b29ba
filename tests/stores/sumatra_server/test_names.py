"""Odd names on a real Sumatra Server are kept or refused; none leads to another record."""

from __future__ import annotations

import pytest
from aiohttp import web

from smtd.records import canonical
from smtd.records.record import Key
from smtd.stores.base import DONE, STALE, Change, Outcome, Result, Scan
from tests.build import PROJECT, change, full, key, record
from tests.peers import line as faults
from tests.peers.line import Line
from tests.sampling import SOAK
from tests.stores.asking import create, scan_of, write_and_scan
from tests.stores.server_place import ServerPlace, on_a_line

PROJECTS = [
    *("two words", " blank before", "blank after ", "tab\t", "two\nlines", "nul\0"),
    *("what?", "a#b", "50%", "p%2Fq", "%", "%zz", "a+b", "a&b=c", "a;b", "a:b", "a\\b", "~a", "'", '"'),
    *("été", "日本", "e\u0301", "\u00e9", "\u2028", "\N{GRINNING FACE}"),
    *("...", "-", "permissions", "records", "A", "a", "x" * 100, "y" * 2000),
]
NO_PROJECTS = ["", ".", "..", "a/b", "/", "/a", "a/", "../a", "lone\ud800"]
LABELS = ["été", "日本", "a|b", "a.b", "a..b", "a.", "a-", "a|", "_", "²", "٣", "A", "a", "last", "x" * 101]
NO_LABELS = [
    *("", ".", "..", "-a", ".a", "|a", "a b", "a\n", "\na", "a/b", "a/", "a%b", "a+b", "a:b", "permissions"),
]


async def test_project_of_any_addressable_name_is_kept(place: ServerPlace) -> None:
    """smtd writes it there and finds it there, exactly."""
    projects = PROJECTS if SOAK else PROJECTS[::4]
    keys = [Key(project, "run") for project in projects]
    records = {of: full("run", outcome=repr(of.project)) for of in keys}

    async with place.open() as store:
        outcomes = await store.write([Change(of, one, None) for of, one in records.items()])
        scan = await store.scan()
        found = await store.read(keys)

        assert set(outcomes) == {DONE}
        assert await store.projects() == sorted(projects)
        assert set(scan.digests) == set(keys)
        assert {of: one.outcome for of, one in found.items()} == {of: repr(of.project) for of in keys}
        assert {project for (project,) in place.run("SELECT id FROM django_store_project")} == set(projects)


async def test_project_name_without_an_address_is_refused(place: ServerPlace) -> None:
    """smtd sends nothing in its name; its records are refused, with a next step, and others land."""
    keys = [Key(project, "run") for project in NO_PROJECTS]
    before = len(place.server.requests())

    async with place.open() as store:
        assert await store.scan(NO_PROJECTS) == Scan({})
        assert await store.read(keys) == {}
        refused = await store.write([Change(of, full("run"), None) for of in keys])
        assert await store.write([Change(of, None, None) for of in keys]) == [DONE] * len(keys)
        some = canonical.digest(full("run"))
        assert await store.write([Change(of, None, some) for of in keys]) == [STALE] * len(keys)
        asked = place.server.requests()[before:]
        outcomes = await store.write([Change(of, full("run"), None) for of in (*keys, Key("good", "run"))])

    assert asked == []
    assert {each.result for each in refused} == {Result.REFUSED}
    assert all("no address" in each.reason and "; sync it with" in each.reason for each in refused)
    assert sorted(map(repr, outcomes)) == sorted(map(repr, [*refused, DONE]))
    assert place.run("SELECT id FROM django_store_project") == [("good",)]


async def test_label_of_any_addressable_name_is_kept(place: ServerPlace) -> None:
    """smtd writes it there and finds it there, exactly."""
    async with place.open() as store:
        outcomes = await store.write([create(full(label)) for label in LABELS])
        scan = await store.scan([PROJECT])
        found = await store.read([key(label) for label in LABELS])

    assert set(outcomes) == {DONE}
    assert set(scan.digests) == {key(label) for label in LABELS}
    assert scan.unreadable == {}
    assert {of: one.label for of, one in found.items()} == {key(label): label for label in LABELS}


async def test_label_without_an_address_is_refused(place: ServerPlace) -> None:
    """With a next step; a read sends no request for it; and no empty project is left."""
    before = len(place.server.requests())

    async with place.open() as store:
        assert await store.read([key(label) for label in NO_LABELS]) == {}
        asked = place.server.requests()[before:]
        outcomes = await store.write([create(full(label)) for label in NO_LABELS])

    assert asked == []
    assert {each.result for each in outcomes} == {Result.REFUSED}
    assert all("; sync it with" in each.reason for each in outcomes), outcomes
    assert place.run("SELECT id FROM django_store_project") == []


@pytest.mark.parametrize("label", ["a b", "a/run", "permissions", "-a"])
async def test_unreachable_label_in_the_database_is_reported(label: str, place: ServerPlace) -> None:
    """A record that was created without the server is neither absent nor mistaken for another."""
    await place.put(record(), record("odd"))
    place.run("UPDATE django_store_record SET label = ? WHERE label = 'odd'", label)

    async with place.open() as store:
        scan = await store.scan()
        (outcome,) = await store.write([Change(key(label), None, None)])

    assert set(scan.digests) == {key("run")}
    assert set(scan.unreadable) == {key(label)}
    assert "; relabel it" in scan.unreadable[key(label)]
    assert outcome == STALE


async def test_doubled_label_is_reported(place: ServerPlace) -> None:
    """smtd returns neither record, whatever it knew, writes nothing to the label, and syncs the others."""
    await place.put(record(), record("twice"))
    known = (await scan_of(place)).digests
    place.double("twice")

    async with place.open() as store:
        scan = await store.scan(known=known)  # type: ignore[call-arg]
        outcomes = await store.write(
            [
                create(full("twice")),
                Change(key("twice-changed"), full("twice-changed"), known[key("twice")]),
                create(record("new")),
            ]
        )

    assert set(scan.digests) == {key("run")}
    assert (
        "delete all but one of the rows of django_store_record with label = 'twice' and"
        in scan.unreadable[key("twice")]
    )
    assert outcomes == [STALE, STALE, DONE]


async def test_label_doubled_during_a_write_is_refused_alone(place: ServerPlace) -> None:
    """A server that then refuses it (409) keeps what it has."""

    async def double(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        await place.put(record("twice"))
        place.double("twice")
        return await faults.passed(line, request)

    await place.put(record())
    async with on_a_line(place.server, {3: double}) as (store, _):
        (outcome,) = await store.write([create(full("twice"))])

    assert outcome == STALE
    assert place.run("SELECT count(*) FROM django_store_record WHERE label = 'twice'") == [(2,)]


async def test_project_of_another_user_fails_only_its_own_records(place: ServerPlace) -> None:
    """A forbidden project (403) is refused, with a next step; the records of others land."""
    place.run("INSERT INTO django_store_project (id, name, description) VALUES ('Orphan', '', '')")

    (orphan, good), scan = await write_and_scan(
        place, [Change(Key("Orphan", "run"), full("run"), None), create(full("run"))]
    )

    assert orphan.result is Result.REFUSED
    assert "denies this user access to project 'Orphan'; ask its owner" in orphan.reason
    assert good == DONE
    assert set(scan.digests) == {key("run")}


@pytest.mark.parametrize(
    ("number", "fault", "reason"),
    [
        (3, faults.status(500), "does not create project"),
        (6, faults.status(507), "does not accept it"),
        (6, faults.status(413), "does not accept it"),
    ],
    ids=["project 500", "record 507", "record 413"],
)
async def test_record_that_the_server_does_not_create_is_refused(
    number: int, fault: faults.Fault, reason: str, place: ServerPlace
) -> None:
    """The reason has the status, and says where to look."""
    async with on_a_line(place.server, {number: fault}) as (store, _):
        outcome, *_ = await store.write([create(full("run"))])

    assert outcome.result is Result.REFUSED
    assert reason in outcome.reason
    assert "; see " in outcome.reason


async def test_failed_deletion_holds_back_no_other_change(place: ServerPlace) -> None:
    """It is refused."""

    async def broken(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        fails = request.method == "DELETE" and "/bad/" in request.path
        return await (faults.status(500) if fails else faults.passed)(line, request)

    await place.put(record("bad"), record("good"), record("edited"))
    digest = canonical.digest(record())
    async with on_a_line(place.server, broken) as (store, _):
        bad, good, edited = await store.write(
            [
                Change(key("bad"), None, digest),
                Change(key("good"), None, digest),
                Change(key("edited"), change(record("edited"), outcome="fine"), digest),
            ]
        )

    assert bad == Outcome(
        Result.REFUSED, "the server does not delete it (status 500); see the log of the server"
    )
    assert (good, edited) == (DONE, DONE)


async def test_record_of_another_client_is_not_removed_after_a_failure(place: ServerPlace) -> None:
    """The server fails at smtd's record (500) while another program creates one: that one stays."""

    async def theirs(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        await place.put(full("run", user="somebody else"))
        return await faults.status(500)(line, request)

    await place.put(record("other"))
    async with on_a_line(place.server, {3: theirs}) as (store, _):
        (outcome,) = await store.write([create(full("run"))])
        found = await store.read([key("run")])

    assert outcome == STALE
    assert found[key("run")].user == "somebody else"
