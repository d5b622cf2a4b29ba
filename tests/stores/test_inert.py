"""Pickles are read as data, and written again unchanged."""

from __future__ import annotations

import copyreg
import pickle
import sys
from collections import OrderedDict
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from smtd.errors import RecordUnusable
from smtd.stores.shelf import inert
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.inert import Inert, Ref
from tests.peers.fixtures import RICH
from tests.stores.places import CORPUS


class Point:
    """A class of this module, which inert pickles only name."""

    def __init__(self, x: Any = 0) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


class Attributed:
    """A base of objects that are equal only with equal attributes."""

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Pairs(Attributed, dict[str, Any]):
    """A dictionary with attributes."""


class Items(Attributed, list[Any]):
    """A list with attributes."""


class Slotted:
    """An object whose state is in slots."""

    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and self.a == other.a

    __hash__ = None  # type: ignore[assignment]


def with_attribute(thing: Any) -> Any:
    thing.note = "é"
    return thing


SHARED: list[Any] = ["shared"]
VALUES = {
    "atoms": [None, True, 1, -(2**70), 1.5, "é\u2028", b"\0\xff", (), [], {}],
    "times": [
        datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
        datetime(2020, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        datetime(2020, 1, 2),
        date(2020, 1, 2),
        time(3, 4),
    ],
    "sets": [{1, "two"}, frozenset({3})],
    "numbers that are not finite": [float("inf"), -0.0, complex(1, 2)],
    "shared": [SHARED, SHARED],
    "classes": [int, str, type(None), Point, OrderedDict],
    "objects": [Point(), Point([Point(1)]), OrderedDict(a=1, b=2)],
    "containers with attributes": [with_attribute(Pairs(a=1)), with_attribute(Items([1, 2]))],
    "function": [copyreg.__newobj__],  # type: ignore[attr-defined]
    "path": [Path("/code/é")],
}


@pytest.fixture(scope="module")
def pickles(made_rich_shelf: Path) -> dict[str, bytes]:
    """Pickles of real Sumatra: of a new shelf with every kind of record, and of an old one."""
    return {
        "rich": DumbFile(made_rich_shelf).read()[0][RICH.encode()],
        "corpus": DumbFile(CORPUS / "c081_dumb").read()[0][b"corpus"],
    }


@pytest.mark.parametrize("name", ["rich", "corpus"])
def test_pickles_of_sumatra_keep_their_contents(pickles: dict[str, bytes], name: str) -> None:
    """A real shelf that is read and written has the same records."""
    before = inert.load(pickles[name])
    after = inert.load(inert.dump(before))

    assert list(after) == list(before)
    assert [label for label in before if inert.digest(after[label]) != inert.digest(before[label])] == []
    assert inert.digest(after) == inert.digest(before)


def test_reading_imports_nothing(pickles: dict[str, bytes]) -> None:
    """smtd reads what Sumatra wrote without Sumatra."""
    before = set(sys.modules)

    inert.dump(inert.load(pickles["rich"]))

    assert {name for name in set(sys.modules) - before if "smtd" not in name} == set()
    assert not any(name.split(".")[0] in ("sumatra", "parameters") for name in sys.modules)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_python_reads_inert_pickles(value: list[Any], protocol: int) -> None:
    """A value that Python pickled, smtd read and wrote, and Python unpickled is the same."""
    written = inert.dump(inert.load(pickle.dumps(value, protocol)))

    assert pickle.loads(written) == value
    assert written.startswith(b"\x80\x02")


def test_slots_are_kept() -> None:
    """The state of an object that is not in a dictionary."""
    assert pickle.loads(inert.dump(inert.load(pickle.dumps(Slotted())))) == Slotted()


def test_shared_objects_stay_shared() -> None:
    """One object before is one object after."""
    one, other, set_of_both = Point(SHARED), Point(SHARED), Pairs()
    set_of_both.update(a=one, b=other)

    again = pickle.loads(inert.dump(inert.load(pickle.dumps(set_of_both))))

    assert again["a"].x is again["b"].x


def test_loop_of_references_is_kept() -> None:
    """An object may contain itself."""
    point = Point()
    point.x = [point]

    again = pickle.loads(inert.dump(inert.load(pickle.dumps(point))))

    assert again.x[0] is again


def test_placeholder_shows_class_state_and_items() -> None:
    """Of the object that was not made."""
    found = inert.load(pickle.dumps(with_attribute(Pairs(a=1))))

    assert isinstance(found, Inert)
    assert type(found).ref == Ref(__name__, "Pairs")
    assert found.state == {"note": "é"}
    assert found.pairs == {"a": 1}
    assert repr(found) == f"<{__name__}.Pairs>"


def test_python_makes_an_object_as_described() -> None:
    """From the placeholder that smtd writes."""
    made = inert.new(__name__, "Point", {"x": [1]})

    assert pickle.loads(inert.dump([made, made])) == [Point([1]), Point([1])]


def test_bytes_after_the_end_do_not_matter() -> None:
    """A pickle ends where it says, whatever follows in its block."""
    assert inert.load(pickle.dumps({"a": 1}) + b"rest of what was there before") == {"a": 1}


SAME = {
    "sets in another order": (pickle.dumps({"b", "a", "c"}), pickle.dumps({"c", "b", "a"})),
    "protocols": (pickle.dumps([Point(1)], 2), pickle.dumps([Point(1)], 5)),
    "one object or two that are equal": (pickle.dumps([SHARED, SHARED]), pickle.dumps([["shared"], SHARED])),
    "numbers that are not numbers": (pickle.dumps(float("nan")), pickle.dumps(-float("nan"))),
}
DIFFERENT = {
    "values": ([1], [2]),
    "types": (["1"], [1]),
    "whole numbers": (1, 1.0),
    "truth": (1, True),
    "nothing": (None, ""),
    "texts and bytes": ("a", b"a"),
    "lists and tuples": ([1], (1,)),
    "order of a list": ([1, 2], [2, 1]),
    "order of a dictionary": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "nesting": ([[1], 2], [1, [2]]),
    "sets": ({1}, frozenset({1})),
    "attributes": (Point(1), Point(2)),
    "classes": (Point({}), inert.new(__name__, "Slotted", {"x": {}})),
    "items": (Pairs(a=1), Pairs(a=2)),
    "items and attributes": (with_attribute(Pairs()), Pairs(note="é")),
    "classes as values": ([int], [str]),
    "time zones": (datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2020, 1, 1)),
    "signs of zero": (0.0, -0.0),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_equal_values_have_equal_digests(pair: tuple[bytes, bytes]) -> None:
    """However they were pickled."""
    one, other = map(inert.load, pair)

    assert inert.digest(one) == inert.digest(other)


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_different_values_have_different_digests(pair: tuple[Any, Any]) -> None:
    """Also if they look alike."""
    one, other = (
        inert.load(inert.dump(value) if isinstance(value, Inert) else pickle.dumps(value)) for value in pair
    )

    assert inert.digest(one) != inert.digest(other)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x80\x02]", b"\x80\x02Psomewhere\n.", b"(dp0\nS'a'\n"])
def test_bytes_that_are_no_pickle_are_an_error(data: bytes) -> None:
    """In one line."""
    with pytest.raises(RecordUnusable) as told:
        inert.load(data)

    assert "\n" not in str(told.value)


def test_objects_made_with_keyword_arguments_cannot_be_written() -> None:
    """Protocol 2 cannot represent them: smtd refuses rather than changes them."""
    found = inert.load(b"\x80\x04\x8c\x01m\x8c\x01C\x93)}\x8c\x01kK\x01s\x92.")

    with pytest.raises(RecordUnusable, match=r"m\.C"):
        inert.dump(found)
