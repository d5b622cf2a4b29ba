"""Notice that the machine was asleep: its timers stood still, and its connections may be dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds between two checks of the clocks, and seconds of sleep that count.
CHECK_PERIOD, ASLEEP = 5.0, 10.0


@contextmanager
def waking(call: Callable[[], object]) -> Iterator[None]:
    """Call *call* whenever the machine has been asleep, for the length of a `with` block.

    The time of day goes on during a sleep, and the clock of timers does not. A person who sets the time of
    day forward looks the same, so *call* must do no harm then.
    """
    loop = asyncio.get_running_loop()
    ahead = time.time() - loop.time()

    timer: asyncio.TimerHandle

    def check() -> None:
        nonlocal ahead, timer
        before, ahead = ahead, time.time() - loop.time()
        timer = loop.call_later(CHECK_PERIOD, check)
        if ahead - before > ASLEEP:
            call()

    timer = loop.call_later(CHECK_PERIOD, check)
    try:
        yield
    finally:
        timer.cancel()
