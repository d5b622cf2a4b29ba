"""Cancel work in the middle without depending on luck: at its first wait, at its second, and so on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from pathlib import Path
from typing import Any

from anyio import CancelScope

from tests.forkserver import shelves


class Interrupted:
    """Awaits *work* and cancels *scope* when it waits for the *step*th time."""

    def __init__(self, work: Coroutine[Any, Any, Any], step: int, scope: CancelScope) -> None:
        self._work = work
        self._step = step
        self._scope = scope
        self.waits = 0

    def __await__(self) -> Generator[Any, None, Any]:
        go_on: Callable[[], Any] = partial(self._work.send, None)
        while True:
            try:
                awaited = go_on()
            except StopIteration as end:
                return end.value
            self.waits += 1
            if self.waits == self._step:
                self._scope.cancel()
            try:
                yield awaited
            except BaseException as exc:  # noqa: BLE001 - it is for *work* to handle
                go_on = partial(self._work.throw, exc)
            else:
                go_on = partial(self._work.send, None)


async def interrupt(work: Coroutine[Any, Any, Any], step: int) -> bool:
    """Cancel *work* at its *step*th wait; say whether it waited that often."""
    with shelves.new_interpreters(), CancelScope() as scope:
        interrupted = Interrupted(work, step, scope)
        await interrupted
    return interrupted.waits >= step


def running() -> set[threading.Thread | str]:
    """Return the current threads and child processes, except threads that anyio keeps for reuse."""
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("AnyIO worker")}
    return threads | {child for task in Path("/proc/self/task").iterdir() for child in _children(task)}


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:  # a thread that has just ended
        return []


def left_behind(before: set[threading.Thread | str]) -> set[threading.Thread | str]:
    """Return what runs now, was not running *before*, and does not end by itself."""
    deadline = time.monotonic() + 2
    for found in running() - before:
        if isinstance(found, threading.Thread):
            found.join(timeout=max(0.0, deadline - time.monotonic()))
    return running() - before
