"""Whether a store of a pair may have changed since the last cycle."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto


class ChangeSource(Enum):
    """What a watcher saw: files that look different, or a store that itself reported a change."""

    FILES = auto()
    REPORT = auto()


class DirtyFlag:
    """Set by watchers, taken by cycles; all times are of *clock*, and *wake* is called when it is set.

    While a job runs, its own writes change the files and raise reports. So the flag is held meanwhile: what
    watchers see is only remembered as *touched*. A cycle that ended well releases one source after the other,
    each once its own writes can no longer be what a watcher sees, and compares the stores itself.
    """

    def __init__(self, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._held: set[ChangeSource] = set()
        self._reported_at = self._written_at = float("-inf")
        #: When a watcher saw the last change while no job ran.
        self.noticed_at = float("-inf")
        #: When the first change was seen that no cycle has carried (None: there is none).
        self.since: float | None = None
        #: When the first change was seen since the last cycle began; after one that failed, none is.
        self.marked_at: float | None = None
        #: A watcher saw something while the flag was held.
        self.touched = False

    @property
    def last_write(self) -> float:
        """When a store was last written to, as far as `observe` and reports tell."""
        return max(self._written_at, self._reported_at)

    def observe(self, age: float) -> None:
        """Note that the files were last written to *age* seconds ago.

        A file from the future tells nothing: its clock is wrong.
        """
        self._written_at = self._clock() - age if age >= 0 else float("-inf")

    def notice(self, source: ChangeSource) -> None:
        """A watcher saw a change."""
        if source is ChangeSource.REPORT:
            self._reported_at = self._clock()
        if source in self._held:
            self.touched = True
        else:
            self.noticed_at = self._clock()
            self.mark()

    def mark(self) -> None:
        """Set the flag: there is a change that no cycle has seen."""
        now = self._clock()
        self.since = now if self.since is None else self.since
        self.marked_at = now if self.marked_at is None else self.marked_at
        self._wake()

    def hold(self) -> None:
        """A job begins that may write."""
        self._held = {*ChangeSource}
        self.touched = False

    def release(self, *sources: ChangeSource) -> None:
        """From now on what *sources* see is not the job's own write."""
        self._held.difference_update(sources)

    def take(self) -> float | None:
        """A cycle begins that will see all changes so far: clear the flag, and return `since`."""
        since, self.since, self.marked_at = self.since, None, None
        return since

    def restore(self, since: float | None) -> None:
        """The cycle failed: what it took is not carried, and does not ask for a cycle before one is due."""
        self.since = self.since if since is None else since
