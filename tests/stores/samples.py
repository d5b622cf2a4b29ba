"""Records of every kind that all stores can hold, by what they have in common."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from smtd.records import canonical, sumatra_classes
from smtd.records.literal import Call
from smtd.records.parameters import content
from smtd.records.record import (
    FIELDS,
    Component,
    DataKey,
    Dependency,
    Executable,
    Parameters,
    Platform,
    Record,
    Repository,
)
from tests.build import MOMENT, NODE, RUNNING, UTC, change, full, record

#: The place of the data; real Sumatra creates this directory when it reads such a record.
ROOT = "/tmp"
#: Values that load without programs that few machines have.
REPOSITORIES = ("GitRepository", "Repository")
SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
NOTHING = dict.fromkeys(
    ("reason", "main_file", "version", "outcome", "script_arguments", "diff", "user", "stdout_stderr")
)
NESTED = {
    "seed": 1,
    "cell": {"name": "Purkinje é", "tau": 2.5, "spikes": [1, (2, 3)], "on": None},
    "range": Call("ParameterRange", ([1, 2, 3],), ()),
    "gamma": Call("GammaDist", (), (("a", 4.0), ("b", 0.5))),
    "uniform": Call("UniformDist", (), (("min", -1.0), ("max", 1.0))),
    "normal": Call("NormalDist", (), (("mean", 0.5), ("std", 0.25))),
}
DOCUMENT = {"seed": 42, "name": "Zoë ☃", "nested": {"list": [1, 2.5, None, True, {}]}, "tiny": 1e-300}

#: Values by type of parameter set: every kind of value that each can hold.
PARAMETERS: dict[str, list[Any]] = {
    "SimpleParameterSet": [
        {"tau": 20.0, "cells": 1000, "name": "Purkinje é", "on": True, "weights": [1, 2.5, "three"]},
        {"shape": (2, 3), "nothing": None, "huge": 1e300, "endless": float("inf")},
        {"quotes": "a \"b\" 'c' \\d", "hash": "a # b", "lines": "a\nb", "file": "file:///etc/passwd"},
    ],
    "JSONParameterSet": [DOCUMENT, {}, {"control": 'a\tb\nc"d\\e', "big": 2**70}],
    "YAMLParameterSet": [
        {**DOCUMENT, "day": datetime(2020, 1, 2).date(), "numbers": {1: "one", 2.5: "two"}, "text": "'1'"}
    ],
    "NTParameterSet": [NESTED],
    "ConfigParserParameterSet": [
        {"network": {"cells": "1000", "name": "é"}, "run": {"seed": "42"}},
        {"DEFAULT": {"base": "1"}, "network": {"cells": "1000"}},
    ],
    "dict": [{}, {"a": 1, "b": {"c": "é", "d": [1.5, None]}}],
    "NoneType": [None],
    "str": ["whatever --it=is"],
}

TAGS = frozenset({"_finished_", "figure-3", "été", "日本", "Good", "good"})
PEOPLE = "Ærøskøbing 日本語 \N{GRINNING FACE} e\N{COMBINING ACUTE ACCENT} \N{ARABIC LETTER ALEF}"


def _globals_used(kind: str, field: str, values: list[Any]) -> list[Record]:
    return [record(f"{kind}-{number}", **{field: value}) for number, value in enumerate(values)]


def _parameter_sets() -> list[Record]:
    texts = [content.write(name, values) for name, sets in PARAMETERS.items() for values in sets]
    commented = Parameters("SimpleParameterSet", "a = 1 # in ms\nb = 2")
    return _globals_used("parameters", "parameters", [*texts, commented])


#: Launch modes and data stores as each class describes itself.
LAUNCH_MODES: dict[str, dict[str, Any]] = {
    "SerialLaunchMode": {"working_directory": "/code", "options": "--nice 'x y'"},
    "SerialTqdmLaunchMode": {"working_directory": "/code é", "options": None},
    "DistributedLaunchMode": {
        "mpirun": "/bin/sh",
        "n": 4,
        "hosts": ["node-1", "node-2"],
        "pfi_path": "/opt/pfi.py",
        "options": "-x é",
        "working_directory": "/code",
    },
    "SlurmMPILaunchMode": {"mpirun": "/bin/sh", "n": 16, "options": "", "working_directory": "/code"},
}
DATA_STORES: dict[str, dict[str, Any]] = {
    "FileSystemDataStore": {"root": ROOT},
    "ArchivingFileSystemDataStore": {"root": ROOT, "archive": f"{ROOT}/archive"},
    "MirroredFileSystemDataStore": {"root": ROOT, "mirror_base_url": "https://data.lab.example/é/"},
}


def _vocabulary() -> list[Record]:
    programs = [*sumatra_classes.EXECUTABLES, "my-simulator"]
    launched = [Component(*launched) for launched in LAUNCH_MODES.items()]
    places = [Component(*place) for place in DATA_STORES.items()]
    spoken = tuple(Dependency(name, "x", "/opt/x", "1.0") for name in sumatra_classes.LANGUAGES)
    return [
        *_globals_used(
            "executable", "executable", [Executable("/opt/x", name, "1", "-v") for name in programs]
        ),
        *_globals_used("repository", "repository", [Repository(name, "/é", None) for name in REPOSITORIES]),
        *_globals_used("launch", "launch_mode", launched),
        *_globals_used("datastore", "datastore", places),
        *_globals_used("input-datastore", "input_datastore", places),
        *_globals_used("dependencies", "dependencies", [spoken]),
    ]


def _many() -> Record:
    keys = [
        DataKey(f"run/{number:04d}.csv", f"{number:040x}", MOMENT, {"size": number}) for number in range(400)
    ]
    return full(
        "many",
        input_data=tuple(keys[:100]),
        output_data=tuple(keys[100:]),
        tags=frozenset(f"tag-{number}" for number in range(10)),
        dependencies=tuple(
            Dependency("python", f"package{number:03d}", "/opt", "1.0", "") for number in range(100)
        ),
        platforms=tuple(
            Platform(machine="x86_64", network_name=f"node-{n}", ip_addr=f"192.0.2.{n}") for n in range(30)
        ),
    )


def _times() -> list[Record]:
    moments = [
        MOMENT.replace(microsecond=0),
        datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2199, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ]
    keys = [(DataKey("a", SHA1, moment, {}),) for moment in (*moments, None)]
    return [*_globals_used("time", "timestamp", moments), *_globals_used("creation", "output_data", keys)]


GROUPS: dict[str, list[Record]] = {
    "something in every field": [full()],
    "every type of parameters": _parameter_sets(),
    "every class that Sumatra has": _vocabulary(),
    "texts of all sorts": [
        full("label with blanks/and:more|é", reason=PEOPLE, outcome=PEOPLE, user=PEOPLE, tags=TAGS),
        full("control", stdout_stderr="\x1b[32mok\x1b[0m\r\n\ttab\0nul\x7f", diff="a\r\nb\n\n"),
        full("日本 2", main_file="é.py", version="☃", script_arguments="--x='a \"b\"' %s {y}"),
        full("metadata", output_data=(DataKey("é/ß.txt", SHA1, MOMENT, {"caption": PEOPLE, "n": [1]}),)),
    ],
    "empty texts": [record("empty", **dict.fromkeys(NOTHING, ""), tags=frozenset(), duration=0.0)],
    "nothing where there need not be anything": [record("nothing", **NOTHING, duration=None, repeats=None)],
    "many things": [_many()],
    "much text": [full("much", stdout_stderr="spikes é\n" * 150_000, diff="-a\n+b\n" * 20_000)],
    "times of all sorts": _times(),
    "durations": _globals_used("duration", "duration", [0.0, 1e-9, 1.5, 86400.0 * 365, float("inf")]),
}
ALL: list[Record] = [one for group in GROUPS.values() for one in group]

#: Texts of parameters as users write them, and not as Sumatra does.
TYPED: dict[str, list[str]] = {
    "SimpleParameterSet": [
        "a=1\n  b = 2\n\n# a comment\nc = 'x' # 1 # 2",
        'a = -1e-5\nb = (1,)\nc = []\nd = ""\ne = +3',
        "a = True\nb = Purkinje\nc = None",
        "",
    ],
    "JSONParameterSet": ['{"a": 1, "a": 2}', '{"a": NaN, "b": -Infinity, "c": 1e400}', "[1, 2]", "1", ""],
    "YAMLParameterSet": [
        "a: 2001-12-14t21:59:43.10-05:00\nb: 0001-01-01 00:00:00 +05:00\nc: 9999-12-31 23:59:59 -05:00",
        "a: &x [1, 2]\nb: *x\nc: .nan\nd: 0o17\ne: 1_000\nf: 12:30:45\ng: ~",
        "a: !!binary aGVsbG8=\ne: {1: 2, null: 3, 2.5: 4, true: 5}",
        "",
    ],
    "NTParameterSet": [
        "{'a': ParameterRange((1, 2), 'mV', 'v')}",
        "{'a': GammaDist(mean=2.0), 'b': NormalDist(1), 'c': UniformDist()}",
        "{'a': GammaDist(a=1, b=2), 'b': {'c': [pi, true, false]}, 'd': ref('b.c')}",
    ],
    "ConfigParserParameterSet": [
        "[a]\nb: 1\nC = two\n  lines\n; a comment\nd =\n[DEFAULT]\ne = %(b)s",
        "[a]\nb = 50%%\nc = %(home)s/data\n[e]\n",
        "",
    ],
    "dict": ["{1: (2, 3), None: b'x'}", "{'a': {}}"],
    "str": ["{'a': 1}", "{", ""],
    "NoneType": ["None"],
}

#: By field, another value than that of `full`.
OTHER: dict[str, Any] = {
    "timestamp": MOMENT + timedelta(days=1),
    "reason": "another look",
    "duration": 2.5,
    "executable": Executable("/usr/bin/Rscript", "R", "4.3"),
    "repository": Repository("MercurialRepository", "/code/hg", None),
    "main_file": "other.py",
    "version": "0123abc",
    "parameters": Parameters("JSONParameterSet", '{\n    "seed": 2\n}'),
    "input_data": (DataKey("input/other.csv", SHA1, MOMENT, {"size": 1}),),
    "script_arguments": "--other",
    "launch_mode": Component("SerialLaunchMode", {"working_directory": "/other", "options": "-x"}),
    "datastore": Component("FileSystemDataStore", {"root": "/tmp/other"}),
    "input_datastore": Component("FileSystemDataStore", {"root": "/tmp/other/input"}),
    "outcome": "it converged, after all",
    "output_data": (DataKey("run/other.csv", SHA1, None, {"size": 2}),),
    "tags": frozenset({"_finished_", "figure-9"}),
    "diff": "",
    "user": "Grace Hopper",
    "dependencies": (Dependency("python", "scipy", "/opt/lib/scipy", "1.12"),),
    "platforms": (Platform(machine="aarch64", network_name="arm"), NODE),
    "stdout_stderr": "done at last\n",
    "repeats": None,
}
assert set(OTHER) == set(FIELDS), "every field has another value"
assert all(not canonical.same(full(), full(**{field: OTHER[field]}), field) for field in OTHER)

UNFINISHED: dict[str, dict[str, Any]] = {
    "initialized": {"tags": frozenset({"_initialized_"}), "duration": None},
    "pre-run": {"tags": frozenset({"_pre_run_"}), "duration": None},
    "running": {"tags": RUNNING, "duration": None},
    "gathering": {"tags": frozenset({"_finished..._", "sweep"}), "duration": None},
    "not-launched": {"tags": frozenset(), "duration": None, "stdout_stderr": "Not launched."},
}
FINAL: dict[str, dict[str, Any]] = {
    "finished": {},
    "failed": {"tags": frozenset({"_failed_"})},
    "killed": {"tags": frozenset({"_killed_", "sweep"})},
    "old": {"tags": frozenset(), "duration": 1.0},
}

_AWAY = (full().datastore, full().input_datastore)


def at_home(one: Record) -> Record:
    """Return *one* with its data where real Sumatra may create directories, as it does when it reads."""
    away = [name for name in ("datastore", "input_datastore") if getattr(one, name) in _AWAY]
    return change(one, **dict.fromkeys(away, Component("FileSystemDataStore", {"root": ROOT})))


#: Parameters that Sumatra writes as a text with another meaning, because it compares values.
UNSPEAKABLE = {
    "parameters-1": {"shape": "(2, 3)", "nothing": None, "huge": "1e+300", "endless": "inf"},
    "parameters-2": PARAMETERS["SimpleParameterSet"][2],
}
