"""Is a history of one record linearizable: can each operation have happened at one moment of its own?

The moment is between call and return. The search is that of Wing and Gong, with the memory of Lowe: it tries
the operations that can come next, and never twice from the same value with the same operations done. A record
is judged alone, as linearizability is a local property: a history is linearizable if that of each record is.
No I/O.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from campaigns.registers.operation import Condition, Operation, Value


class Stuck(NamedTuple):
    """The longest order of *done* operations that fits: then *value* is there, and none of *next* fits."""

    done: int
    value: Value
    next: tuple[Operation, ...]

    def __str__(self) -> str:
        operations = "; ".join(map(str, self.next))
        return f"after {self.done} operations the record holds {self.value}; none of these fits: {operations}"


def violation(history: Sequence[Operation], initial: Value) -> Stuck | None:
    """Return None if *history* of a record that held *initial* is linearizable, else how far it is."""
    return _Search(history).run(initial)


class _Search:
    """Operations that were done are bits of a number: certain ones first, by the time of their calls."""

    def __init__(self, history: Sequence[Operation]) -> None:
        ordered = sorted(history, key=lambda each: each.called)
        self._certain = [each for each in ordered if each.is_certain]
        self._uncertain = [each for each in ordered if not each.is_certain and each.effect.writes]
        self._all = (1 << len(self._certain)) - 1
        self._first = self._earlier_alike()

    def _earlier_alike(self) -> list[int]:
        """Return for each uncertain operation the bits of those that are to be tried before it.

        If no client reads what several of them write, and they have the same condition, one is as good as
        the other, and the earliest can be tried first. Else each subset of them would be tried.
        """
        named = Counter(
            value
            for each in [*self._certain, *self._uncertain]
            for value in {*each.effect.condition.values, *each.effect.writes}
        )
        found, earlier = [], dict[Condition, int]()
        for number, each in enumerate(self._uncertain, len(self._certain)):
            is_named = named[each.effect.writes[0]] > 1
            before = 0 if is_named else earlier.get(each.effect.condition, 0)
            found.append(before)
            if not is_named:
                earlier[each.effect.condition] = before | 1 << number
        return found

    def run(self, initial: Value) -> Stuck | None:
        stack, seen = [(0, initial)], set[tuple[int, Value]]()
        longest = Stuck(-1, initial, ())
        while stack:
            done, value = stack.pop()
            done = self._with_reads(done, value)
            if done & self._all == self._all:
                return None
            if (done, value) in seen:
                continue
            seen.add((done, value))
            following = list(self._following(done))
            if (count := (done & self._all).bit_count()) > longest.done:
                longest = Stuck(count, value, tuple(each for _, each in following if each.is_certain))
            # What comes last on the stack is tried first: the operation that returned first.
            following.sort(key=lambda each: -each[1].returned)
            for bit, each in following:
                if each.effect.writes and each.effect.condition.holds(value):
                    stack.append((done | bit, each.effect.writes[0]))
        return longest

    def _with_reads(self, done: int, value: Value) -> int:
        """Return *done* and all that may come next, fits and writes nothing: to do it now hinders nothing."""
        while True:
            reads = sum(
                bit
                for bit, each in self._following(done)
                if not each.effect.writes and each.effect.condition.holds(value)
            )
            if not reads:
                return done
            done |= reads

    def _following(self, done: int) -> Iterator[tuple[int, Operation]]:
        """Yield what may come next: what was called before anything that is not *done* had returned."""
        horizon = math.inf
        first = (~done & (done + 1)).bit_length() - 1
        for number in range(first, len(self._certain)):
            each = self._certain[number]
            if each.called > horizon:
                break
            if not done >> number & 1:
                horizon = min(horizon, each.returned)
                yield 1 << number, each
        for number, (each, first) in enumerate(
            zip(self._uncertain, self._first, strict=True), len(self._certain)
        ):
            if each.called <= horizon and not done >> number & 1 and first & ~done == 0:
                yield 1 << number, each
