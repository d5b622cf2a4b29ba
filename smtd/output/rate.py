"""How fast something proceeds: counts, a rate, and an estimate of the rest. Pure; no slow imports."""

from __future__ import annotations

from collections import deque

from smtd.output.counts import duration

#: Seconds over which the rate is measured, and before there is one.
WINDOW, ENOUGH = 15.0, 1.0


class Rate:
    """The rate of one task: call `text` with each report, at a *now* in seconds that never goes back."""

    def __init__(self) -> None:
        self._phase = ""
        self._seen: deque[tuple[float, int]] = deque()

    def text(self, phase: str, done: int, total: int, now: float) -> str:
        """Return such as `1,200/5,000, 340/s, 11 s left`; empty while *total* is not known (0).

        A new *phase*, or fewer *done* than before, begins anew. There is no rate before a second has passed,
        and no estimate while nothing moves.
        """
        if phase != self._phase or (self._seen and done < self._seen[-1][1]):
            self._phase = phase
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW:
            self._seen.popleft()
        if not total:
            return ""
        parts = [f"{done:,}/{total:,}"]
        began, first = self._seen[0]
        if now - began >= ENOUGH and done > first:
            rate = (done - first) / (now - began)
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
            if done < total:
                parts.append(f"{duration((total - done) / rate)} left")
        return ", ".join(parts)
