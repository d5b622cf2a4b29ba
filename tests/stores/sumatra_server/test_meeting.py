"""Several processes with different projects begin on a new server at once: the rows that records share."""

from __future__ import annotations

import pytest
from aiohttp import web

from smtd.records.record import Key
from smtd.stores.base import DONE, Change
from smtd.stores.http import shared_rows
from tests.build import PROJECT, record
from tests.peers.line import Line, line_to, passed
from tests.stores.server_place import ServerPlace
from tests.stores.sumatra_server.test_company import Clock, opened

#: Projects before and after PROJECT in the order of names.
BEFORE, AFTER = "A", "Z"


def made(project: str = PROJECT) -> list[Change]:
    """Return the changes that create a record in *project*."""
    return [Change(Key(project, "a"), record("a"), None, contested=True)]


async def test_client_that_sees_no_other_on_a_shared_rows_begins(place: ServerPlace) -> None:
    """Each has created its project before it looks.

    A client that sees another one waits, and then continues carefully.
    """
    first, second = Clock(), Clock()
    began: list[bool] = []

    async with (
        line_to(place.server.root) as line,
        opened(place, first) as one,
        opened(place, second, url=f"{line.url}/records/") as other,
    ):

        async def overtaken(_line: Line, request: web.BaseRequest) -> web.StreamResponse:
            began.append(await one.write(made(AFTER)) == [DONE])
            return await passed(line, request)

        line.break_at(3, overtaken)  # after the look at the server, before the project is created
        assert await other.write(made()) == [DONE]

    assert (began, first.waits) == ([True], [])
    assert len(second.waits) > 1


@pytest.mark.parametrize(("project", "waits"), [(AFTER, 1), (BEFORE, shared_rows.LISTINGS)])
async def test_client_that_sees_another_empty_project_waits_for_its_turn(
    place: ServerPlace, project: str, waits: int
) -> None:
    """In the order of names, and not forever: the client that created the other one may be gone.

    Meanwhile other clients may have found its own project, so that it then waits as they do.
    """
    place.server.make_project(project)
    clock = Clock()
    async with opened(place, clock) as store:
        assert await store.write(made()) == [DONE]

    assert len(clock.waits) > waits


async def test_client_overtaken_in_its_own_project_shares_it_with_others(
    place: ServerPlace,
) -> None:
    """It has created the project, but is no longer the only one that may begin there."""
    place.server.make_project(AFTER)
    clock = Clock(lambda: place.put(record("x")))
    async with opened(place, clock) as store:
        assert await store.write(made()) == [DONE]

    assert len(clock.waits) > 1


async def test_client_does_not_wait_on_a_server_with_records(place: ServerPlace) -> None:
    """The shared rows then probably exist."""
    await place.put(record("a"), project=AFTER)
    clock = Clock()
    async with (
        line_to(place.server.root) as line,
        opened(place, clock, url=f"{line.url}/records/") as store,
    ):
        assert await store.write(made()) == [DONE]
        assert await store.write(made("Another")) == [DONE]

    assert (clock.waits, line.requests.count("GET /records/")) == ([], 1)


async def test_creator_of_a_project_begins_at_once_if_the_listing_fails(
    place: ServerPlace,
) -> None:
    """The server cannot list projects while one is empty and another is not, so there are records."""
    await place.put(record("a"), project=AFTER)
    place.server.make_project(BEFORE)
    clock = Clock()
    async with opened(place, clock) as store:
        assert await store.write(made()) == [DONE]

    assert clock.waits == []


@pytest.mark.parametrize("body", [b"[", b"{}", b"[1]", b"\xff"])
async def test_invalid_listing_delays_no_client(place: ServerPlace, body: bytes) -> None:
    """Whether it is a Sumatra Server shows in the request for the project."""
    clock = Clock()

    async def answered(_line: Line, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body)

    async with (
        line_to(place.server.root) as line,
        opened(place, clock, url=f"{line.url}/records/") as store,
    ):
        line.break_at(2, answered)
        assert await store.write(made()) == [DONE]

    assert clock.waits == []
