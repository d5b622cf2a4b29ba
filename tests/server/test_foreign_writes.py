"""What others write into the database that is served, `smt` on the same machine, say."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from smtd.records import canonical
from smtd.records.record import Record
from smtd.server import change_log, foreign_writes
from smtd.server.opening import open_database
from smtd.server.server_settings import ServerSettings
from smtd.stores.base import DONE, Change
from smtd.stores.registry import open_store
from tests.build import PROJECT, commented, full, key, record
from tests.server.served import Client, Served, serving
from tests.server.streams import streaming
from tests.stores.places import DjangoPlace

LISTED = f"records/{PROJECT}/"


async def write(store: Path, *records: Record, gone: Record | None = None) -> None:
    """Write as another smtd would, which knows nothing of the server."""
    async with open_store(DjangoPlace(store).location) as other:
        held = await other.read([key(one.label) for one in records])
        changes = [
            Change(
                key(one.label),
                one,
                canonical.digest(held[key(one.label)]) if key(one.label) in held else None,
            )
            for one in records
        ]
        if gone is not None:
            changes.append(Change(key(gone.label), None, canonical.digest(gone)))
        assert set(await other.write(changes)) == {DONE}


def run(store: Path, statement: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(store, timeout=10, isolation_level=None)) as db:
        return db.execute(statement, values).fetchall()


def copied(source: Path, target: Path) -> None:
    """Copy a database into another as SQLite does it: `.backup`, and `.restore` into one that is open."""
    with (
        closing(sqlite3.connect(source, timeout=10)) as source_db,
        closing(sqlite3.connect(target)) as copy_db,
    ):
        source_db.backup(copy_db)


async def is_complete(store: Path, copy: Path, statement: str) -> bool:
    """Say whether a copy of the file alone, without its log, has what *statement* asks for."""
    await to_thread.run_sync(shutil.copy, store, copy)
    return bool(await to_thread.run_sync(run, copy, statement))


def after(change: Any, since: int) -> int:
    """Return the number of *change* for a client whose cursor was *since*."""
    assert change["seq"] > since
    return int(change["seq"])


async def next_changes(client: Client, since: int) -> list[Any]:
    """Return the next changes after *since*."""
    with anyio.fail_after(10):
        found: list[Any] = (await client.changes(since, wait=20)).json["changes"]
        return found


async def all_changes(client: Client) -> list[Any]:
    """Return all changes, once the first look is over."""
    with anyio.fail_after(10):
        while True:
            reply = await client.changes()
            if reply.status == 200:
                found: list[Any] = reply.json["changes"]
                return found
            assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
            await anyio.sleep(0.01)


async def test_row_of_the_log_that_is_replaced_during_a_look_is_not_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has all that others wrote only after the row was read, which is one of before."""
    entered: list[bool] = []

    async def row_of(*_: Any) -> str:
        entered.append(True)
        return "the row of before"

    async def is_logged(*_: Any) -> bool:
        return bool(entered)

    async with open_database(tmp_path / "records", "records") as database:
        monkeypatch.setattr(change_log, "row_of", row_of)
        monkeypatch.setattr(type(database.backend), "is_logged", is_logged)

        _, is_certain = await database.last_change(key("full"))

    assert not is_certain


async def test_record_that_another_program_writes_is_in_the_feed(served: Served, ada: Client) -> None:
    """Made, changed and deleted: in the feed, in listings, and by the record itself."""
    since = (await ada.changes()).json["next"]

    await write(served.store, full())
    (made,) = await next_changes(ada, since)
    assert made["digest"] == f"{canonical.VERSION}-{canonical.digest(full()).hex()}"
    assert (await ada.get(LISTED)).json["records"] == [f"{ada.root}{LISTED}full/"]
    etag = (await ada.get(f"{LISTED}full/")).etag

    await write(served.store, commented(full(), "more"))
    assert (await ada.get(f"{LISTED}full/", If_None_Match=etag)).status == 200
    (changed,) = await next_changes(ada, after(made, since))
    assert changed["digest"] != made["digest"]

    await write(served.store, gone=commented(full(), "more"))
    (gone,) = await next_changes(ada, after(changed, since))
    assert (gone["label"], gone["digest"]) == ("full", None)
    assert (await ada.get(LISTED)).json["records"] == []


async def test_own_writes_are_in_the_feed_once(served: Served, ada: Client) -> None:
    """The triggers note nothing of them."""
    await ada.put(full())
    await ada.put(commented(full(), "more"))

    assert run(served.store, "SELECT count(*) FROM smtd_dirty") == [(0,)]
    assert len((await ada.changes()).json["changes"]) == 1


async def test_edit_of_a_row_that_records_share_is_in_the_feed(served: Served, ada: Client) -> None:
    """Of all records that share it, and of no others."""
    await ada.put(record("one"))
    await ada.put(record("two"))
    await ada.put(full())
    since = (await ada.changes()).json["next"]

    await to_thread.run_sync(
        run, served.store, "UPDATE django_store_executable SET version = '9' WHERE options = ''"
    )

    found = await next_changes(ada, since)
    while len(found) < 2:
        found += await next_changes(ada, after(found[-1], since))
    assert {one["label"] for one in found} == {"one", "two"}


async def test_unreadable_record_is_no_deletion(served: Served, ada: Client) -> None:
    """It is listed, and said to be unreadable."""
    await ada.put(record("bad"))
    since = (await ada.changes()).json["next"]

    await DjangoPlace(served.store).spoil("bad")

    (change,) = await next_changes(ada, since)
    assert change["digest"] not in (None, "")
    assert not change["digest"].startswith(f"{canonical.VERSION}-")
    assert (await ada.get(f"{LISTED}bad/")).status == 422
    assert (await ada.get(LISTED)).json["records"] == [f"{ada.root}{LISTED}bad/"]
    assert (await ada.put(record("bad"))).status == 409
    assert (await ada.ask("DELETE", f"{LISTED}bad/")).status == 204
    assert (await ada.put(record("bad"))).status == 201


async def test_half_saved_record_settles_first(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save of Sumatra is several commits: the feed has the last of them."""
    monkeypatch.setattr(foreign_writes, "CHECK_INTERVAL", 0.001)
    monkeypatch.setattr(foreign_writes, "QUIET_PERIOD", 0.5)
    monkeypatch.setattr(foreign_writes, "LONGEST_DELAY", 20.0)
    await ada.put(full())
    since = (await ada.changes()).json["next"]

    async with streaming(ada, f"since={since}") as stream:
        await stream.block()
        for number in range(5):
            outcome = "UPDATE django_store_record SET outcome = ?"
            await to_thread.run_sync(run, served.store, outcome, f"{number}")
            await anyio.sleep(0.03)  # the server looks in between
        (change,) = await stream.changes(1)

    assert (await ada.get(f"{LISTED}full/")).json["outcome"] == "4"
    assert change["digest"] == (await ada.get(f"{LISTED}full/")).etag.strip('"')


async def test_what_another_program_wrote_while_the_server_was_down_is_in_the_feed(tmp_path: Path) -> None:
    """The triggers have noted it."""
    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.put(record("old"))
        since = (await first.ada.changes()).json["next"]
    await write(tmp_path / "served" / "records", record("new"))

    async with serving(tmp_path) as second:
        assert [one["label"] for one in await next_changes(second.ada, since)] == ["new"]


async def test_store_created_by_sumatra_is_served(found: DjangoPlace, tmp_path: Path) -> None:
    """Its mode stays, it gets no triggers, and what others write is found by looks at all of it."""
    before = run(found.path, "PRAGMA journal_mode")

    async with serving(tmp_path, ServerSettings(found.path)) as server:
        root = server.client("root")
        assert [one["label"] for one in await all_changes(root)] == ["full"]
        assert (await root.put(record("own"))).status == 201
        since = (await root.changes()).json["next"]
        await found.put(record("theirs"))
        assert [one["label"] for one in await next_changes(root, since)] == ["theirs"]

    assert run(found.path, "PRAGMA journal_mode") == before == [("delete",)]
    assert run(found.path, "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == [(0,)]


async def test_feed_waits_for_the_first_comparison(found: DjangoPlace, tmp_path: Path) -> None:
    """Who takes half of a log for all of it would delete the other half; the records are served meanwhile."""
    async with serving(tmp_path, ServerSettings(found.path)) as server:
        root = server.client("root")
        first = await root.changes()
        assert (await root.get(f"{LISTED}full/")).status == 200

    assert first.status == 503 or [one["label"] for one in first.json["changes"]] == ["full"]
