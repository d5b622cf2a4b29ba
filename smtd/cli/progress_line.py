"""The progress of what a command waits for: one line on a terminal, drawn in place. No slow imports."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from smtd.cli import streams
from smtd.output.counts import plural
from smtd.output.layout import columns, wrapped
from smtd.output.rate import Rate
from smtd.output.waited_for import waited_for
from smtd.text import shown

#: The states in which a pair counts steps.
_COUNTING = ("scanning", "applying", "proving")


class ProgressLine:
    """Shows the progress of pairs on a terminal's standard error, and nothing elsewhere."""

    def __init__(self) -> None:
        self._rates: dict[str, Rate] = {}
        self._sum = Rate()
        self._is_drawn = False

    def show(self, pairs: Sequence[dict[str, Any]]) -> None:
        """Draw the progress of *pairs* in place of the last one."""
        if sys.stderr.isatty():
            width = streams.terminal_size(2).columns - 1
            print(f"\r\033[K{self.line(pairs, width, time.monotonic())}", end="", file=sys.stderr, flush=True)
            self._is_drawn = True

    def clear(self) -> None:
        """Remove what was drawn."""
        if self._is_drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._is_drawn = False

    def line(self, pairs: Sequence[dict[str, Any]], width: int, now: float) -> str:
        """Return the progress of *pairs* in *width* columns, with their sum if there are too many."""
        each = [self._progress(pair, now) for pair in pairs]
        line = "  ".join(shown(f"{pair['pair']}: {text}") for pair, text in zip(pairs, each, strict=True))
        if columns(line) <= width:
            return line
        if len(pairs) > 1:
            line = self._summary(pairs, now)
        return wrapped(line, width)[0]

    def _progress(self, pair: dict[str, Any], now: float) -> str:
        rate = self._rates.setdefault(pair["pair"], Rate())
        text = f"{pair['state']} {_counted(rate, str(pair['state']), [pair], now)}".rstrip()
        return f"{text}, {waits}" if (waits := waited_for(pair)) else text

    def _summary(self, pairs: Sequence[dict[str, Any]], now: float) -> str:
        at_work = [pair for pair in pairs if pair["state"] in _COUNTING]
        text = f"{len(at_work):,} of {plural(len(pairs), 'pair')} at work"
        counts = _counted(self._sum, "all", at_work, now)
        return f"{text}: {counts}" if counts else text


@contextmanager
def working_on(name: str) -> Iterator[None]:
    """Show *name* on a terminal during a `with` block: a server that is silent takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    print(f"\r\033[Kchecking {shown(name)} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _counted(rate: Rate, phase: str, pairs: Sequence[dict[str, Any]], now: float) -> str:
    """Return the counts of *pairs* that count steps, with their *rate*; empty if there are none."""
    counting = [pair for pair in pairs if pair["state"] in _COUNTING and pair["pending"] is not None]
    total = sum(pair["total"] for pair in counting)
    return rate.text(phase, total - sum(pair["pending"] for pair in counting) if total else 0, total, now)
