"""A process that opens a journal waits while another one is opening it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from smtd.errors import JournalError
from smtd.journal import journal
from smtd.journal.journal import open_journal


@contextmanager
def opening(directory: Path) -> Iterator[None]:
    """Hold the journal exclusively, as another process that is about to check all of it."""
    with (directory / "journal.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def test_second_process_waits_for_the_first(tmp_path: Path) -> None:
    """And then opens the journal."""
    opened = anyio.Event()

    async def second() -> None:
        async with open_journal(tmp_path):
            opened.set()

    async with anyio.create_task_group() as group:
        with opening(tmp_path):
            group.start_soon(second)
            await anyio.wait_all_tasks_blocked()
            assert not opened.is_set()

    assert opened.is_set()


async def test_long_wait_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the directory."""
    monkeypatch.setattr(journal, "OPENING_PATIENCE", 0.05)
    with opening(tmp_path), pytest.raises(JournalError, match="another smtd is opening the journal in"):
        async with open_journal(tmp_path):
            pass


async def test_directory_in_place_of_the_lock_file_is_an_error(tmp_path: Path) -> None:
    """It names the state directory."""
    (tmp_path / "journal.lock").mkdir()

    with pytest.raises(JournalError, match=r"state directory .* cannot be used: journal.lock is a directory"):
        async with open_journal(tmp_path):
            pass
