"""Whether a store of a pair may have changed since the last cycle."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto


class ChangeSource(Enum):
    """What a watcher saw: files with a different status, or a store that reported a change itself."""

    FILES = auto()
    REPORT = auto()


class DirtyFlag:
    """Set by watchers, taken by cycles; all times are of *clock*, and *wake* is called when the flag is set.

    While a job runs, its own writes change the files and cause reports. So all sources are masked during
    a job: what watchers see only sets *touched*. A successful cycle unmasks one source after the other, each
    when watchers can no longer see the cycle's own writes there, and compares the stores itself.
    """

    def __init__(self, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._masked: set[ChangeSource] = set()
        self._reported_at = self._written_at = float("-inf")
        #: When a watcher saw the last change while no job ran.
        self.noticed_at = float("-inf")
        #: When the first change was seen that no cycle has carried (None: there is none).
        self.since: float | None = None
        #: When the first change was seen since the last cycle began (None: none was, or that cycle failed).
        self.set_at: float | None = None
        #: A watcher saw something from a masked source.
        self.touched = False

    @property
    def last_write(self) -> float:
        """When a store was last written to, according to `observe` and reports."""
        return max(self._written_at, self._reported_at)

    def observe(self, age: float) -> None:
        """Record that the files were last written to *age* seconds ago.

        A time in the future is ignored, as it comes from a wrong clock.
        """
        self._written_at = self._clock() - age if age >= 0 else float("-inf")

    def notice(self, source: ChangeSource) -> None:
        """Record that a watcher saw a change."""
        if source is ChangeSource.REPORT:
            self._reported_at = self._clock()
        if source in self._masked:
            self.touched = True
        else:
            self.noticed_at = self._clock()
            self.set()

    def set(self) -> None:
        """Set the flag: there is a change that no cycle has synced."""
        now = self._clock()
        self.since = now if self.since is None else self.since
        self.set_at = now if self.set_at is None else self.set_at
        self._wake()

    def mask(self) -> None:
        """Mask all sources, because a job begins that may write."""
        self._masked = {*ChangeSource}
        self.touched = False

    def unmask(self, *sources: ChangeSource) -> None:
        """Let *sources* set the flag again: they no longer see the job's own writes."""
        self._masked.difference_update(sources)

    def take(self) -> float | None:
        """Clear the flag, and return `since`: a cycle begins that will see all changes so far."""
        since, self.since, self.set_at = self.since, None, None
        return since

    def restore(self, since: float | None) -> None:
        """Restore `since` after a failed cycle, which synced no change; do not ask for another cycle."""
        self.since = self.since if since is None else since
