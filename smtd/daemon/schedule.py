"""When the next cycle of a pair is due. Synchronous: nothing here waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from smtd.backoff import pauses
from smtd.daemon.dirty import DirtyFlag
from smtd.errors import SmtdError, StoreBusy

#: Seconds between two cycles of a pair whose files are watched, for changes that the watch misses.
FALLBACK_POLL = 300.0
#: The same if a server has to be asked, which announces its changes: an hour at least, whatever the jitter.
FOLLOWED_POLL = 4000.0
#: Seconds until a failed cycle is tried again: the first and the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: Factors of the poll interval: SPEEDUP after a cycle that moved records; else each cycle multiplies the
#: factor by BACKOFF, up to SLOWEST.
BACKOFF, SLOWEST, SPEEDUP = 1.5, 4.0, 0.25
#: Limits of a random factor of the poll interval, so that pairs do not poll in step.
JITTER = (0.9, 1.1)
#: The same for a store that shows an edit only when the record is read again: two polls fit into two poll
#: intervals.
REREAD_JITTER = (0.88, 0.96)
#: For how many settle times a burst of changes may delay a cycle.
MAX_DEBOUNCE = 10
#: The share of the settle time after which a change is synced, if cycles can tell whether each record is
#: complete.
BY_KEY = 0.5
#: Seconds: in a burst such a pair rests after a cycle for the time that the cycle took beyond this.
LONG = 0.5
#: Seconds that a pair rests after the second cycle in a row that moved nothing while a store could not say
#: that it is unchanged; twice as long after each further one.
IN_VAIN = 0.2


class Schedule:
    """Says when the next cycle of one pair is due; all times are of *clock*, in seconds.

    After a change, a cycle is due when no program has written for *settle* seconds. It is due sooner if
    cycles can tell whether each record is complete, because complete ones need not wait for the end of a
    burst. Without a change, a cycle is due every *poll* seconds: sooner after changes, later in quiet times
    and after each failure, and never in step with other pairs.
    """

    def __init__(self, poll: float, settle: float, clock: Callable[[], float]) -> None:
        self._poll = poll
        self._settle = settle
        self._clock = clock
        self._pauses: Iterator[float] = pauses(FIRST_PAUSE, LONGEST_PAUSE)
        self._interval = 1.0
        self._free_since = clock()
        #: Seconds that the last cycle took (None: it could not tell whether each record is complete).
        self._took: float | None = None
        #: How many cycles in a row have moved nothing.
        self._in_vain = 0
        self.paused = False
        #: When a cycle is due if no store changes.
        self.next_poll = clock()

    def due(self, dirty: DirtyFlag) -> float:
        """Return when the next cycle is due, given the changes seen so far; infinite while paused."""
        if self.paused:
            return float("inf")
        wanted = self.next_poll if dirty.set_at is None else min(self.next_poll, dirty.set_at)
        if dirty.since is None or wanted > self._clock():
            return wanted
        if wanted <= self._free_since and dirty.noticed_at <= self._free_since and self._in_vain > 1:
            # No change was seen since the last cycle, but a store cannot say that it is unchanged.
            return self._free_since + min(self._poll, IN_VAIN * 2.0 ** (min(self._in_vain, 30) - 2))
        if self._took is None:
            latest = max(wanted, self._free_since) + MAX_DEBOUNCE * self._settle
            return min(dirty.last_write + self._settle, latest)
        quiet = BY_KEY * self._settle
        if wanted > self._free_since:
            return min(dirty.last_write, wanted) + quiet
        # The burst continued during the cycle, or the cycle left records that had not settled.
        return min(dirty.last_write + quiet, self._free_since + max(0.0, self._took - LONG))

    def pause(self) -> None:
        """Make no cycle due until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Make a cycle due now, for changes made while the pair was paused."""
        self.paused = False
        self.next_poll = self._free_since = self._clock()

    def succeeded(
        self,
        *,
        moved: bool,
        watched: bool,
        followed: bool = False,
        rereads: bool = False,
        again: float | None = None,
        took: float | None = None,
    ) -> None:
        """Set the next poll after a successful cycle; *moved*: it moved records.

        *watched*: a watch notices changes of both stores. *followed*: a server announces some of them.
        *rereads*: a store shows an edit only when its record is read again, so quiet times do not slow down
        the polls. *again*: seconds after which there is something to do even without a change. *took*:
        seconds that the cycle took, if it could tell whether each record is complete; a burst of changes then
        hardly delays the next cycle.
        """
        self._took = None if took is None else min(took, LONG + MAX_DEBOUNCE * self._settle)
        self._in_vain = 0 if moved else self._in_vain + 1
        self._pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE)
        slowest = 1.0 if rereads else SLOWEST
        self._interval = SPEEDUP if moved else min(slowest, max(1.0, self._interval * BACKOFF))
        fallback = FOLLOWED_POLL if followed else FALLBACK_POLL
        wait = max(fallback, self._poll) if watched else self._poll * self._interval
        wait *= random.uniform(*(REREAD_JITTER if rereads else JITTER))
        if again is not None:
            wait = min(wait, max(FIRST_PAUSE, again))
        self._wait(wait)

    def failed(self, exc: SmtdError, *, touched: bool) -> None:
        """Set the next poll after a failed cycle: later each time, and not before a busy store asks for it.

        *touched*: a change was seen during the cycle, which may have removed the cause: retry soon.
        """
        wait = FIRST_PAUSE if touched else next(self._pauses)
        if isinstance(exc, StoreBusy) and exc.retry_after is not None:
            wait = max(wait, exc.retry_after)
        self._wait(wait)

    def _wait(self, seconds: float) -> None:
        self._free_since = self._clock()
        self.next_poll = self._free_since + seconds
