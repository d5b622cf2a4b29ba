"""Files that change are noticed, whether the kernel tells or not; what smtd did itself is not."""

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


class Heard:
    """How often it was told, for a test to wait for."""

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


async def watched(watch: Watch, *paths: Path) -> Heard:
    """Watch *paths*, whose looks are known as they are now."""
    heard = Heard()
    watch.put("pair", paths, heard)
    watch.settle("pair", await watch.look("pair"))
    return heard


def write(path: Path, content: bytes) -> None:
    """Write to a file as another program would."""
    path.write_bytes(content)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "records"
    path.write_bytes(b"x" * 4096)
    return path


async def test_write_is_told(file: Path) -> None:
    """The kernel tells, or the next look does."""
    watch = Watch()
    heard = await watched(watch, file)
    async with running(watch):
        write(file, b"y")

        await heard.news()


async def test_watch_ends_as_soon_as_it_is_cancelled(file: Path) -> None:
    """The thread that waits for the kernel's events would otherwise keep the daemon from ending."""
    watch = Watch()
    heard = await watched(watch, file)
    async with running(watch):
        write(file, b"y")
        await heard.news()
        began = anyio.current_time()

    assert anyio.current_time() - began < 5


async def test_write_by_memory_map_is_told_though_the_kernel_tells_nothing(file: Path) -> None:
    """So dbm.gnu writes."""
    watch = Watch()
    heard = await watched(watch, file)
    async with running(watch):
        with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
            mapped[0:1] = b"y"
            mapped.flush()
        os.utime(file)

        await heard.news()


async def test_nothing_is_told_without_the_kernel_until_the_next_look(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a network file system the look is all there is."""

    async def deaf(*_paths: str, **_options: Any) -> AsyncIterator[set[Any]]:
        await anyio.sleep_forever()
        yield set()

    monkeypatch.setattr(watching, "awatch", deaf)
    monkeypatch.setattr(watching, "POLL", 0.01)
    watch = Watch()
    heard = await watched(watch, file)
    async with running(watch):
        write(file, b"y")

        await heard.news()


async def test_file_in_a_directory_that_is_not_there_yet_is_told(tmp_path: Path) -> None:
    """The nearest directory above is watched, and the right one once it is there."""
    watch = Watch()
    path = tmp_path / "project" / ".smt" / "records"
    heard = await watched(watch, path)
    async with running(watch):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        await heard.news()
        watch.settle("pair", await watch.look("pair"))
        path.parent.rename(tmp_path / "project" / ".smt_orig")

        await heard.news()


async def test_what_is_settled_is_not_told(file: Path) -> None:
    """A write of smtd's own, noted at the end of its cycle, wakes nobody; the next one does."""
    watch = Watch()
    heard = await watched(watch, file)
    write(file, b"own")
    watch.settle("pair", await watch.look("pair"))

    await watch._compare()
    assert heard.times == 0

    write(file, b"another's")
    await watch._compare()
    await watch._compare()
    assert heard.times == 1


async def test_look_that_was_overtaken_tells_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files were looked at, then written to and settled: the older look is no news."""
    watch = Watch()
    heard = await watched(watch, file)
    look = Watched.look

    def overtaken(self: Watched) -> Signature:
        seen = look(self)
        write(file, b"own, and longer")
        watch.settle("pair", look(self))
        return seen

    monkeypatch.setattr(Watched, "look", overtaken)
    await watch._compare()
    monkeypatch.setattr(Watched, "look", look)
    await watch._compare()

    assert heard.times == 0


async def test_empty_log_of_a_reader_is_no_change(file: Path) -> None:
    """SQLite makes an empty write-ahead log for whoever only reads."""
    watch = Watch()
    log = file.with_name("records-wal")
    heard = await watched(watch, file, log)
    log.touch()

    await watch._compare()

    assert heard.times == 0


def test_file_in_what_is_no_directory_looks_as_if_it_were_not_there(tmp_path: Path) -> None:
    """A look never fails, whatever has become of the place."""
    place = tmp_path / "place"
    place.touch()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    assert watching.look([place / "records", loop, tmp_path / ("x" * 300)]) == (None, None, None)


async def test_file_beside_with_a_name_that_is_not_unicode_ends_nothing(file: Path) -> None:
    """Anybody may make one, and the kernel tells of it, too."""
    watch = Watch()
    heard = await watched(watch, file)
    async with running(watch):
        write(file, b"y")
        await heard.news()
        (file.parent / os.fsdecode("thèse".encode("latin-1"))).touch()
        write(file, b"zz")
        await heard.news()


def test_error_that_is_not_of_the_watch_is_not_hidden() -> None:
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
