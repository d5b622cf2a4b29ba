"""When the next cycle of a pair is due. Synchronous; nothing here waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from smtd.backoff import pauses
from smtd.daemon.dirty import DirtyFlag
from smtd.errors import SmtdError, StoreBusy

#: Seconds between two cycles of a pair whose files are watched: for what a watch may miss.
FALLBACK_POLL = 300.0
#: Seconds until a failed cycle is tried again: the first and the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: Factors of the poll interval: BACKOFF for each cycle without changes, up to SLOWEST; SPEEDUP after one.
BACKOFF, SLOWEST, SPEEDUP = 1.5, 4.0, 0.25
#: Factors of the poll interval, drawn between them: so pairs do not poll in step.
JITTER = (0.9, 1.1)
#: The same where records must be read again to show an edit: two intervals have room for two looks.
REREAD_JITTER = (0.88, 0.96)
#: For how many settle times a burst of changes may put a cycle off.
MAX_DEBOUNCE = 10
#: Where cycles tell of each record whether it is whole: after so much of the settle time a change is carried.
BY_KEY = 0.5
#: Seconds: in a burst such a pair rests after a cycle for as long as that took longer.
LONG = 0.5
#: Seconds that a pair rests after the second cycle in a row that moved nothing and left its stores looking
#: changed; twice as long after each further one.
IN_VAIN = 0.2


class Schedule:
    """Says when the next cycle of one pair is due; all moments are of *clock*, in seconds.

    After a change: when nobody has written for *settle* seconds; sooner where cycles tell of each record
    whether it is whole, as then nothing else has to wait for the end of a burst. Else: every *poll* seconds,
    faster after changes, slower in quiet times, later after each failure, and never in step with other pairs.
    """

    def __init__(self, poll: float, settle: float, clock: Callable[[], float]) -> None:
        self._poll = poll
        self._settle = settle
        self._clock = clock
        self._pauses: Iterator[float] = pauses(FIRST_PAUSE, LONGEST_PAUSE)
        self._interval = 1.0
        self._free_since = clock()
        #: Seconds that the last cycle took, if it told of each record whether that is whole.
        self._took: float | None = None
        #: How many cycles in a row have moved nothing.
        self._in_vain = 0
        self.paused = False
        #: When a cycle is due if no store changes.
        self.next_poll = clock()

    def due(self, dirty: DirtyFlag) -> float:
        """Return when the next cycle is due, given what is known of changes now; infinite while paused."""
        if self.paused:
            return float("inf")
        wanted = self.next_poll if dirty.marked_at is None else min(self.next_poll, dirty.marked_at)
        if dirty.since is None or wanted > self._clock():
            return wanted
        if wanted <= self._free_since and dirty.noticed_at <= self._free_since and self._in_vain > 1:
            # Nothing has happened since the last cycle, but a store cannot tell that.
            return self._free_since + min(self._poll, IN_VAIN * 2.0 ** (min(self._in_vain, 30) - 2))
        if self._took is None:
            latest = max(wanted, self._free_since) + MAX_DEBOUNCE * self._settle
            return min(dirty.last_write + self._settle, latest)
        quiet = BY_KEY * self._settle
        if wanted > self._free_since:
            return min(dirty.last_write, wanted) + quiet
        # The burst went on during the cycle, or it left what had not settled.
        return min(dirty.last_write + quiet, self._free_since + max(0.0, self._took - LONG))

    def pause(self) -> None:
        """Let no cycle be due."""
        self.paused = True

    def resume(self) -> None:
        """Let a cycle be due now, for what happened while the pair was paused."""
        self.paused = False
        self.next_poll = self._free_since = self._clock()

    def succeeded(
        self,
        *,
        moved: bool,
        watched: bool,
        rereads: bool = False,
        again: float | None = None,
        took: float | None = None,
    ) -> None:
        """A cycle ended well; it *moved* records or not, and changes of both stores are *watched* or not.

        *rereads*: a store shows an edit only when its record is read again. It is polled no more slowly then.
        *again*: the seconds after which there is something to do though nobody changes anything. *took*: the
        seconds that it took, if it told of each record whether that is whole: a burst of changes hardly puts
        off the next one.
        """
        self._took = None if took is None else min(took, LONG + MAX_DEBOUNCE * self._settle)
        self._in_vain = 0 if moved else self._in_vain + 1
        self._pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE)
        slowest = 1.0 if rereads else SLOWEST
        self._interval = SPEEDUP if moved else min(slowest, max(1.0, self._interval * BACKOFF))
        wait = max(FALLBACK_POLL, self._poll) if watched else self._poll * self._interval
        wait *= random.uniform(*(REREAD_JITTER if rereads else JITTER))
        if again is not None:
            wait = min(wait, max(FIRST_PAUSE, again))
        self._wait(wait)

    def failed(self, exc: SmtdError, *, touched: bool) -> None:
        """A cycle failed: wait longer each time, and at least as long as the store asks for.

        *touched*: something happened to the stores meanwhile, which may have removed the cause.
        """
        wait = FIRST_PAUSE if touched else next(self._pauses)
        if isinstance(exc, StoreBusy) and exc.retry_after is not None:
            wait = max(wait, exc.retry_after)
        self._wait(wait)

    def _wait(self, seconds: float) -> None:
        self._free_since = self._clock()
        self.next_poll = self._free_since + seconds
