"""The strategies from which Hypothesis draws values and records."""

from __future__ import annotations

import math
from datetime import datetime, timezone

from hypothesis import strategies as st

from smtd.records.record import DataKey, Dependency, Parameters, Platform
from smtd.records.tags import STATUS_TAGS
from tests.build import record

#: Text that every store can hold.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text("abcdefghij_.", min_size=1, max_size=8)
integers = st.integers() | st.integers(-(2**80), 2**80)
atoms = st.none() | st.booleans() | integers | st.floats() | texts
words = st.sampled_from(["_", "a", "b", "my tag", "a,b", '"', " ", ",", "A"]) | texts
#: Tags of all kinds, mostly of those that a relational store splits.
tag_sets = st.frozensets(st.lists(words, max_size=4).map("".join), max_size=4)

#: Values with a literal, as in Sumatra's parameter sets.
literals = st.recursive(
    atoms | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(atoms.filter(lambda key: key == key), inner, max_size=4)
    ),
    max_leaves=8,
)
#: Values that JSON and YAML can represent.
documents = st.recursive(
    st.none() | st.booleans() | integers | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
#: Values for the metadata of a data key, or the state of a launch mode.
states = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=4,
    ),
    max_size=3,
)

moments = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(timezone.utc))
data_keys = st.builds(DataKey, texts, texts, st.none() | moments, states)
dependencies = st.builds(
    Dependency, st.sampled_from(["python", "r"]), texts, texts, texts, texts, st.none() | texts
)
platforms = st.builds(Platform, machine=texts, network_name=texts, version=texts)
parameters = st.sampled_from(
    [
        Parameters("NoneType", "None"),
        Parameters("dict", "{'a': 1}"),
        Parameters("str", "{'a': 1}"),
        Parameters("SimpleParameterSet", "a = 1"),
        Parameters("JSONParameterSet", '{"a": 1}'),
    ]
)
_nullable = st.none() | texts
_fields = st.fixed_dictionaries(
    {},
    optional={
        "timestamp": moments,
        "reason": _nullable,
        "duration": st.none() | st.floats(),
        "main_file": _nullable,
        "version": _nullable,
        "parameters": parameters,
        "input_data": st.lists(data_keys, max_size=3).map(tuple),
        "script_arguments": _nullable,
        "outcome": _nullable,
        "output_data": st.lists(data_keys, max_size=3).map(tuple),
        "tags": tag_sets,
        "diff": _nullable,
        "user": _nullable,
        "dependencies": st.lists(dependencies, max_size=3).map(tuple),
        "platforms": st.lists(platforms, max_size=3).map(tuple),
        "stdout_stderr": _nullable,
        "repeats": _nullable,
    },
)
records = _fields.map(lambda changes: record(**changes))

_statuses = st.sampled_from([frozenset(), *(frozenset({tag}) for tag in sorted(STATUS_TAGS))])
_annotations = st.fixed_dictionaries(
    {
        "reason": st.sampled_from(["", "why", "why\nand how"]),
        "outcome": st.sampled_from(["", "ok", "ok\nsecond", "ok\nthird", "other"]),
        "tags": st.builds(frozenset.union, _statuses, st.frozensets(st.sampled_from("abc"), max_size=3)),
        "datastore": st.sampled_from([record().datastore, record().launch_mode]),
    }
)
#: Versions of one run: what a user may edit differs, and sometimes more.
versions = st.builds(
    lambda changes, diff: record(diff=diff, **changes),
    _annotations,
    st.sampled_from(["", "", "", "- a\n+ b\n"]),
)


def means_the_same(one: object, other: object) -> bool:
    """Say whether two values are equal; nan equals itself, and types count."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float):
        same_sign = math.copysign(1.0, one) == math.copysign(1.0, other)
        return (one != one and other != other) or (one == other and same_sign)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(means_the_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(
            map(means_the_same, [*one.keys(), *one.values()], [*other.keys(), *other.values()])
        )
    return one == other
