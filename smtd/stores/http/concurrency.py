"""How many requests are under way at once: no more than make a server do more in the same time."""

from __future__ import annotations

import anyio

#: Requests at once at the most, and at the most to a server that was slow or busy; and at the least.
AT_ONCE, AT_ONCE_IF_SLOW, LEAST = 8, 4, 2
#: The rate is that of so many answers; after so many rates all is measured anew, as a server may change.
WINDOW, RENEWED = 24, 40
#: Fewer at once are enough if they are answered at this share of the best rate.
ENOUGH = 0.9


class Concurrency:
    """Who asks the server holds a token of `room`, of which there are as many as help.

    Half as many are tried, and half of those, as long as the server answers as many in the same time: one
    that does one after the other does, one that does many at once, or is far away, does not.
    """

    def __init__(self) -> None:
        self.room = anyio.CapacityLimiter(AT_ONCE)
        self._most = AT_ONCE
        self._rates: dict[int, float] = {}
        self._measured = 0
        self._forget()

    def _forget(self) -> None:
        """Begin to measure at the number that there is now."""
        self._answers, self._seconds = 0, 0.0
        self._last: float | None = None

    def slow_down(self) -> None:
        """Ask less from now on: the server was slow or busy, or could not be reached."""
        self._most = AT_ONCE_IF_SLOW
        self._rates.clear()
        self._use(min(int(self.room.total_tokens), self._most))

    def answered(self) -> None:
        """Count an answer, if it comes while the room is full; its request still holds its token."""
        now, is_full = anyio.current_time(), self.room.available_tokens <= 0
        if is_full and self._last is not None:
            self._answers += 1
            self._seconds += now - self._last
        self._last = now if is_full else None
        if self._answers >= WINDOW:
            self._choose()

    def _choose(self) -> None:
        if self._measured >= RENEWED:
            self._rates.clear()
            self._measured = 0
            self._use(self._most)
            return
        self._measured += 1
        self._rates[int(self.room.total_tokens)] = self._answers / max(self._seconds, 1e-9)
        self._use(following(self._rates))

    def _use(self, number: int) -> None:
        self.room.total_tokens = number
        self._forget()


def following(rates: dict[int, float]) -> int:
    """Return how many to ask at once, given the rates by number: the fewest that are enough.

    Half of these, if that was not tried.
    """
    best = max(rates.values())
    fewest = min(number for number, rate in rates.items() if rate >= ENOUGH * best)
    half = fewest // 2
    return half if half >= LEAST and half not in rates else fewest
