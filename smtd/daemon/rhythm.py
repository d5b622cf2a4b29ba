"""When the next cycle of a pair is due, if nobody asks for one before."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from smtd.backoff import pauses
from smtd.errors import SmtdError, StoreBusy

#: Seconds between two cycles of stores that tell of their changes, and between two tries to reach a
#: store: the first and the longest pause.
SAFETY, FIRST_PAUSE, LONGEST_PAUSE = 300.0, 1.0, 300.0
#: How much a poll is slowed down when nothing changes, and sped up when something did.
SLOWER, SLOWEST, FASTER = 1.5, 4.0, 0.25


class Rhythm:
    """Polls every *poll* seconds, faster after changes, slower in quiet times, and never in step with others.

    *due* is a moment of *clock*, in seconds.
    """

    def __init__(self, poll: float, clock: Callable[[], float]) -> None:
        self._poll = poll
        self._clock = clock
        self._pauses: Iterator[float] = pauses(FIRST_PAUSE, LONGEST_PAUSE)
        self._slowness = 1.0
        self.due = clock()

    def at_once(self) -> None:
        """Be due now."""
        self.due = self._clock()

    def succeeded(self, *, moved: bool, watched: bool, again: float | None = None) -> None:
        """A cycle ended well; it *moved* records or not, and changes of both stores are *watched* or not.

        *again*: the seconds after which there is something to do though nobody changes anything.
        """
        self._pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE)
        self._slowness = FASTER if moved else min(SLOWEST, max(1.0, self._slowness * SLOWER))
        interval = max(SAFETY, self._poll) if watched else self._poll * self._slowness
        interval *= random.uniform(0.9, 1.1)
        if again is not None:
            interval = min(interval, max(FIRST_PAUSE, again))
        self.due = self._clock() + interval

    def failed(self, exc: SmtdError, *, touched: bool) -> None:
        """A cycle failed: wait longer each time, and at least as long as the store asks for.

        *touched*: something happened to the stores meanwhile, which may have mended it.
        """
        pause = FIRST_PAUSE if touched else next(self._pauses)
        if isinstance(exc, StoreBusy) and exc.retry_after is not None:
            pause = max(pause, exc.retry_after)
        self.due = self._clock() + pause
