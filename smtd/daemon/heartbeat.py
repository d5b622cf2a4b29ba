"""Report good cycles to a monitor, so that it can notice when there are none."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from smtd.daemon.delivery import Undelivered

log = logging.getLogger("smtd")

#: The least number of seconds between two heartbeats; all good cycles in between make one.
INTERVAL = 10.0


class Heartbeat:
    """Beats after good cycles, while `run` is running."""

    def __init__(self) -> None:
        self._due = anyio.Event()

    def beat(self) -> None:
        """Report a good cycle."""
        self._due.set()

    async def run(self, send: Callable[[], Awaitable[None]]) -> None:
        """Call *send* after good cycles, until cancelled."""
        failing = False
        while True:
            await self._due.wait()
            await checkpoint_if_cancelled()  # send nothing more to an address that was removed
            self._due = anyio.Event()
            began = anyio.current_time()
            try:
                await send()
            except Undelivered as exc:
                if not failing:
                    log.warning("the heartbeat of [notify] fails: %s", exc)
                failing = True
            else:
                if failing:
                    log.info("the heartbeat of [notify] works again")
                failing = False
            await anyio.sleep_until(began + INTERVAL)
