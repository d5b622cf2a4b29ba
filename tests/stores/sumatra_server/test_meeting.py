"""Several processes meet at a new server, each with another project: the rows that all records share."""

from __future__ import annotations

import pytest
from aiohttp import web

from smtd.records.record import Key
from smtd.stores.base import DONE, Change
from smtd.stores.http import new_server
from tests.build import PROJECT, record
from tests.peers.line import Line, line_to, passed
from tests.stores.server_place import ServerPlace
from tests.stores.sumatra_server.test_company import Clock, opened

#: Projects that come before and after PROJECT in the order of names.
BEFORE, AFTER = "A", "Z"


def made(project: str = PROJECT) -> list[Change]:
    """Return the changes that make a record in *project*."""
    return [Change(Key(project, "a"), record("a"), None, contested=True)]


async def test_of_all_who_meet_at_a_new_server_who_sees_nobody_begins(place: ServerPlace) -> None:
    """Each has made its project before it looks; who sees another one waits, and then heeds company."""
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

        line.break_at(3, overtaken)  # after the look at the server, before the project is made
        assert await other.write(made()) == [DONE]

    assert (began, first.waits) == ([True], [])
    assert len(second.waits) > 1


@pytest.mark.parametrize(("project", "waits"), [(AFTER, 1), (BEFORE, new_server.LOOKS)])
async def test_who_sees_an_empty_project_on_a_new_server_waits_for_its_turn(
    place: ServerPlace, project: str, waits: int
) -> None:
    """In the order of names, and not for ever: whoever has made the other one may have gone away.

    Meanwhile others may have found its own project, so that it then waits as they do.
    """
    place.server.make_project(project)
    clock = Clock()
    async with opened(place, clock) as store:
        assert await store.write(made()) == [DONE]

    assert len(clock.waits) > waits


async def test_who_was_overtaken_in_its_own_project_while_it_waited_goes_on_in_company(
    place: ServerPlace,
) -> None:
    """It has made the project, but is no longer the only one who may begin there."""
    place.server.make_project(AFTER)
    clock = Clock(lambda: place.put(record("x")))
    async with opened(place, clock) as store:
        assert await store.write(made()) == [DONE]

    assert len(clock.waits) > 1


async def test_who_finds_records_on_a_server_waits_for_nobody(place: ServerPlace) -> None:
    """The rows that records share are there, as far as anybody can tell."""
    await place.put(record("a"), project=AFTER)
    clock = Clock()
    async with (
        line_to(place.server.root) as line,
        opened(place, clock, url=f"{line.url}/records/") as store,
    ):
        assert await store.write(made()) == [DONE]
        assert await store.write(made("Another")) == [DONE]

    assert (clock.waits, line.requests.count("GET /records/")) == ([], 1)


async def test_who_makes_its_project_begins_at_once_though_the_server_cannot_list_them(
    place: ServerPlace,
) -> None:
    """It cannot while a project is empty and another is not, so there are records somewhere."""
    await place.put(record("a"), project=AFTER)
    place.server.make_project(BEFORE)
    clock = Clock()
    async with opened(place, clock) as store:
        assert await store.write(made()) == [DONE]

    assert clock.waits == []


@pytest.mark.parametrize("body", [b"[", b"{}", b"[1]", b"\xff"])
async def test_listing_that_is_none_stops_nobody(place: ServerPlace, body: bytes) -> None:
    """Whether it is a Sumatra Server shows when it is asked for the project."""
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
