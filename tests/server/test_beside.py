"""Other programs that have the file of the server open, too: a lock, a reader, another server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from smtd.errors import StoreUnreachable, UsageError
from smtd.server.opening import open_database
from tests.build import full, record
from tests.server.served import Client, Served
from tests.server.test_foreign_writes import LISTED, is_complete, run
from tests.server.waiting import until


@contextmanager
def transaction(store: Path, begin: str) -> Iterator[None]:
    """Have a transaction open for the length of a `with` block."""
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute(begin)
        other.execute("SELECT count(*) FROM django_store_record").fetchall()
        yield
        other.execute("ROLLBACK")


async def test_lock_of_another_program_does_not_stop_readers(served: Served, ada: Client) -> None:
    """Writers wait for the lock; readers behind them, and the end of the server, do not."""
    await ada.put(record("one"))

    async with anyio.create_task_group() as group:
        with transaction(served.store, "BEGIN IMMEDIATE"):
            group.start_soon(ada.put, record("two"))
            with anyio.fail_after(5):
                for _ in range(50):
                    assert (await ada.get(f"{LISTED}one/")).status == 200
            assert (await ada.get(f"{LISTED}two/")).status == 404
    assert (await ada.get(f"{LISTED}two/")).status == 200


async def test_checkpoint_is_completed_after_a_long_read(served: Served, ada: Client, tmp_path: Path) -> None:
    """What could not be brought into the file while they read is brought there later."""
    with transaction(served.store, "BEGIN"):
        await ada.put(full())
        await anyio.sleep(1.5)  # longer than it rests before it tries

    labels = "SELECT label FROM django_store_record"
    await until(partial(is_complete, served.store, tmp_path / "copy", labels))


async def test_checkpoint_includes_commits_of_other_programs(served: Served, tmp_path: Path) -> None:
    """Also what the server has nothing to enter for."""
    project = "INSERT INTO django_store_project VALUES ('Theirs', '', '')"
    await to_thread.run_sync(run, served.store, project)

    projects = "SELECT id FROM django_store_project"
    await until(partial(is_complete, served.store, tmp_path / "copy", projects))


async def test_symbolic_link_is_the_same_store(served: Served, tmp_path: Path) -> None:
    """One process serves a store, whatever it is called."""
    link = tmp_path / "link.sqlite"
    link.symlink_to(served.store)

    with pytest.raises(UsageError, match="another smtd serves it"):
        async with open_database(link, "it"):
            pass


async def test_hard_link_is_not_served(served: Served, tmp_path: Path) -> None:
    """SQLite's log is beside one name: a program that uses another would damage the file."""
    link = tmp_path / "link.sqlite"
    link.hardlink_to(served.store)

    for name in (link, served.store):
        with pytest.raises(StoreUnreachable, match=r"2 names \(hard links\).*remove the other names"):
            async with open_database(name, "it"):
                pass
