"""An event that may happen again and again, for tasks that must not miss one."""

from __future__ import annotations

import anyio


class Alarm:
    """Wakes the tasks that wait for it, also if it rang between their last look and their wait."""

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
