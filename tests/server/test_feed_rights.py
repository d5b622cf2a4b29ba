"""The feed while rights change: who asks again learns all that they may see, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from aiohttp import web
from anyio import to_thread

from smtd.server import changes_api
from smtd.server.accounts import users_file
from smtd.server.accounts.rights import Right
from smtd.server.accounts.users_file import Account
from smtd.server.changes_api import VIEWS
from tests.build import PROJECT, record
from tests.server.granting import grant
from tests.server.served import Client, Served
from tests.server.streams import streaming
from tests.server.waiting import until_status

LISTED = f"records/{PROJECT}/"


async def digests_since(client: Client, since: str) -> dict[str, str | None]:
    """Return the digests of all records that *client* gets; after a 410 it starts again from 0."""
    reply = await client.changes(since)
    if reply.status == 410:
        reply = await client.changes()
    return {one["label"]: one["digest"] for one in reply.json["changes"]}


async def test_granted_right_shows_hidden_records(served: Served, ada: Client) -> None:
    """The stream ends, and the number from before is answered 410, once; others go on."""
    await ada.put(record())
    bob = served.client("bob")
    before = (await bob.changes()).json["next"]
    of_ada = (await ada.changes()).json["next"]

    async with streaming(bob, f"since={before}") as stream:
        await stream.block()
        await grant(served, Right.READ)
        assert await stream.ended()
        before = stream.last_id

    assert (await bob.changes(before)).status == 410
    page = (await bob.changes()).json
    assert [one["label"] for one in page["changes"]] == ["run"]
    assert (await bob.changes(page["next"])).json["changes"] == []
    assert (await ada.changes(of_ada)).json["changes"] == []


async def test_granted_right_wakes_a_waiting_client(served: Served, ada: Client) -> None:
    """At once: an answer that waits for news ends."""
    await ada.put(record())
    bob = served.client("bob")
    before = (await bob.changes()).json["next"]

    async def wait() -> None:
        with anyio.fail_after(10):
            assert (await bob.changes(before, wait=50)).status == 410

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await grant(served, Right.READ)


async def test_right_in_all_projects_shows_hidden_records(
    served: Served, ada: Client, tmp_path: Path
) -> None:
    """That one is in the users file."""
    await ada.put(record())
    bob = served.client("bob")
    before = (await bob.changes()).json["next"]

    def read_all(accounts: dict[str, Account]) -> dict[str, Account]:
        return accounts | {"bob": msgspec.structs.replace(accounts["bob"], everywhere="read")}

    await to_thread.run_sync(users_file.edit, tmp_path / "users", read_all)
    await until_status(bob, 200)

    assert list(await digests_since(bob, before)) == ["run"]


async def test_revoked_right_hides_records_without_deletions(served: Served, ada: Client) -> None:
    """What may not be seen is no deletion."""
    await ada.put(record())
    bob = await grant(served, Right.READ)
    before = (await bob.changes()).json["next"]

    await grant(served, Right.NONE)

    assert (await bob.changes(before)).status == 410
    assert (await bob.changes()).json["changes"] == []
    assert (await bob.changes(project=PROJECT)).status == 403


async def test_deletion_while_a_right_was_revoked(served: Served, ada: Client) -> None:
    """All clients start again, after a 410."""
    for label in ("stays", "goes"):
        await ada.put(record(label))
    bob = await grant(served, Right.READ)
    asleep = (await bob.changes()).json["next"]
    await grant(served, Right.NONE)
    awake = (await bob.changes()).json["next"]
    await ada.ask("DELETE", f"{LISTED}goes/")
    await grant(served, Right.READ)

    assert (await digests_since(bob, asleep))["goes"] is None
    assert (await bob.changes(awake)).status == 410
    assert [name for name, digest in (await digests_since(bob, awake)).items() if digest] == ["stays"]


async def test_deletion_of_a_project_is_in_the_feed(served: Served, ada: Client) -> None:
    """To its readers, whose right is gone with it: they start again."""
    await ada.put(record("one"))
    bob = await grant(served, Right.READ)
    cursors = [(client, (await client.changes()).json["next"]) for client in (ada, bob)]

    assert (await ada.ask("DELETE", LISTED)).status == 204

    for client, cursor in cursors:
        assert (await client.changes(cursor)).status == 410
        assert (await client.changes()).json["changes"] == []
        assert (await client.get(LISTED)).status == 404


async def test_project_recreated_by_another_user(served: Served, ada: Client) -> None:
    """Its readers learn what was deleted, whether they asked meanwhile or not."""
    await ada.put(record("one"))
    bob = await grant(served, Right.READ)
    asleep = (await bob.changes()).json["next"]
    await ada.ask("DELETE", LISTED)
    awake = (await bob.changes()).json["next"]
    await served.client("root").make()
    await grant(served, Right.READ)

    assert await digests_since(bob, asleep) == {"one": None}
    assert (await bob.changes(awake)).status == 410


async def test_new_project_tells_no_labels_of_one_that_had_its_name(served: Served, ada: Client) -> None:
    """Its user was not allowed to see them. What is deleted from then on is in the feed."""
    await ada.put(record("secret"))
    await ada.ask("DELETE", LISTED)
    bob = served.client("bob")
    await bob.make()

    page = (await bob.changes()).json
    await bob.put(record("own"))
    await bob.ask("DELETE", f"{LISTED}own/")

    assert page["changes"] == []
    assert await digests_since(bob, page["next"]) == {"own": None}
    assert await digests_since(bob, "0") == {"own": None}


@pytest.mark.parametrize("name", ["*", "0-0", "('x',)"])
async def test_project_names_have_no_special_meaning(served: Served, ada: Client, name: str) -> None:
    """Whatever a project is called, its user sees the projects that are granted later."""
    await ada.put(record("one"))
    bob = served.client("bob")
    assert (await bob.make(name)).status == 201
    before = (await bob.changes()).json["next"]

    await grant(served, Right.READ)

    assert list(await digests_since(bob, before)) == ["one"]


async def test_cursor_of_one_project(served: Served, ada: Client) -> None:
    """It is of what was seen then: with a right in another project all clients start again."""
    await ada.put(record("one"))
    bob = served.client("bob")
    await bob.make("Own")
    before = (await bob.changes(project="Own")).json["next"]

    await grant(served, Right.READ)

    assert (await bob.changes(before, project="Own")).status == 410
    assert (await bob.changes(before)).status == 410
    assert (await bob.changes(before, project=PROJECT)).status == 410


class Slowly:
    """A client that takes each part of a stream when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._parts = asyncio.Semaphore(2)
        self._send = changes_api._send
        monkeypatch.setattr(changes_api, "PAGE", 1)
        monkeypatch.setattr(changes_api, "PAGE_OF_RECORDS", 1)
        monkeypatch.setattr(changes_api, "_send", self._slow)

    async def _slow(self, answer: web.StreamResponse, data: bytes) -> None:
        await self._send(answer, data)
        await self._parts.acquire()

    def release(self) -> None:
        """Take all that comes."""
        for _ in range(100):
            self._parts.release()


async def test_right_granted_while_a_stream_catches_up(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, and nothing of what is new is passed over."""
    await ada.put(record("hidden"))
    bob = served.client("bob")
    await bob.make("Own")
    for number in range(6):
        await bob.put(record(f"run-{number}"), "Own")
    slowly = Slowly(monkeypatch)

    async with streaming(bob) as stream:
        await stream.changes(1)
        await grant(served, Right.READ)
        slowly.release()
        assert await stream.ended()
    monkeypatch.undo()

    assert (await bob.changes(stream.last_id)).status == 410
    assert "hidden" in await digests_since(bob, stream.last_id)


@pytest.mark.parametrize("include", ["", "records"])
async def test_right_revoked_while_a_stream_catches_up(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch, include: str
) -> None:
    """Nothing more is sent than was on its way."""
    for number in range(6):
        await ada.put(record(f"run-{number}"))
    bob = await grant(served, Right.READ)
    slowly = Slowly(monkeypatch)
    more: list[Any] = []

    async with streaming(bob, f"since=0&include={include}") as stream:
        await stream.changes(1)
        await grant(served, Right.NONE)
        slowly.release()
        while (event := await stream.block()) is not None:
            more += [event.data] if event.data is not None else []

    assert len(more) <= 2


async def test_views_of_the_same_moment_have_different_numbers(served: Served, ada: Client) -> None:
    """What was seen with one of them is no place in the other, whichever request comes first."""
    bob = await grant(served, Right.READ)
    before = [(await bob.changes()).json["next"]]
    for right in (Right.NONE, Right.READ, Right.NONE):
        await grant(served, right)
        answers = [(await bob.changes()).json for _ in range(2)]
        assert answers[0]["next"] % VIEWS == answers[1]["next"] % VIEWS
        before.append(answers[0]["next"])

    views = [number % VIEWS for number in before]
    assert views[0] != views[1]
    assert views[:2] == views[2:], "a view that comes back is the same place"
    assert [(await bob.changes(number)).status for number in before] == [410, 200, 410, 200]
