"""How tasks wait for one another: for an event that repeats, and for a check that serves all who wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from smtd.errors import StoreError


class Alarm:
    """Wakes the tasks that wait for it, also if it rang between their last check and their wait."""

    def __init__(self) -> None:
        #: How often it rang.
        self.rings = 0
        self._event = anyio.Event()

    def ring(self) -> None:
        """Wake all who wait."""
        self.rings += 1
        self._event.set()
        self._event = anyio.Event()

    async def wait(self, rings: int, seconds: float) -> None:
        """Wait until it has rung more than *rings* times, or for *seconds*."""
        if self.rings <= rings:
            with anyio.move_on_after(seconds):
                await self._event.wait()


class Freshness:
    """Runs *check* for its callers: one run serves all who asked before it began."""

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        self._check = check
        self._lock = anyio.Lock()
        #: The numbers of the runs that began and ended last, and the error of the latter.
        self._begun = self._ended = 0
        self._error: StoreError | None = None

    async def check(self) -> None:
        """Return when a run that began after this call has ended. Raises what it raised."""
        wanted = self._begun + 1
        async with self._lock:
            if self._ended >= wanted:
                if self._error is not None:
                    raise self._error
                return
            self._begun += 1
            self._error = None
            try:
                await self._check()
            except StoreError as exc:
                self._error = exc
                self._ended = self._begun
                raise
            self._ended = self._begun
