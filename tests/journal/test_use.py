"""Who opens a journal while another one is just opening it waits until that is done."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from smtd.errors import JournalError
from smtd.journal import journal_lock
from smtd.journal.journal import open_journal


@contextmanager
def opening(directory: Path) -> Iterator[None]:
    """Have the journal to oneself, as another process that is about to look at all of it."""
    with (directory / "journal.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def test_second_one_waits_for_the_first(tmp_path: Path) -> None:
    """And opens it then."""
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


async def test_who_has_waited_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the directory."""
    monkeypatch.setattr(journal_lock, "PATIENCE", 0.05)
    with opening(tmp_path), pytest.raises(JournalError, match="another smtd is opening the journal in"):
        async with open_journal(tmp_path):
            pass


async def test_state_directory_without_a_lock_file_is_told(tmp_path: Path) -> None:
    """A directory stands where the lock should be."""
    (tmp_path / "journal.lock").mkdir()

    with pytest.raises(JournalError, match=r"state directory .* cannot be used: journal.lock is a directory"):
        async with open_journal(tmp_path):
            pass
