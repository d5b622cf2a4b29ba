"""The search index of a pair is open only while somebody looks at its records."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anyio.abc import TaskGroup

from smtd.daemon.pages import pair_indexes, pair_indexing
from smtd.daemon.pages.pair_indexes import PairIndexes, Start
from smtd.daemon.pair_records import PairAccess
from smtd.journal.journal import Journal
from smtd.web.answers import PageError


def access(directory: Path) -> PairAccess:
    """Return access to no pair at all."""
    return PairAccess(lambda: (), cast("Journal", None), directory)


def starting(group: TaskGroup) -> Start:
    """Return what starts tasks in *group*, as the daemon does."""

    async def start(task: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        return await group.start(task)

    return start


async def test_index_is_closed_when_nobody_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task ends, and the next visitor opens it again."""
    for _ in range(2):
        with anyio.fail_after(10), monkeypatch.context() as patch:
            async with anyio.create_task_group() as group:
                indexes = PairIndexes(access(tmp_path), starting(group))
                async with indexes.of("pair") as found, indexes.of("pair") as same:
                    assert found is same
                    patch.setattr(pair_indexing, "_USED", 0.0)
                    progress = await found.progress()
                    assert (progress.is_complete, progress.total) == (False, 0)
                    assert "there is no pair pair" in progress.problem


async def test_indexes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than that waits until another one is closed."""
    monkeypatch.setattr(pair_indexes, "MOST_OPEN", 1)
    async with anyio.create_task_group() as group:
        indexes = PairIndexes(access(tmp_path), starting(group))
        async with indexes.of("a"):
            with pytest.raises(PageError, match="open already"):
                async with indexes.of("b"):
                    pass
        group.cancel_scope.cancel()


async def test_index_that_cannot_be_opened_ends_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says so, and the log says why."""

    def fail(*_: object) -> None:
        raise PermissionError(13, "not for you")

    monkeypatch.setattr(pair_indexes, "opened", fail)
    async with anyio.create_task_group() as group:
        indexes = PairIndexes(access(tmp_path), starting(group))
        with pytest.raises(PageError, match="cannot be opened"):
            async with indexes.of("pair"):
                pass
