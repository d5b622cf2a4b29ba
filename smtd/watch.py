"""Notice that files changed: by the kernel's word where it gives one, else by looking.

An event is a hint, and only makes us look; what counts is how the files look. Writes by memory map
(gdbm) and those of other machines raise none: so everything is looked at every second, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread
from watchfiles import awatch

from smtd.filestat import Signature, is_young, ripe_in, signature
from smtd.text import encodable

#: Seconds between two looks at all files.
POLL = 1.0
#: Milliseconds for which the kernel's events are gathered, and between two looks at them. A shorter step
#: costs a daemon at rest more, and makes nothing sooner: files must settle for longer than that.
_GATHERED, _STEP = 50, 50
#: Milliseconds after which the thread that waits for events returns without one.
_RETURN = 60_000


@dataclass(slots=True)
class Watched:
    """Files that belong together, how they looked when *changed* was last called or all was well."""

    paths: tuple[Path, ...]
    changed: Callable[[], None]
    seen: Signature | None = None
    #: What was seen last was looked into while it was young: it may have changed since and look the same.
    young: bool = False
    #: The directories of the files.
    directories: Collection[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.directories = {path.parent for path in self.paths}

    def look(self) -> Signature:
        """Return how the files look now. Blocks."""
        return look(self.paths)


def look(paths: Iterable[Path]) -> Signature:
    """Return how files look; one that is empty or out of reach looks as if it were not there. Blocks.

    SQLite makes an empty write-ahead log even for a reader.
    """
    return tuple(_look(path) for path in paths)


def _look(path: Path) -> tuple[int, ...] | None:
    try:
        (found,) = signature([path])
    except OSError:
        return None  # its directory is locked, or is none any more: the next cycle says what is wrong
    return None if found is None or found[2] == 0 else found


class Watch:
    """Calls back when watched files look different from the last look."""

    def __init__(self) -> None:
        self._watched: dict[Hashable, Watched] = {}
        self._again = anyio.Event()

    def put(self, name: Hashable, paths: Iterable[Path], changed: Callable[[], None]) -> None:
        """Watch *paths* under *name* from now on, in place of those that it had."""
        files = tuple(paths)
        held = self._watched.get(name)
        if held is None or held.paths != files:
            self._watched[name] = Watched(files, changed)
            self._again.set()

    def remove(self, name: Hashable) -> None:
        """Watch nothing under *name* any more."""
        if self._watched.pop(name, None) is not None:
            self._again.set()

    async def look(self, name: Hashable) -> Signature:
        """Return how the files of *name* look now."""
        return await to_thread.run_sync(self._watched[name].look)

    def settle(self, name: Hashable, seen: Signature, since: float | None = None) -> None:
        """Take it that *seen* is known of *name*: it is called when its files look different.

        What they hold was read from the moment *since* on, by the monotonic clock (None: now). If they were
        young then, it is called once more when they no longer are.
        """
        watched = self._watched[name]
        watched.seen, watched.young = seen, is_young(seen, since)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._poll)
            group.start_soon(self._listen)

    async def _poll(self) -> None:
        while True:
            await self._compare()
            young = [each.seen for each in self._watched.values() if each.young and each.seen is not None]
            await anyio.sleep(min([POLL, *(max(0.05, ripe_in(seen)) for seen in young)]))

    async def _listen(self) -> None:
        """Let the kernel tell of changes in the nearest directories that are there."""
        while True:
            self._again = anyio.Event()
            directories = await to_thread.run_sync(self._directories)
            stop = anyio.Event()
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._until_other, directories, scope)
                    group.start_soon(_set_when_cancelled, stop)
                    # Names that are not Unicode cannot be followed: looking will do.
                    followed = [path for path, *_ in directories if encodable(path) == path]
                    if followed:
                        await self._follow(followed, stop)
                    await anyio.sleep_forever()

    async def _follow(self, directories: list[str], stop: anyio.Event) -> None:
        """Compare at each event; return if there can be none: looking will do.

        A thread waits for the events. It cannot be cancelled: it ends within a step when *stop* is set.
        """
        while True:
            try:
                async for _ in awatch(
                    *directories,
                    watch_filter=None,
                    debounce=_GATHERED,
                    step=_STEP,
                    rust_timeout=_RETURN,
                    stop_event=stop,
                    recursive=False,
                    ignore_permission_denied=True,
                ):
                    await self._compare()
            except (OSError, RuntimeError):
                return  # a directory is gone, or there are more than the kernel watches
            except Exception as exc:
                # An event that cannot be read: of a file, anybody's, whose name is not Unicode.
                if not _is_of_watching(exc):
                    raise
            await anyio.sleep(POLL)

    async def _until_other(self, directories: list[tuple[str, int, int]], scope: anyio.CancelScope) -> None:
        """End *scope* when there are other directories to follow."""
        while True:
            with anyio.move_on_after(POLL):
                await self._again.wait()
            if self._again.is_set() or await to_thread.run_sync(self._directories) != directories:
                scope.cancel()
                return

    def _directories(self) -> list[tuple[str, int, int]]:
        """Return the directories of all files, or of those that are missing the nearest above; each
        with what tells it from another one of that name."""
        found = {}
        for directory in set[Path]().union(
            *(watched.directories for watched in list(self._watched.values()))
        ):
            for parent in (directory, *directory.parents):
                try:
                    state = os.stat(parent)
                except OSError:
                    continue
                found[str(parent)] = (state.st_dev, state.st_ino)
                break
        return sorted((name, *state) for name, state in found.items())

    async def _compare(self) -> None:
        known = [(each, each.seen) for each in self._watched.values()]
        looks = await to_thread.run_sync(lambda: [each.look() for each, _ in known])
        for (each, before), seen in zip(known, looks, strict=True):
            # A look or `settle` in the meantime is later than this look.
            if each.seen is not before or (seen == before and not (each.young and not is_young(seen))):
                continue
            each.seen, each.young = seen, is_young(seen)
            if before is not None:
                each.changed()


async def _set_when_cancelled(stop: anyio.Event) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()


def _is_of_watching(exc: BaseException) -> bool:
    """Say whether *exc* is an error of the watch, alone or in a group: nothing else is to be hidden."""
    inner = getattr(exc, "exceptions", None)
    return isinstance(exc, OSError | RuntimeError) if inner is None else all(map(_is_of_watching, inner))
