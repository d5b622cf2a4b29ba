"""Changes of files are noticed with and without events of the kernel; smtd's own writes are not reported."""

from __future__ import annotations

import mmap
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from smtd import watch as watching
from smtd.filestat import Signature
from smtd.watch import Watch, Watched

pytestmark = pytest.mark.disk


class Calls:
    """Counts the calls, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.times = 0
        self._news = anyio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._news.set()

    async def news(self) -> None:
        with anyio.fail_after(10):
            await self._news.wait()
        self._news = anyio.Event()


@asynccontextmanager
async def running(watch: Watch) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(watch.run)
        yield
        group.cancel_scope.cancel()


async def watched(watch: Watch, *paths: Path) -> Calls:
    """Watch *paths*, whose current status is acknowledged."""
    calls = Calls()
    watch.put("pair", paths, calls)
    watch.acknowledge("pair", await watch.stat("pair"))
    return calls


def write(path: Path, content: bytes) -> None:
    """Write to a file as another program would."""
    path.write_bytes(content)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "records"
    path.write_bytes(b"x" * 4096)
    return path


async def test_write_is_reported_and_the_watch_ends_as_soon_as_it_is_cancelled(file: Path) -> None:
    """By an event of the kernel, whose thread does not keep the daemon from ending, or by a comparison."""
    watch = Watch()
    calls = await watched(watch, file)
    async with running(watch):
        write(file, b"y")
        await calls.news()
        began = anyio.current_time()

    assert anyio.current_time() - began < 5


async def test_write_by_memory_map_is_reported_though_the_kernel_has_no_event(file: Path) -> None:
    """dbm.gnu writes like that."""
    watch = Watch()
    calls = await watched(watch, file)
    async with running(watch):
        with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
            mapped[0:1] = b"y"
            mapped.flush()
        os.utime(file)

        await calls.news()


async def test_write_without_an_event_is_reported_after_the_next_comparison(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system has no events."""

    async def deaf(*_paths: str, **_options: Any) -> AsyncIterator[set[Any]]:
        await anyio.sleep_forever()
        yield set()

    monkeypatch.setattr(watching, "awatch", deaf)
    monkeypatch.setattr(watching, "POLL", 0.01)
    watch = Watch()
    calls = await watched(watch, file)
    async with running(watch):
        write(file, b"y")

        await calls.news()


async def test_file_in_a_directory_that_does_not_exist_yet_is_reported(tmp_path: Path) -> None:
    """The nearest existing directory is watched, and the right one once it exists."""
    watch = Watch()
    path = tmp_path / "project" / ".smt" / "records"
    calls = await watched(watch, path)
    async with running(watch):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        await calls.news()
        watch.acknowledge("pair", await watch.stat("pair"))
        path.parent.rename(tmp_path / "project" / ".smt_orig")

        await calls.news()


async def test_acknowledged_write_is_not_reported(file: Path) -> None:
    """smtd acknowledges its own writes at the end of a cycle; the next write is reported."""
    watch = Watch()
    calls = await watched(watch, file)
    write(file, b"own")
    watch.acknowledge("pair", await watch.stat("pair"))

    await watch._compare()
    assert calls.times == 0

    write(file, b"another's")
    await watch._compare()
    await watch._compare()
    assert calls.times == 1


async def test_overtaken_comparison_reports_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files were written to and acknowledged after their status was read."""
    watch = Watch()
    calls = await watched(watch, file)
    stat = Watched.stat

    def overtaken(self: Watched) -> Signature:
        seen = stat(self)
        write(file, b"own, and longer")
        watch.acknowledge("pair", stat(self))
        return seen

    monkeypatch.setattr(Watched, "stat", overtaken)
    await watch._compare()
    monkeypatch.setattr(Watched, "stat", stat)
    await watch._compare()

    assert calls.times == 0


async def test_empty_log_of_a_reader_is_no_change(file: Path) -> None:
    """SQLite creates an empty write-ahead log even for a reader."""
    watch = Watch()
    log = file.with_name("records-wal")
    calls = await watched(watch, file, log)
    log.touch()

    await watch._compare()

    assert calls.times == 0


def test_file_below_a_file_counts_as_absent(tmp_path: Path) -> None:
    """Reading the status never fails."""
    place = tmp_path / "place"
    place.touch()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    files = (place / "records", loop, tmp_path / ("x" * 300))
    assert Watched(files, lambda: None).stat() == (None, None, None)


async def test_file_name_that_is_not_unicode_does_not_end_the_watch(file: Path) -> None:
    """Any program may create one beside a store, and the kernel has an event for it, too."""
    watch = Watch()
    calls = await watched(watch, file)
    async with running(watch):
        write(file, b"y")
        await calls.news()
        (file.parent / os.fsdecode("thèse".encode("latin-1"))).touch()
        write(file, b"zz")
        await calls.news()


def test_error_of_another_task_is_not_hidden_by_the_watch() -> None:
    """Alone, or in a group with others."""
    both = anyio_group(OSError(), ValueError())

    assert watching._is_of_watching(anyio_group(OSError(), anyio_group(RuntimeError())))
    assert not watching._is_of_watching(both)
    assert not watching._is_of_watching(ValueError())


def anyio_group(*errors: BaseException) -> BaseException:
    """Return what a task group raises for *errors*."""
    group = Exception()
    group.exceptions = errors  # type: ignore[attr-defined]
    return group
