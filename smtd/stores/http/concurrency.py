"""The number of concurrent requests to a server: no more than increase its throughput."""

from __future__ import annotations

import anyio

#: The most concurrent requests, the most to a server that was slow or busy, and the least.
AT_ONCE, AT_ONCE_IF_SLOW, LEAST = 8, 4, 2
#: The number of answers by which to measure a rate. After how many rates all are measured again, because a
#: server may change.
WINDOW, RENEWED = 24, 40
#: Fewer concurrent requests suffice if their rate is at least this share of the best one.
ENOUGH = 0.9


class Concurrency:
    """Limits the concurrent requests to a server: each holds a token of `room` while it runs.

    The number of tokens is halved, and halved again, while the rate of answers stays the same. It stays so
    with a server that handles one request after the other, but not with one that handles many at once or is
    far away.
    """

    def __init__(self) -> None:
        self.room = anyio.CapacityLimiter(AT_ONCE)
        self._most = AT_ONCE
        self._rates: dict[int, float] = {}
        self._measured = 0
        self._forget()

    def _forget(self) -> None:
        """Start a new measurement, with the current number of tokens."""
        self._answers, self._seconds = 0, 0.0
        self._last: float | None = None

    def slow_down(self) -> None:
        """Send fewer concurrent requests from now on: the server was slow, busy, or could not be reached."""
        self._most = AT_ONCE_IF_SLOW
        self._rates.clear()
        self._use(min(int(self.room.total_tokens), self._most))

    def answered(self) -> None:
        """Count an answer, if all tokens are in use; its request still holds its token."""
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
    """Return the number of concurrent requests, given the rates by number: the fewest that suffice.

    It is half of these if that was not tried yet.
    """
    best = max(rates.values())
    fewest = min(number for number, rate in rates.items() if rate >= ENOUGH * best)
    half = fewest // 2
    return half if half >= LEAST and half not in rates else fewest
