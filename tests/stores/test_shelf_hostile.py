"""Shelves that are hostile or damaged: smtd runs nothing, and reports them in a sentence."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from smtd.errors import StoreRefused
from smtd.records import canonical
from smtd.stores.base import DONE, Change, Result
from smtd.stores.shelf import inert, writing
from tests.build import PROJECT, change, key, record
from tests.stores.asking import create, delete, scan_and_read, scan_of, write_to
from tests.stores.places import ShelfPlace, dumb_place


@pytest.fixture
def place(tmp_path: Path) -> ShelfPlace:
    return dumb_place(tmp_path / "records")


class Trap:
    """A file that exists as soon as anything in a store was run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def sprung(self) -> bool:
        return self.path.exists()


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path / "trap")


def text(said: str) -> bytes:
    """Return the opcode of a text."""
    return b"X" + struct.pack("<I", len(said.encode())) + said.encode()


def name(module: str, name: str) -> bytes:
    """Return the opcode of a class or a function."""
    return f"c{module}\n{name}\n".encode()


def call(module: str, function: str, *args: str) -> bytes:
    """Return the opcodes that call a function."""
    return name(module, function) + b"(" + b"".join(map(text, args)) + b"tR"


def calls(trap: Trap) -> dict[str, bytes]:
    """Return opcodes that would trigger *trap* or do other harm if loaded normally."""
    write, touch = f"open({str(trap.path)!r}, 'w')", f"touch {trap.path}"
    return {
        "system": call("os", "system", touch),
        "posix": call("posix", "system", touch),
        "eval": call("builtins", "eval", write),
        "old eval": call("__builtin__", "eval", write),
        "exec": call("builtins", "exec", write),
        "open": call("builtins", "open", str(trap.path), "w"),
        "command": call("subprocess", "getoutput", touch),
        "import": call("builtins", "__import__", "antigravity"),
        "through sumatra": call("sumatra.programs", "Popen", touch),
        "instance": b"(S" + repr(touch).encode() + b"\nios\nsystem\n",
        "object": b"(" + name("os", "system") + text(touch) + b"o",
        "new object": name("os", "system") + text(touch) + b"\x85\x81",
        "stack": text("os") + text("system") + b"\x93" + text(touch) + b"\x85R",
        "state": name("pathlib", "Path") + b")\x81}" + text("touch") + call("os", "system", touch) + b"sb",
    }


def call_of_a_call(trap: Trap) -> bytes:
    """Return opcodes that get a method by a call, and call it."""
    path = call("pathlib", "Path", str(trap.path))
    return name("builtins", "getattr") + path + text("touch") + b"\x86R)R"


def project(**held: bytes) -> bytes:
    """Return the pickle of a project with these opcodes by label."""
    return b"\x80\x04}(" + b"".join(text(label) + opcodes for label, opcodes in held.items()) + b"u."


def put(place: ShelfPlace, value: bytes) -> None:
    """Store the pickle of a project as it is."""
    with place.pickles(place.location.path) as file:
        file[PROJECT.encode()] = value


def a_record() -> bytes:
    """Return the opcodes of a record."""
    return inert.dump(writing.build(record("good")))[2:-1]


# Records with another name


async def test_record_under_the_label_of_another_fails(place: ShelfPlace) -> None:
    """It is neither record: it alone fails, and smtd overwrites neither."""
    await place.put(record("a"), record("b"))
    await place.edit(lambda held: held["a"].state.update(label="b"))
    before = place.forms()

    async with place.open() as store:
        scan = await store.scan()
        found = await store.read([key("a"), key("b")])
        outcomes = await store.write(
            [
                Change(key("a"), change(record("a"), reason="new"), canonical.digest(record())),
                Change(key("c"), record("b", outcome="lost"), None),
            ]
        )

    assert set(scan.unreadable) == {key("a")}
    assert (
        "has a record named 'b' under this label; delete it there, or correct it" in scan.unreadable[key("a")]
    )
    assert set(scan.digests) == set(found) == {key("b")}
    assert [each.result for each in outcomes] == [Result.STALE, Result.REFUSED]
    assert place.forms() == before


async def test_unreadable_record_is_reported_under_its_label(place: ShelfPlace) -> None:
    """With its blanks; otherwise the other side would lose its record."""
    await place.put(record("two  blanks"), record("b"))
    await place.edit(lambda held: held["two  blanks"].state.update(timestamp="then"))

    scan = await scan_of(place)

    assert set(scan.unreadable) == {key("two  blanks")}


# What would run


async def test_records_that_would_run_code_are_unreadable(place: ShelfPlace, trap: Trap) -> None:
    """Nothing runs, and the others are read.

    smtd does not remove what it never runs either, when it writes another record.
    """
    put(place, project(**calls(trap), good=a_record()))
    before = place.forms()

    async with place.open() as store:
        scan = await store.scan()
        found = await store.read([*scan.digests, *scan.unreadable])
        outcomes = await store.write([create(record("new"))])

    assert set(scan.unreadable) == {key(name) for name in calls(trap)}
    assert set(found) == {key("good")}
    assert outcomes == [DONE]
    assert {of: form for of, form in place.forms().items() if of != key("new")} == before
    assert not trap.sprung


@pytest.mark.parametrize("name", ["system", "eval", "import", "instance", "new object", "state", "a call"])
async def test_call_in_place_of_a_project_is_refused(place: ShelfPlace, trap: Trap, name: str) -> None:
    """Also a call of the result of a call, anywhere."""
    opcodes = {**calls(trap), "a call": project(odd=call_of_a_call(trap), good=a_record())[2:-1]}
    put(place, b"\x80\x04" + opcodes[name] + b".")

    with pytest.raises(StoreRefused) as told:
        await scan_of(place)

    assert_sentence(told.value, place)
    assert not trap.sprung


async def test_call_in_an_unmodelled_attribute_is_kept_and_not_run(place: ShelfPlace, trap: Trap) -> None:
    """smtd copies it as data."""
    note = inert.load(calls(trap)["system"] + b".")
    await place.edit(lambda held: held.update(odd=odd(note=note, outcome=note)))

    scan, found = await scan_and_read(place, [key("odd")])

    assert scan.digests == {key("odd"): canonical.digest(change(found[key("odd")]))}
    assert found[key("odd")].unmodelled_fields == ["outcome"]
    assert not trap.sprung


# Projects that cannot be loaded


def deep(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


UNLOADABLE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"hello world",
    "truncated": lambda: inert.dump({"a": odd()})[:-100],
    "without an end": lambda: b"\x80\x02}",
    "a list": lambda: pickle.dumps([1, 2]),
    "a record": lambda: b"\x80\x02" + a_record() + b".",
    "labels that are numbers": lambda: pickle.dumps({1: 2}),
    "nothing but a stop": lambda: b".",
    "a million lists in each other": lambda: deep(1_000_000),
    "an object from elsewhere": lambda: b"\x80\x02Psomewhere\n.",
    "a registered extension": lambda: b"\x80\x02\x82\x01.",
    "a buffer from elsewhere": lambda: b"\x80\x05\x97.",
    "a name with a line break": lambda: b"\x80\x04}\x8c\x01a\x8c\x03a\nb\x8c\x01X\x93)\x81s.",
    "a name that is not text": lambda: b"\x80\x04}\x8c\x01a\x8c\x03\xed\xa0\x80\x8c\x01X\x93)\x81s.",
    "a call of a number": lambda: b"\x80\x02K\x01)R.",
    "items of a number": lambda: b"\x80\x02K\x01K\x02K\x03s.",
}


@pytest.mark.parametrize("make", UNLOADABLE.values(), ids=UNLOADABLE)
async def test_pickle_that_cannot_be_loaded_is_refused(place: ShelfPlace, make: Callable[[], bytes]) -> None:
    """At once, in one sentence."""
    put(place, make())

    with pytest.raises(StoreRefused) as told:
        await scan_of(place)

    assert_sentence(told.value, place)


def assert_sentence(error: Exception, place: ShelfPlace) -> None:
    """Assert that *error* says in one line what is wrong and where."""
    said = str(error)
    assert str(place.location.path) in said
    assert PROJECT in said
    assert "\n" not in said
    assert "Traceback" not in said
    assert len(said) < 500


# Values that expand


def doubled(times: int) -> bytes:
    """Return the opcodes of lists in each other, each twice in the next."""
    return b"]q\x000" + b"](h\x00h\x00eq\x000" * times + b"h\x00"


EXPLODING = {
    "parameters": b"}" + text("a") + doubled(60) + b"s",
    "launch_mode": name("sumatra.launch", "SerialLaunchMode") + b")\x81}" + text("a") + doubled(60) + b"sb",
    "outcome": doubled(60),
    "note": doubled(60),
    "tags": name("builtins", "set") + doubled(60) + b"\x85R",
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("attribute", EXPLODING)
async def test_value_that_would_fill_the_memory_blocks_no_record(place: ShelfPlace, attribute: str) -> None:
    """It has few bytes, but would expand without limit."""
    exploding = inert.load(b"\x80\x02" + EXPLODING[attribute] + b".")
    await place.edit(
        lambda held: held.update(odd=odd(**{attribute: exploding}), good=writing.build(record("good")))
    )

    scan, found = await scan_and_read(place, [key("good")])

    assert key("good") in scan.digests
    assert set(found) == {key("good")}


# Odd records


def odd(**attributes: Any) -> Any:
    """Return a pickled record with other values of some attributes."""
    pickled = writing.build(record("odd"))
    pickled.state.update(attributes)
    return pickled


def without(*names: str) -> Any:
    """Return a pickled record that lacks some attributes."""
    pickled = odd()
    for name in names:
        del pickled.state[name]
    return pickled


def thing(path: str, state: Any = None, **pairs: Any) -> Any:
    """Return an object of the class at *path*."""
    module, _, name = path.rpartition(".")
    return inert.new(module, name, state, pairs or None)


def nested(**pairs: Any) -> Any:
    return thing("sumatra.parameters.NTParameterSet", **pairs)


def data_key(**metadata: Any) -> Any:
    state = {"path": "a", "digest": "0" * 40, "creation": None, "metadata": metadata}
    return [thing("sumatra.datastore.base.DataKey", state)]


def odd_attribute(name: Any) -> Any:
    """Return a pickled record with an attribute whose name Python would not make."""
    made = odd()
    made.state[name] = 1
    return made


AGES_AGO = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
WEST = timezone(-timedelta(hours=5))
LOOP: list[Any] = []
LOOP.append(LOOP)

UNREADABLE: dict[str, Callable[[], Any]] = {
    "a number": lambda: 5,
    "nothing": lambda: None,
    "another class": lambda: thing("sumatra.records.SimRecord", {}),
    "a record without anything": lambda: thing("sumatra.records.Record"),
    "a record of a list": lambda: thing("sumatra.records.Record", [1, 2]),
    "no launch mode": lambda: without("launch_mode"),
    "no time": lambda: without("timestamp"),
    "a time that is none": lambda: odd(timestamp="yesterday"),
    "a time before all times": lambda: odd(timestamp=AGES_AGO),
    "a time that is none in UTC": lambda: odd(timestamp=datetime.max.replace(tzinfo=WEST)),
    "an attribute that is a number": lambda: odd_attribute(2.5),
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
async def test_invalid_record_is_reported(place: ShelfPlace, make: Callable[[], Any]) -> None:
    """With what is wrong with it; the others are read."""
    await place.edit(lambda held: held.update(odd=make(), good=writing.build(record("good"))))

    scan, found = await scan_and_read(place, [key("odd"), key("good")])

    assert set(scan.unreadable) == {key("odd")}
    assert "\n" not in scan.unreadable[key("odd")] != ""
    assert set(scan.digests) == set(found) == {key("good")}


STRANGE: dict[str, Callable[[], Any]] = {
    "an executable without a version": lambda: odd(
        executable=thing("sumatra.programs.PythonExecutable", {"path": "/usr/bin/python3"})
    ),
    "an executable of no class": lambda: odd(executable="python"),
    "no executable": lambda: odd(executable=None),
    "no repository": lambda: odd(repository=None),
    "a duration beyond all numbers": lambda: odd(duration=10**400),
    "a launch mode with numbers for names": lambda: odd(
        launch_mode=thing("sumatra.launch.SerialLaunchMode", {1: 2})
    ),
    "metadata with numbers for names": lambda: odd(
        output_data=[
            thing("sumatra.datastore.base.DataKey", {"path": "a", "digest": "0" * 40, "metadata": {1: 2}})
        ]
    ),
    "metadata with times": lambda: odd(output_data=data_key(a=datetime(2020, 1, 1), b=date(2020, 1, 1))),
    "metadata with bytes and tuples": lambda: odd(output_data=data_key(a=b"x", b=(1, (2, 3)))),
    "metadata with a large number": lambda: odd(output_data=data_key(a=2**70)),
    "metadata that is a loop": lambda: odd(output_data=data_key(a=LOOP)),
    "a range without values": lambda: odd(parameters=nested(a=thing("parameters.ParameterRange", {}))),
    "a distribution without parameters": lambda: odd(
        parameters=nested(a=thing("parameters.random.GammaDist", {}))
    ),
    "a distribution of texts": lambda: odd(
        parameters=nested(a=thing("parameters.random.GammaDist", {"params": {"a": "x", "b": []}}))
    ),
    "a distribution of a list": lambda: odd(
        parameters=nested(a=thing("parameters.random.NormalDist", {"params": [1]}))
    ),
    "parameters that hold themselves": lambda: odd(parameters={"a": LOOP}),
    "comments in a list": lambda: odd(
        parameters=thing("sumatra.parameters.SimpleParameterSet", {"_values": {"a": 1}, "comments": [1]})
    ),
    "values in a list": lambda: odd(
        parameters=thing("sumatra.parameters.SimpleParameterSet", {"_values": [1], "comments": {}})
    ),
    "values in a number": lambda: odd(
        parameters=thing("sumatra.parameters.SimpleParameterSet", {"_values": 1})
    ),
    "values of a class": lambda: odd(
        parameters=thing("sumatra.parameters.JSONParameterSet", {"_values": {"a": thing("some.Class")}})
    ),
    "sections of numbers": lambda: odd(
        parameters=thing("sumatra.parameters.ConfigParserParameterSet", {"_sections": {"a": 5}})
    ),
    "parameters of a plugin": lambda: odd(parameters=thing("plugin.Parameters", {"a": 1})),
    "tags that are numbers": lambda: odd(tags={1, 2}),
    "tags in lists": lambda: odd(tags=[1, [2]]),
    "a text that is no Unicode": lambda: odd(outcome="a\udcff"),
    "a platform without anything": lambda: odd(platforms=[thing("sumatra.launch.PlatformInformation", {})]),
    "a platform of a text": lambda: odd(platforms=["here"]),
    "a dependency of a plugin": lambda: odd(dependencies=[thing("plugin.Dependency", {"name": "x"})]),
    "inputs in a number": lambda: odd(input_data=5),
    "hundreds of lists in each other": lambda: odd(note=inert.load(deep(200))),
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE)
async def test_strange_record_is_read_or_reported(place: ShelfPlace, make: Callable[[], Any]) -> None:
    """Always in the same way, and alone, although Sumatra would not have made it."""
    await place.edit(lambda held: held.update(odd=make(), good=writing.build(record("good"))))

    scan, found = await scan_and_read(place, [key("odd"), key("good")])

    assert scan.digests.keys() | scan.unreadable.keys() == {key("odd"), key("good")}
    assert key("good") in scan.digests
    # Computed again from the records: a store may return them with a digest.
    assert {of: canonical.digest(change(one)) for of, one in found.items()} == scan.digests


async def test_write_keeps_strange_records(place: ShelfPlace) -> None:
    """smtd keeps all that it does not know of them when it writes another record."""
    strange = {name: make() for name, make in {**UNREADABLE, **STRANGE}.items()}
    await place.edit(lambda held: held.update(strange, good=writing.build(record("good"))))
    before = place.forms()

    outcomes = await write_to(place, [delete(record("good"))])

    assert outcomes == [DONE]
    assert place.forms() == {of: form for of, form in before.items() if of != key("good")}


async def test_object_of_a_nested_class_is_reported(place: ShelfPlace) -> None:
    """Its record is unreadable; the others can be written."""
    dotted = text("plugin") + text("Outer.Inner") + b"\x93)\x81"
    put(place, project(odd=dotted, good=a_record()))
    before = place.forms()

    async with place.open() as store:
        scan = await store.scan()
        outcomes = await store.write([delete(record("good"))])

    assert set(scan.unreadable) == {key("odd")}
    assert outcomes == [DONE]
    assert place.forms() == {key("odd"): before[key("odd")]}
