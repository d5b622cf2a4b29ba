"""Notice that files changed: through the kernel's events, and by comparing their status.

An event is only a hint to compare the status; a changed status is what counts. Writes through a memory map
(gdbm), and those of other machines, raise no events. So all files are also compared every second.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread
from watchfiles import awatch

from smtd.filestat import Signature, is_young, seconds_until_old, signature
from smtd.text import encodable

#: Seconds between two comparisons of all files.
POLL = 1.0
#: Seconds between two checks for moved or new directories: until then the comparison finds the changes there.
MOVED_POLL = 5.0
#: Milliseconds for which the kernel's events are gathered, and between two checks for them. A shorter step
#: costs an idle daemon more and gains nothing, since files must settle for longer than that.
_GATHERED, _STEP = 50, 50
#: Milliseconds after which the thread that waits for events returns without one.
_RETURN = 60_000


@dataclass(slots=True)
class Watched:
    """Files that belong together, and their status when they were last reported or acknowledged."""

    paths: tuple[Path, ...]
    changed: Callable[[], None]
    seen: Signature | None = None
    #: The files were read while they were young: they may have changed since without a change of status.
    young: bool = False
    #: The directories of the files.
    directories: Collection[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.directories = {path.parent for path in self.paths}

    def stat(self) -> Signature:
        """Return the current status of the files; an empty or inaccessible one counts as absent. Blocks.

        SQLite creates an empty write-ahead log even for a reader. Why a file is inaccessible, the next cycle
        reports.
        """
        return tuple(None if found is None or found[2] == 0 else found for found in signature(self.paths))


class Watch:
    """Calls back when the status of watched files has changed."""

    def __init__(self) -> None:
        self._watched: dict[Hashable, Watched] = {}
        self._again = anyio.Event()

    def put(self, name: Hashable, paths: Iterable[Path], changed: Callable[[], None]) -> None:
        """Watch *paths* under *name* from now on, instead of the paths that it had."""
        files = tuple(paths)
        held = self._watched.get(name)
        if held is None or held.paths != files:
            self._watched[name] = Watched(files, changed)
            self._again.set()

    def remove(self, name: Hashable) -> None:
        """Stop watching the files of *name*."""
        if self._watched.pop(name, None) is not None:
            self._again.set()

    async def stat(self, name: Hashable) -> Signature:
        """Return the current status of the files of *name*."""
        return await to_thread.run_sync(self.status, name)

    def status(self, name: Hashable) -> Signature:
        """Return the same. Blocks."""
        return self._watched[name].stat()

    def acknowledge(self, name: Hashable, seen: Signature, since: float | None = None) -> None:
        """Call back for *name* only when its files have another status than *seen*.

        The caller began to read the files at *since*, on the monotonic clock (None: now). If they were young
        then, it is called back once more when they no longer are.
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
            await anyio.sleep(min([POLL, *(max(0.05, seconds_until_old(seen)) for seen in young)]))

    async def _listen(self) -> None:
        """Compare the files on the kernel's events for their directories, or the nearest ones that exist."""
        while True:
            self._again = anyio.Event()
            directories = await to_thread.run_sync(self._directories)
            stop = anyio.Event()
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._until_other, directories, scope)
                    group.start_soon(_set_when_cancelled, stop)
                    # The kernel's events cannot be used for names that are not Unicode: the poll covers them.
                    followed = [path for path, *_ in directories if encodable(path) == path]
                    if followed:
                        await self._follow(followed, stop)
                    await anyio.sleep_forever()

    async def _follow(self, directories: list[str], stop: anyio.Event) -> None:
        """Compare at each event; return if the kernel can raise none, since the poll covers that.

        A thread waits for the events. It cannot be cancelled, but ends within a step when *stop* is set.
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
                return  # a directory is gone, or there are more than the kernel can watch
            except Exception as exc:
                # An event that cannot be read: some file in the directory has a name that is not Unicode.
                if not _is_of_watching(exc):
                    raise
            await anyio.sleep(POLL)

    async def _until_other(self, directories: list[tuple[str, int, int]], scope: anyio.CancelScope) -> None:
        """Cancel *scope* when other directories are to be followed than *directories*."""
        while True:
            with anyio.move_on_after(MOVED_POLL):
                await self._again.wait()
            if self._again.is_set() or await to_thread.run_sync(self._directories) != directories:
                scope.cancel()
                return

    def _directories(self) -> list[tuple[str, int, int]]:
        """Return the directory of each file, or the nearest existing one above; with device and inode."""
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
        found = await to_thread.run_sync(lambda: [each.stat() for each, _ in known])
        for (each, before), seen in zip(known, found, strict=True):
            # A comparison or `acknowledge` since then had a later status.
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
    """Say whether *exc* is an error of the watch, alone or in a group: other errors must not be hidden."""
    inner = getattr(exc, "exceptions", None)
    return isinstance(exc, OSError | RuntimeError) if inner is None else all(map(_is_of_watching, inner))
