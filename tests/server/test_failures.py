"""Requests that fail through no fault of the client: the answer says where to look, and the log says why."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from smtd.errors import JournalError
from smtd.server.database import ServedDatabase
from tests.build import PROJECT, record
from tests.server.served import Client, serving

LISTED = f"records/{PROJECT}/"


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what was logged at the level of warnings and above."""
    return [(entry.levelname, entry.getMessage()) for entry in caplog.records if entry.levelno > logging.INFO]


def damage(store: Path) -> None:
    """Overwrite the first page of the table of records."""
    with closing(sqlite3.connect(store)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        found = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'django_store_record'")
        (page,) = found.fetchone()
    with store.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


async def test_damaged_store_is_no_fault_of_the_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Reads and writes get 503, which no client takes for a rejected record; the log names the damage."""
    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.put(record())
    await to_thread.run_sync(damage, first.store)

    async with serving(tmp_path) as second:
        replies = [await second.ada.get(f"{LISTED}run/"), await second.ada.put(record("new"))]

    for reply in replies:
        assert reply.status == 503
        assert reply.headers["Retry-After"]
        assert reply.json == {"error": "the server's store cannot be used; see the server's log"}
    logged = [text for level, text in messages(caplog) if "is damaged" in text]
    assert len(logged) == len(replies)
    assert all(text.startswith("the server cannot use its store: ") for text in logged)
    assert not [entry for entry in caplog.records if entry.exc_info], "a damaged store needs no traceback"


async def test_internal_error_is_in_the_log(
    ada: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer refers to the log, so its cause is there, whatever kind of error it is."""

    async def failing(*_args: Any) -> Any:
        raise JournalError("the journal is away")

    monkeypatch.setattr(ServedDatabase, "totals", failing)

    reply = await ada.get("records/")

    assert (reply.status, reply.json) == (500, {"error": "internal error; see the server's log"})
    assert messages(caplog) == [("ERROR", "a request (GET) cannot be answered: the journal is away")]
