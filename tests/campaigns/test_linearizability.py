"""Histories of one record that are linearizable, and such as are not."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest

from campaigns.registers.linearizability import violation
from campaigns.registers.operation import Effect, Operation, Value, none_of, one_of


def read(value: Value) -> Effect:
    return Effect(one_of(value))


def write(value: Value) -> Effect:
    return Effect(writes=(value,))


def swap(expected: Value, value: Value) -> Effect:
    return Effect(one_of(expected), (value,))


def refused(expected: Value) -> Effect:
    return Effect(none_of(expected))


def history(*operations: tuple[float, float, Effect]) -> list[Operation]:
    return [
        Operation("somebody", str(effect), effect, called, returned)
        for called, returned, effect in operations
    ]


@pytest.mark.parametrize(
    "operations",
    [
        [(0, 1, write("a")), (2, 3, read("a"))],
        [(0, 9, write("a")), (1, 2, read(None)), (3, 4, read("a"))],
        [(0, 9, write("a")), (1, 2, read("a")), (3, 4, read("a"))],
        [(0, 9, swap(None, "a")), (0, 9, refused(None)), (1, 2, read(None))],
        [(0, 1, write("a")), (2, 9, swap("a", "b")), (2, 9, swap("b", "c")), (10, 11, read("c"))],
        [(0, math.inf, write("a")), (1, 2, read(None)), (3, 4, read(None))],
        [(0, math.inf, write("a")), (1, 2, read(None)), (3, 4, write("b")), (5, 6, read("a"))],
        [(0, math.inf, swap(None, "a")), (1, 2, refused(None))],
        [(0, 1, write("a")), (2, 3, write(None)), (4, 5, swap(None, "b"))],
        [(0, 3, write("a")), (0, 3, write("b")), (4, 5, read("a")), (4, 5, read("a"))],
    ],
    ids=[
        "a read after a write",
        "a write that is on its way is not yet seen, then seen",
        "a write that is on its way is seen by all from then on",
        "one of two who make a record is refused",
        "two swaps in the only order that fits",
        "a write without an answer that was not done",
        "a write without an answer that comes late, after another",
        "a swap without an answer explains a refusal",
        "a record is deleted and made again",
        "either of two writes at once is the last",
    ],
)
def test_history_that_is_right(operations: list[tuple[float, float, Effect]]) -> None:
    """An order explains all answers."""
    assert violation(history(*operations), None) is None


@pytest.mark.parametrize(
    "operations",
    [
        [(0, 1, write("a")), (2, 3, write("b")), (4, 5, read("a"))],
        [(0, 1, write("a")), (2, 9, write("b")), (3, 4, read("b")), (5, 6, read("a"))],
        [(0, 1, write("a")), (2, 5, swap("a", "b")), (2, 5, swap("a", "c"))],
        [(0, 1, swap(None, "a")), (2, 3, swap("a", "b")), (4, 5, swap("a", "c")), (6, 7, read("c"))],
        [(0, 1, write("a")), (2, 3, read(None))],
        [(0, 1, read("a")), (2, 3, write("a"))],
        [(0, 1, write("a")), (2, 3, refused("a"))],
        [(0, 1, write("a")), (2, 3, write(None)), (4, 5, read("a"))],
        [(0, math.inf, write("a")), (1, 2, read("a")), (3, 4, read(None))],
        [
            (0, math.inf, write("a")),
            (1, 2, read("a")),
            (3, 4, write("b")),
            (5, 6, read("b")),
            (7, 8, read("a")),
        ],
        [(0, math.inf, swap("b", "a")), (1, 2, read("a"))],
        [(0, 3, write("a")), (0, 3, write("b")), (4, 5, read("a")), (6, 7, read("b"))],
    ],
    ids=[
        "a stale read",
        "a read of an older state than another has read",
        "two winners of a compare-and-swap",
        "a lost update",
        "an acknowledged write that nobody sees",
        "a read of what nobody has written yet",
        "a refusal without a reason",
        "a record that was deleted comes back",
        "a write without an answer that is taken back",
        "a write without an answer that is done twice",
        "a swap without an answer that was done on something else",
        "two orders of the same two writes",
    ],
)
def test_history_that_is_wrong(operations: list[tuple[float, float, Effect]]) -> None:
    """No order does; the operations at which the search ended are named."""
    found = violation(history(*operations), None)

    assert found is not None
    assert found.next != ()
    assert "none of these fits: " in str(found)


def test_search_agrees_with_the_trial_of_every_order() -> None:
    """For small histories of all sorts, right and wrong."""
    verdicts = [_verdicts(Random(number)) for number in range(600)]

    assert [number for number, (one, other) in enumerate(verdicts) if one is not other] == []
    assert 100 < sum(right for right, _ in verdicts) < 500


def _verdicts(chance: Random) -> tuple[bool, bool]:
    effects = [
        *map(read, (None, "a", "b")),
        write("a"),
        write("b"),
        write(None),
        swap("a", "b"),
        refused("a"),
    ]
    drawn = []
    for _ in range(5):
        called = chance.uniform(0, 4)
        returned = math.inf if chance.random() < 0.35 else called + chance.uniform(0, 3)
        drawn.append((called, returned, chance.choice(effects)))
    operations = history(*drawn)
    return violation(operations, None) is None, _any_order_fits(operations)


def _any_order_fits(operations: list[Operation]) -> bool:
    certain = [each for each in operations if each.is_certain]
    uncertain = [each for each in operations if not each.is_certain]
    return any(
        _fits(order)
        for count in range(len(uncertain) + 1)
        for some in itertools.combinations(uncertain, count)
        for order in itertools.permutations([*certain, *some])
    )


def _fits(order: tuple[Operation, ...]) -> bool:
    value: Value = None
    for number, each in enumerate(order):
        if any(later.returned < each.called for later in order[number:]):
            return False
        if not each.effect.condition.holds(value):
            return False
        value = each.effect.writes[0] if each.effect.writes else value
    return True


def test_long_history_is_decided_in_time() -> None:
    """Of many clients at once, with a write without an answer now and then: the search remembers."""
    chance, operations, value, moment = Random(5), list[Operation](), None, 0.0
    for number in range(2000):
        moment += 1.0
        word = f"word{number}"
        early, late = moment - chance.uniform(0, 6), moment + chance.uniform(0, 6)
        if number % 100 == 0:
            operations.append(Operation("somebody", word, write(word), early))
        elif chance.random() < 0.5:
            operations.append(Operation("somebody", word, swap(value, word), early, late))
            value = word
        else:
            operations.append(Operation("somebody", "read", read(value), early, late))

    assert violation(operations, None) is None
    operations[-1] = Operation("somebody", "read", read("word2"), moment, moment + 1)
    assert violation(operations, None) is not None
