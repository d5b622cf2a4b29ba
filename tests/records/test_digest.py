"""When two records are equal: golden vectors, each equality, and each inequality."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.canonical import differences, digest, lacks
from smtd.records.record import (
    FIELDS,
    Component,
    DataKey,
    Dependency,
    Executable,
    Parameters,
    Pickled,
    Platform,
    Repository,
)
from tests.build import INPUT, MOMENT, NODE, NUMPY, OUTPUT, change, full, record

GOLDEN = {
    "plain": (record(), "57f01f7473f8bc815c267f88e7aa61d7"),
    "full": (full(), "a28dd18023babb5c11c8a8b66041b0cd"),
    "nothing": (
        record(
            reason=None,
            duration=None,
            executable=None,
            repository=None,
            main_file=None,
            version=None,
            parameters=Parameters("NoneType", "None"),
            tags=frozenset(),
            stdout_stderr=None,
        ),
        "2f3cee0e06d1f26dc492aa92671dc50e",
    ),
    "simple parameters": (
        record(parameters=Parameters("SimpleParameterSet", 'a = 1\nb = 2.5\nc = "x" # note\nd = [1, (2,)]')),
        "8933fad4e1e56be0b43a4154eb09be2c",
    ),
    "nested parameters": (
        record(
            parameters=Parameters(
                "NTParameterSet",
                "{'a': {'b': -1e999}, 'c': GammaDist(m=2.0, s=1.0), 'd': ParameterRange([1, 2]),"
                " 'e': NormalDist(mean=0.0, std=1.0), 'f': UniformDist(0.0, 1.0), 'g': ref('a.b')}",
            )
        ),
        "84579fd4dce32c2c703906a5bcb9ca17",
    ),
    "yaml parameters": (
        record(
            parameters=Parameters("YAMLParameterSet", "a: 2024-02-29\nb: 2024-02-29T12:00:00Z\nc: .nan\n")
        ),
        "90a50b4fa3eddc46acc3d1592b5a0c6a",
    ),
    "config parameters": (
        record(parameters=Parameters("ConfigParserParameterSet", "[DEFAULT]\nx = 1\n\n[a]\ny = 2\n\n")),
        "41eb14c2b11f4fcc67c6a5ddf9830b5c",
    ),
    "large integers": (
        record(launch_mode=Component("SerialLaunchMode", {"a": 2**64, "b": -(2**63), "c": 2**64 - 1})),
        "3722278dd575d30ece96c72d71360f6b",
    ),
    "addresses": (
        full(
            platforms=(
                Platform(ip_addr="2001:0db8:0000::0001"),
                Platform(ip_addr="not known"),
            )
        ),
        "fa2e95f1117350884ed60f6cd929654c",
    ),
    "an IPv4 address as IPv6": (
        full(platforms=(Platform(ip_addr="::ffff:192.0.2.17"),)),
        "3b9836b3cd3467954b966418affb60ea",
    ),
    "not unicode": (
        record(stdout_stderr="a\udcffb", tags=frozenset({"é\ud800"})),
        "11b02ef30114efb35a8a2c84e6e2a2dc",
    ),
    "split tags": (
        record(tags=frozenset({"my tag", "_finished_", 'a "b c" d', " x "})),
        "0e684b4ed43993e74841e3bb2fb90428",
    ),
    "opaque": (
        full(opaque={"launch_mode": Pickled(b"\x01" * 16, b"..."), "on_changed": Pickled(b"\x02", b".")}),
        "a27c155d790872506a267e9ab6e0712b",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_digest_is_that_of_the_golden_vector(name):
    """A digest never changes by accident.

    After a change of the canonical form on purpose: raise canonical.VERSION, so that pairs are
    adopted anew, and take the new values from the failures of this test.
    """
    made, expected = GOLDEN[name]

    assert digest(made).hex() == expected


def test_digest_of_another_version_differs(monkeypatch):
    """A record has another digest under another version of the canonical form."""
    before = digest(full())
    monkeypatch.setattr(canonical, "VERSION", canonical.VERSION + 1)

    assert digest(full()) != before


def test_digest_ignores_the_label():
    """The label is a record's name, not part of its content."""
    assert digest(full("one")) == digest(full("other"))


def keyed(**metadata):
    """Return a change of the outputs to one output with *metadata*."""
    return {"output_data": (msgspec.structs.replace(OUTPUT, metadata=metadata),)}


def placed(address):
    """Return a change of the platforms to one platform with *address*."""
    return {"platforms": (msgspec.structs.replace(NODE, ip_addr=address),)}


def set_of(content, kind="SimpleParameterSet"):
    """Return a change of the parameters."""
    return {"parameters": Parameters(kind, content)}


def moment(**changes):
    """Return a change of the time of the run."""
    return {"timestamp": MOMENT.replace(**changes)}


SECOND_OUTPUT = DataKey("run/second.csv", "1" * 40)
SECOND_DEPENDENCY = Dependency("python", "scipy", "/opt/lib/scipy", "1.13.0")
SECOND_NODE = Platform(network_name="node-2")
EARLY = timezone(timedelta(hours=5, minutes=30))

#: Two elements of each list of a record.
LISTED: dict[str, tuple[Any, Any]] = {
    "output_data": (OUTPUT, SECOND_OUTPUT),
    "input_data": (INPUT, SECOND_OUTPUT),
    "dependencies": (NUMPY, SECOND_DEPENDENCY),
    "platforms": (NODE, SECOND_NODE),
}
TEXTS = (
    *("reason", "outcome", "main_file", "version", "user"),
    *("script_arguments", "stdout_stderr", "diff", "repeats"),
)

EQUAL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "microseconds": (moment(microsecond=0), moment(microsecond=999999)),
    "another time zone": (
        {"timestamp": datetime(2024, 3, 31, 6, 0, 0, tzinfo=EARLY)},
        {"timestamp": datetime(2024, 3, 31, 0, 30, 0, tzinfo=timezone.utc)},
    ),
    "a second long ago": (
        {"timestamp": datetime(1969, 12, 31, 23, 59, 58, 1, tzinfo=timezone.utc)},
        {"timestamp": datetime(1969, 12, 31, 23, 59, 58, 999999, tzinfo=timezone.utc)},
    ),
    "a second far ahead": (
        {"timestamp": datetime(9999, 12, 30, 0, 0, 0, 0, tzinfo=timezone.utc)},
        {"timestamp": datetime(9999, 12, 30, 0, 0, 0, 999999, tzinfo=timezone.utc)},
    ),
    "creation in microseconds": (
        {"output_data": (msgspec.structs.replace(OUTPUT, creation=MOMENT.replace(microsecond=1)),)},
        {"output_data": (msgspec.structs.replace(OUTPUT, creation=MOMENT.replace(microsecond=2)),)},
    ),
    **{
        f"order of {field}": ({field: (one, other)}, {field: (other, one)})
        for field, (one, other) in LISTED.items()
    },
    **{
        f"the same twice in {field}": ({field: (one, one)}, {field: (one,)})
        for field, (one, _) in LISTED.items()
    },
    **{f"no {field}": ({field: None}, {field: ""}) for field in TEXTS},
    "no upstream": (
        {"repository": Repository("GitRepository", "/code", None)},
        {"repository": Repository("GitRepository", "/code", "")},
    ),
    "no options": (
        {"executable": Executable("/bin/sh", "sh", "5", None)},
        {"executable": Executable("/bin/sh", "sh", "5", "")},
    ),
    "no version of the executable": (
        {"executable": Executable("/bin/sh", "sh", None)},
        {"executable": Executable("/bin/sh", "sh", "")},
    ),
    "a dependency without texts": (
        {"dependencies": (Dependency("python", "x", None, None, None, None),)},
        {"dependencies": (Dependency("python", "x", "", "", "", ""),)},
    ),
    "a platform without texts": (
        {"platforms": (Platform(ip_addr=None, machine=None, processor=None),)},
        {"platforms": (Platform(ip_addr="", machine="", processor=""),)},
    ),
    "duration not a number": ({"duration": float("nan")}, {"duration": None}),
    "duration as an integer": ({"duration": 2}, {"duration": 2.0}),
    "a tag that a relational store splits": (
        {"tags": frozenset({'"my tag"'})},
        {"tags": frozenset({"my", "tag"})},
    ),
    "forms of an IPv6 address": (placed("2001:0DB8:0:0::0001"), placed("2001:db8::1")),
    "a tuple in metadata": (keyed(shape=(2, 3)), keyed(shape=[2, 3])),
    "integer keys in metadata": (keyed(sizes={1: 2}), keyed(sizes={"1": 2})),
    "order of metadata": (keyed(a=1, b=2), keyed(b=2, a=1)),
    "not a number in metadata": (keyed(mean=float("nan")), keyed(mean=-float("nan"))),
    "order of a launch mode": (
        {"launch_mode": Component("SerialLaunchMode", {"working_directory": "/code", "options": None})},
        {"launch_mode": Component("SerialLaunchMode", {"options": None, "working_directory": "/code"})},
    ),
    "a tuple in a launch mode": (
        {"launch_mode": Component("DistributedLaunchMode", {"hosts": ("a", "b")})},
        {"launch_mode": Component("DistributedLaunchMode", {"hosts": ["a", "b"]})},
    ),
    "a dictionary given back as text": (set_of("{'a': 1}", "dict"), set_of("{'a': 1}", "str")),
    "a dictionary with None given back as text": (
        set_of("{'a': None}", "dict"),
        set_of("{'a': None}", "str"),
    ),
    "blanks in a dictionary": (set_of("{'a': 1, 'b': [2]}", "dict"), set_of("{'b':[2],'a':1}", "dict")),
    "blanks and comments in a simple set": (set_of("a=1 # one\n\n# two\nb  = 2"), set_of("b = 2\na = 1")),
    "blanks in JSON": (
        set_of('{"a": [1, 2]}', "JSONParameterSet"),
        set_of('{\n    "a": [\n        1,\n        2\n    ]\n}', "JSONParameterSet"),
    ),
    "style of YAML": (
        set_of("{a: [1, 2]}", "YAMLParameterSet"),
        set_of("a:\n- 1\n- 2\n", "YAMLParameterSet"),
    ),
    "spelling of a distribution": (
        set_of("{'a': GammaDist(m=2.0, s=1.0)}", "NTParameterSet"),
        set_of("{'a': GammaDist(mean=2.0, std=1.0)}", "NTParameterSet"),
    ),
    "what only a shelf has": (
        {"opaque": {"on_changed": Pickled(b"1", b"1"), "parameter_file": Pickled(b"2", b"2")}},
        {"opaque": {}},
    ),
    "a field that the record expresses": (
        {"opaque": {"platforms": Pickled(b"1", b"1", expressed=True)}},
        {"opaque": {}},
    ),
}


@pytest.mark.parametrize("what", EQUAL)
def test_records_are_equal_despite(what):
    """What a store loses does not count, so no pair of stores copies it to and fro."""
    one, other = (full(**changes) for changes in EQUAL[what])

    assert digest(one) == digest(other)
    assert differences(one, other) == []


#: For each field, changes that count.
UNEQUAL: dict[str, list[dict[str, Any]]] = {
    "timestamp": [
        {"timestamp": MOMENT + timedelta(seconds=1)},
        {"timestamp": MOMENT.replace(tzinfo=timezone(timedelta(hours=1)))},
    ],
    "reason": [{"reason": ""}, {"reason": "a first look "}],
    "duration": [{"duration": None}, {"duration": 1.5000000000000002}, {"duration": -1.5}],
    "executable": [
        {"executable": None},
        {"executable": Executable("/usr/bin/python3", "Python", "3.12.2", "-O")},
        {"executable": Executable("/usr/bin/python3", "python", "3.12.1", "-O")},
        {"executable": Executable("/usr/bin/python", "Python", "3.12.1", "-O")},
        {"executable": Executable("/usr/bin/python3", "Python", "3.12.1", "")},
    ],
    "repository": [
        {"repository": None},
        {"repository": Repository("GitRepository", "/code")},
        {"repository": Repository("GitRepository", "/Code", "https://code.lab.example/ada/sweep.git")},
        {"repository": Repository("Repository", "/code", "https://code.lab.example/ada/sweep.git")},
    ],
    "main_file": [{"main_file": "Main.py"}],
    "version": [{"version": "2f1c0df"}],
    "parameters": [
        set_of("seed = 2"),
        set_of("seed = 1.0"),
        set_of("seed = True"),
        set_of('seed = "1"'),
        set_of("Seed = 1"),
        set_of("seed = 1", "str"),
        set_of('{"seed": 1}', "JSONParameterSet"),
        set_of("{}", "dict"),
        set_of("None", "NoneType"),
        set_of(""),
    ],
    "input_data": [{"input_data": ()}, {"input_data": (OUTPUT,)}, {"input_data": (INPUT, OUTPUT)}],
    "script_arguments": [{"script_arguments": "<parameters> 8"}],
    "launch_mode": [
        {"launch_mode": Component("SerialTqdmLaunchMode", full().launch_mode.parameters)},
        {"launch_mode": Component("SerialLaunchMode", {"working_directory": "/code", "options": ""})},
        {"launch_mode": Component("SerialLaunchMode", {"working_directory": "/code"})},
    ],
    "datastore": [{"datastore": Component("FileSystemDataStore", {"root": "/elsewhere"})}],
    "input_datastore": [{"input_datastore": Component("FileSystemDataStore", {"root": "/data"})}],
    "outcome": [{"outcome": "Converged"}, {"outcome": "converged\n"}, {"outcome": None}],
    "output_data": [
        {"output_data": ()},
        {"output_data": (OUTPUT, SECOND_OUTPUT)},
        {"output_data": (msgspec.structs.replace(OUTPUT, digest="7" + OUTPUT.digest[1:]),)},
        {"output_data": (msgspec.structs.replace(OUTPUT, path="run/Result.csv"),)},
        {"output_data": (msgspec.structs.replace(OUTPUT, creation=None),)},
        {"output_data": (msgspec.structs.replace(OUTPUT, creation=MOMENT),)},
        keyed(mimetype="text/csv", encoding="", size=4096),
        keyed(mimetype="text/csv", encoding=None, size=4096.0),
        keyed(mimetype="text/csv", encoding=None, size="4096"),
        keyed(mimetype="text/csv", size=4096),
    ],
    "tags": [
        {"tags": frozenset({"_finished_"})},
        {"tags": frozenset({"_finished_", "figure-2", "x"})},
        {"tags": frozenset({"_finished_", "Figure-2"})},
        {"tags": frozenset({"_failed_", "figure-2"})},
        {"tags": frozenset({"_finished_", "figure -2"})},
    ],
    "diff": [{"diff": "- dt = 0.1\n+ dt = 0.2"}],
    "user": [{"user": "ada"}],
    "dependencies": [
        {"dependencies": ()},
        {"dependencies": (NUMPY, SECOND_DEPENDENCY)},
        {"dependencies": (msgspec.structs.replace(NUMPY, version="1.26.5"),)},
        {"dependencies": (msgspec.structs.replace(NUMPY, module="r"),)},
        {"dependencies": (msgspec.structs.replace(NUMPY, diff="-"),)},
        {"dependencies": (msgspec.structs.replace(NUMPY, source=None),)},
    ],
    "platforms": [
        {"platforms": ()},
        {"platforms": (NODE, SECOND_NODE)},
        placed("192.0.2.18"),
        placed("192.0.2.017"),
        {"platforms": (msgspec.structs.replace(NODE, machine="arm64"),)},
    ],
    "stdout_stderr": [{"stdout_stderr": "done"}],
    "repeats": [{"repeats": "Earlier-run"}],
}


@pytest.mark.parametrize(
    ("field", "changes"), [(field, changes) for field, each in UNEQUAL.items() for changes in each]
)
def test_records_differ_in(field, changes):
    """A change that no store makes by itself counts, and the difference names it."""
    changed = change(full(), **changes)

    assert digest(full()) != digest(changed)
    assert differences(full(), changed) == [field]


def test_inequalities_cover_every_field():
    """No field is left out of the digest."""
    assert list(UNEQUAL) == list(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_field_that_only_a_shelf_can_hold_counts(field):
    """The canonical form has only a placeholder for it, so its pickle is compared."""
    one = full(opaque={field: Pickled(b"1", b"...")})
    same_meaning = full(opaque={field: Pickled(b"1", b"otherwise pickled")})
    other = full(opaque={field: Pickled(b"2", b"...")})

    assert digest(one) == digest(same_meaning)
    assert differences(one, other) == [field]
    assert differences(one, full()) == [field]


SCALARS = [None, "", "1", 1, 1.0, True, 0, 0.0, -0.0, False, float("inf"), -float("inf"), 2**70, 10**-9]
TYPED = [*SCALARS, [], {}, [1], ["1"], {"a": 1}, {"a": True}, [[1]], b"1", {1}, float("nan"), "nan", "None"]


def test_values_of_other_types_differ():
    """1 is not 1.0, not True and not "1"; nothing is not empty."""
    bearers = defaultdict(list)
    for one in TYPED:
        bearers[digest(full(**keyed(x=one)))].append(one)

    assert [equal for equal in bearers.values() if len(equal) > 1] == []


@pytest.mark.parametrize(
    ("value", "forged"),
    [
        (1.0, "\0f" + (1.0).hex()),
        (2**70, f"\0i{2**70}"),
        (b"x", "\0b78"),
        ({"x"}, ["\0s", "x"]),
        (MOMENT, "\0t" + MOMENT.isoformat()),
    ],
    ids=repr,
)
def test_text_never_equals_another_value(value, forged):
    """No text has the canonical form of a value that is not text."""
    assert digest(full(**keyed(x=value))) != digest(full(**keyed(x=forged)))


@pytest.mark.parametrize("field", LISTED)
def test_record_lacks_what_only_the_other_has(field):
    """A list lacks something if the other list has all of its elements and more."""
    more = full(**LISTED)

    assert lacks(full(), more, field)
    assert not lacks(more, full(), field)
    assert not lacks(full(), full(), field)


def test_record_lacks_nothing_if_it_has_something_else():
    """A list with an element of its own is another list, not a shorter one."""
    other = full(output_data=(SECOND_OUTPUT, DataKey("run/third.csv", "3" * 40)))

    assert not lacks(full(), other, "output_data")


@pytest.mark.parametrize("field", ["launch_mode", "datastore", "input_datastore", "parameters"])
def test_digest_of_an_unusable_value_names_the_field(field):
    """A value that cannot be compared is an error that names its field."""
    unusable = {"parameters": Parameters("dict", "1j")}
    broken = full(**{field: unusable.get(field, Component("X", {"a": 1j}))})

    with pytest.raises(RecordUnusable, match=f"^{field}: "):
        digest(broken)


def test_digest_refuses_endless_nesting():
    """If a state is nested deeper than Python can follow."""
    state: dict[str, object] = {}
    state["self"] = state

    with pytest.raises(RecordUnusable, match="nested too deeply"):
        digest(full(launch_mode=Component("SerialLaunchMode", state)))
