"""Other programs change the served database by hand, or during a failure: the feed has it, and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from smtd.errors import StoreUnreachable
from smtd.server import foreign_writes
from smtd.server.server_settings import ServerSettings
from tests.build import PROJECT, full, record
from tests.server.served import Client, Served, serving
from tests.server.test_foreign_writes import LISTED, after, all_changes, next_changes, run
from tests.server.waiting import until
from tests.stores.places import DjangoPlace

RELABEL = "UPDATE django_store_record SET label = 'new' WHERE label = 'full'"
OTHER_EXECUTABLE = "UPDATE django_store_executable SET version = '9'"
NOT_UNICODE = "CAST(x'6fff' AS TEXT)"


async def test_relabelled_record_is_in_the_feed_under_both_labels(found: DjangoPlace, tmp_path: Path) -> None:
    """In a store that others made, too."""
    async with serving(tmp_path, ServerSettings(found.path)) as server:
        root = server.client("root")
        await all_changes(root)
        since = (await root.changes()).json["next"]

        await to_thread.run_sync(run, found.path, RELABEL)

        changes = await next_changes(root, since)
        while len(changes) < 2:
            changes += await next_changes(root, after(changes[-1], since))
        assert {one["label"]: one["digest"] is None for one in changes} == {"full": True, "new": False}
        assert (await root.get(f"{LISTED}new/")).status == 200


async def test_save_of_a_relabelled_record_creates_no_duplicate(found: DjangoPlace, tmp_path: Path) -> None:
    """However soon it comes after that."""
    async with serving(tmp_path, ServerSettings(found.path)) as server:
        root = server.client("root")
        await all_changes(root)
        await root.put(record("other"))

        await to_thread.run_sync(run, found.path, RELABEL)
        await root.put(record("new"))

        assert run(found.path, "SELECT count(*) FROM django_store_record WHERE label = 'new'") == [(1,)]
        with anyio.fail_after(5):
            assert (await root.ask("DELETE", f"records/{PROJECT}/")).status == 204


async def test_save_before_the_server_notices_creates_no_duplicate(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a store of its own: what the triggers noted counts before it is entered."""
    await ada.put(full())
    await ada.put(record("other"))
    monkeypatch.setattr(foreign_writes, "QUIET_PERIOD", 60.0)
    monkeypatch.setattr(foreign_writes, "LONGEST_DELAY", 60.0)

    await to_thread.run_sync(run, served.store, RELABEL)
    await ada.put(record("new"))

    assert run(served.store, "SELECT count(*) FROM django_store_record WHERE label = 'new'") == [(1,)]
    assert (await ada.get(f"{LISTED}new/")).status == 200


async def test_label_that_is_not_unicode_breaks_nothing(served: Served, ada: Client) -> None:
    """It is shown escaped, and goes with its project."""
    await ada.put(record("one"))
    await ada.put(record("two"))
    since = (await ada.changes()).json["next"]

    bad = f"UPDATE django_store_record SET label = {NOT_UNICODE} WHERE label = 'one'"
    await to_thread.run_sync(run, served.store, bad)

    changes = await next_changes(ada, since)
    while len(changes) < 2:
        changes += await next_changes(ada, after(changes[-1], since))
    assert {one["label"]: one["digest"] is None for one in changes}["one"]
    assert (await ada.put(record("three"))).status == 201
    with anyio.fail_after(5):
        assert (await ada.ask("DELETE", f"records/{PROJECT}/")).status == 204


async def test_project_that_is_not_unicode_hides_no_other(served: Served, ada: Client) -> None:
    """No address leads to it."""
    projects = f"INSERT INTO django_store_project VALUES ({NOT_UNICODE}, '', ''), ('Theirs', '', '')"
    await to_thread.run_sync(run, served.store, projects)

    root, names = served.client("root"), set[str]()
    with anyio.fail_after(10):
        while "Theirs" not in names:
            listed = await root.get("records/")
            assert listed.status == 200
            names = {one["id"] for one in listed.json}
    assert names == {PROJECT, "Theirs"}


async def test_failed_full_comparison_is_repeated(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note that asks for it stays until it is done."""
    await ada.put(record("one"))
    since = (await ada.changes()).json["next"]
    page, failed = foreign_writes.ForeignWrites._compare_page, list[int]()

    async def failing(self: foreign_writes.ForeignWrites, last: int) -> Any:
        if not failed:
            failed.append(last)
            raise StoreUnreachable("the disk is away")
        return await page(self, last)

    monkeypatch.setattr(foreign_writes.ForeignWrites, "_compare_page", failing)
    await to_thread.run_sync(run, served.store, OTHER_EXECUTABLE)

    assert [one["label"] for one in await next_changes(ada, since)] == ["one"]
    assert failed


async def test_interrupted_full_comparison_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next start, without a write of another program."""
    began = anyio.Event()

    async def endless(self: foreign_writes.ForeignWrites) -> None:
        began.set()
        await anyio.sleep_forever()

    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.put(record("one"))
        since = (await first.ada.changes()).json["next"]
        with monkeypatch.context() as patched:
            patched.setattr(foreign_writes.ForeignWrites, "_compare_all", endless)
            await to_thread.run_sync(run, first.store, OTHER_EXECUTABLE)
            with anyio.fail_after(10):
                await began.wait()
            first.stop()

    async with serving(tmp_path) as second:
        assert [one["label"] for one in await next_changes(second.ada, since)] == ["one"]

        async def is_forgotten() -> bool:
            asked = "SELECT count(*) FROM smtd_dirty"
            return await to_thread.run_sync(run, second.store, asked) == [(0,)]

        await until(is_forgotten)


async def test_change_of_one_of_two_rows_of_a_label_is_in_the_feed(
    found: DjangoPlace, tmp_path: Path
) -> None:
    """In a store that others made. Until then the two are equal, and read as one record."""
    await found.put(record("twin", tags=frozenset()))
    names = [name for _, name, *_ in run(found.path, "PRAGMA table_info(django_store_record)")]
    columns = ", ".join(name for name in names if name != "db_id")
    twin = f"SELECT {columns} FROM django_store_record WHERE label = 'twin'"
    await to_thread.run_sync(run, found.path, f"INSERT INTO django_store_record ({columns}) {twin}")
    async with serving(tmp_path, ServerSettings(found.path)) as server:
        root = server.client("root")
        await all_changes(root)
        since = (await root.changes()).json["next"]

        first = "SELECT min(db_id) FROM django_store_record WHERE label = 'twin'"
        edit = f"UPDATE django_store_record SET outcome = 'other' WHERE db_id = ({first})"
        await to_thread.run_sync(run, found.path, edit)

        (change,) = await next_changes(root, since)
        assert (change["label"], change["digest"][:2]) == ("twin", "0-")
        assert (await root.get(f"{LISTED}twin/")).status == 422
