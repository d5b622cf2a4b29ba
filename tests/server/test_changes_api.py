"""The feed of changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.server import changes_api, feed, record_form
from smtd.server.changes_api import VIEWS
from tests.build import PROJECT, commented, full, record
from tests.server.served import Client, Served, serving
from tests.server.streams import streaming
from tests.server.test_foreign_writes import LISTED, run

pytestmark = pytest.mark.halved


async def test_changes_are_numbered_in_their_order(ada: Client) -> None:
    """Each key with its last change; `since` is where to go on."""
    await ada.put(record("one"))
    await ada.put(record("two"))
    first = (await ada.changes()).json
    await ada.put(commented(record("one"), "more"))
    await ada.ask("DELETE", f"{LISTED}two/")

    later = (await ada.changes(first["next"])).json
    whole = (await ada.changes()).json

    assert [one["label"] for one in first["changes"]] == ["one", "two"]
    assert [(one["label"], one["digest"] is None) for one in later["changes"]] == [
        ("one", False),
        ("two", True),
    ]
    assert whole == later
    assert later["next"] == later["changes"][-1]["seq"] > first["next"]
    assert later["more"] is False
    assert (await ada.changes(later["next"])).json == {"changes": [], "next": later["next"], "more": False}


async def test_digest_is_the_etag(ada: Client) -> None:
    """So who has the record need not ask for it."""
    etag = (await ada.put(full())).etag

    (change,) = (await ada.changes()).json["changes"]

    assert etag == f'"{change["digest"]}"'
    assert change["digest"] == f"{canonical.VERSION}-{canonical.digest(full()).hex()}"


async def test_records_come_with_their_changes(ada: Client) -> None:
    """To the microsecond; a deletion has none."""
    await ada.changes()  # who asks later is not told of what was deleted before
    await ada.put(full())
    await ada.put(record("gone"))
    await ada.ask("DELETE", f"{LISTED}gone/")

    there, gone = (await ada.changes(include="records")).json["changes"]

    found = record_form.parsed_put(record_form.encoded(there["record"]), Key(PROJECT, "full"))
    assert isinstance(found, Record)
    assert found.timestamp.microsecond == full().timestamp.microsecond
    assert canonical.digest(found) == canonical.digest(full())
    assert "record" not in gone


async def test_pages_continue_each_other(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where records are too large for one answer."""
    labels = [f"run-{number}" for number in range(7)]
    for label in labels:
        await ada.put(record(label))
    monkeypatch.setattr(changes_api, "PAGE", 3)
    monkeypatch.setattr(changes_api, "PAGE_BYTES", 2000)

    for query in ({}, {"include": "records"}):
        found, since, more, pages = [], 0, True, 0
        while more:
            page = (await ada.changes(since, **query)).json
            found += [one["label"] for one in page["changes"]]
            since, more, pages = page["next"], page["more"], pages + 1
        assert found == labels
        assert pages > 2


async def test_answer_waits_for_changes(served: Served, ada: Client) -> None:
    """Not for news that the caller may not see; and not for ever."""
    since = (await ada.changes()).json["next"]
    bob = served.client("bob")
    await bob.make("Other")
    answers: list[Any] = []

    async def wait() -> None:
        answers.append((await ada.changes(since, wait=20)).json)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await bob.put(record("hidden"), "Other")
            await ada.put(record())

    (answer,) = answers
    assert [one["label"] for one in answer["changes"]] == ["run"]
    assert (await ada.changes(answer["next"], wait=0.01)).json["changes"] == []


async def test_feed_of_one_project(served: Served, ada: Client) -> None:
    """Others are left out, and where to go on is beyond them."""
    await ada.make("Other")
    await ada.put(record())
    await ada.put(record("other"), "Other")

    page = (await ada.changes(project="Other")).json

    assert [one["label"] for one in page["changes"]] == ["other"]
    assert (await ada.changes(project="No")).status == 404
    assert (await served.client("bob").changes(project="Other")).status == 403


async def test_feed_leaves_out_invisible_projects(served: Served, ada: Client) -> None:
    """And is no deletion."""
    await ada.put(record())

    page = (await served.client("bob").changes()).json

    assert page["changes"] == []
    assert page["next"] // VIEWS == (await ada.changes()).json["next"] // VIEWS


@pytest.mark.parametrize(
    "query",
    [
        *("since=x", "since=-1", "since=", "since=1_0", "since=%D9%A3", "since=" + "9" * 19),
        *("since=0&since=0", "project=a&project=b"),
        *("wait=nan", "wait=-1", "wait=inf", "wait=1_0", "wait=1&wait=2"),
        *("include=all", "include=records&include=records"),
    ],
)
async def test_invalid_query_is_refused(ada: Client, query: str) -> None:
    """With a sentence; Python takes some of these for numbers."""
    reply = await ada.get(f"api/v1/changes?{query}")

    assert (reply.status, bool(reply.json["error"])) == (400, True)


async def test_invalid_number_is_refused_beside_a_valid_one(ada: Client) -> None:
    """`Last-Event-ID` takes the place of `since`; each must be a number."""
    assert (await ada.get("api/v1/changes?since=x", Last_Event_ID="0")).status == 400
    assert (await ada.get("api/v1/changes", Last_Event_ID="")).status == 400


async def test_unknown_number_is_gone(ada: Client) -> None:
    """One that no number of this log can follow: of the future, of another log, or of none."""
    head = (await ada.changes()).json["next"]

    for other in (1, head - 10**9, head + 1):
        assert (await ada.changes(other)).status == 410
    assert (await ada.changes(head)).status == 200
    assert (await ada.changes(0)).status == 200


async def test_number_of_an_earlier_start_is_valid(tmp_path: Path) -> None:
    """And no number is given twice."""
    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.put(record("one"))
        before = (await first.ada.changes()).json["next"]

    async with serving(tmp_path) as second:
        page = (await second.ada.changes(before)).json
        assert page["changes"] == []
        assert page["next"] > before
        await second.ada.put(record("two"))
        assert [one["label"] for one in (await second.ada.changes(before)).json["changes"]] == ["two"]


async def test_number_from_after_the_backup_is_gone(tmp_path: Path) -> None:
    """A restored server does not accept numbers that it no longer knows."""
    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.put(record("one"))
        kept = (await first.ada.changes()).json["next"]
    store = tmp_path / "served" / "records"
    backup = store.read_bytes()
    async with serving(tmp_path) as second:
        await second.ada.put(record("lost"))
        lost = (await second.ada.changes()).json["next"]
    store.write_bytes(backup)

    async with serving(tmp_path) as third:
        await third.ada.put(record("new"))
        assert (await third.ada.changes(lost)).status == 410
        found = (await third.ada.changes(kept)).json["changes"]
        assert [one["label"] for one in found] == ["new"]
        assert found[0]["seq"] != lost


async def test_old_deletions_are_dropped(tmp_path: Path) -> None:
    """A client that has not asked for that long starts again."""
    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.put(record("gone"))
        before = (await first.ada.changes()).json["next"]
        await first.ada.ask("DELETE", f"{LISTED}gone/")
        await first.ada.put(record("stays"))
        after = (await first.ada.changes()).json["next"]
    run(tmp_path / "served" / "records", "UPDATE smtd_change SET noted = noted - 91 * 86400")

    async with serving(tmp_path) as second:
        assert (await second.ada.changes(before)).status == 410
        assert (await second.ada.changes(after)).json["changes"] == []
        assert [one["label"] for one in (await second.ada.changes()).json["changes"]] == ["stays"]


# Streams


async def test_stream_sends_earlier_and_new_changes(ada: Client) -> None:
    """Each change is an event with its number as id, from which the next stream goes on."""
    await ada.put(record("before"))

    async with streaming(ada, "since=0") as stream:
        assert stream.answer.headers["Content-Type"].startswith("text/event-stream")
        assert stream.answer.headers["X-Accel-Buffering"] == "no"
        (before,) = await stream.changes(1)
        reached = stream.last_id
        await ada.put(record("after"))
        (after,) = await stream.changes(1)

    assert [before["label"], after["label"]] == ["before", "after"]
    async with streaming(ada, "since=0", Last_Event_ID=reached) as stream:
        assert await stream.changes(1) == [after]


async def test_stream_with_records(ada: Client) -> None:
    """As in an answer."""
    async with streaming(ada, "since=0&include=records") as stream:
        await ada.put(full())
        (change,) = await stream.changes(1)

    assert change["record"]["label"] == "full"
    assert (await ada.changes(include="records")).json["changes"] == [change]


async def test_stream_leaves_out_invisible_projects(served: Served, ada: Client) -> None:
    """But goes on."""
    bob = served.client("bob")
    await bob.make("Other")

    async with streaming(bob) as stream:
        await ada.put(record("hidden"))
        await bob.put(record("own"), "Other")
        (change,) = await stream.changes(1)

    assert change["label"] == "own"


async def test_stream_sends_heartbeats(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client gives up after 40 s of silence."""
    monkeypatch.setattr(changes_api, "HEARTBEAT", 0.01)

    async with streaming(ada) as stream:
        blocks = [await stream.block() for _ in range(3)]

    assert [block and block.comment for block in blocks[1:]] == ["still here"] * 2


async def test_slow_listener_is_disconnected(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on from the number that it has."""
    monkeypatch.setattr(feed, "MOST_EVENTS", 1)

    async with streaming(ada) as stream:
        await stream.block()
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(ada.put, record(f"run-{number}"))
        assert await stream.ended()


async def test_too_many_streams_are_refused(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one user; a closed one makes room."""
    monkeypatch.setattr(changes_api, "MOST_STREAMS", 1)

    async with streaming(ada) as first:
        await first.block()
        async with streaming(ada) as second:
            assert second.answer.status == 429
            assert second.answer.headers["Retry-After"]


async def test_waiting_answers_count_as_streams(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold as much; one that need not wait is given."""
    monkeypatch.setattr(changes_api, "MOST_STREAMS", 1)
    since = (await ada.changes()).json["next"]

    async with streaming(ada) as stream:
        await stream.block()
        assert (await ada.changes(since, wait=5)).status == 429
        assert (await ada.changes(since)).status == 200


async def test_shutdown_ends_streams(served: Served, ada: Client) -> None:
    """At once."""
    async with streaming(ada) as stream:
        await stream.block()
        served.stop()
        with anyio.fail_after(5):
            assert await stream.ended()
