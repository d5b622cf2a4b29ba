"""Odd values on a real Sumatra Server are kept exactly, or refused with a reason."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from smtd.records import canonical
from smtd.records.record import Component, DataKey, Dependency, Executable, Parameters, Repository
from smtd.stores.base import DONE, Change, Result
from tests.build import MOMENT, NODE, NUMPY, OUTPUT, full, key
from tests.peers.server import SumatraServer
from tests.stores.asking import write_and_scan
from tests.stores.samples import LAUNCH_MODES
from tests.stores.server_place import ServerPlace

SHA1 = "0" * 40
#: The offset of Amsterdam before 1937.
ODD_ZONE = timezone(timedelta(minutes=19, seconds=32))


def output(**fields: Any) -> dict[str, Any]:
    """Return a record's one output, with *fields*."""
    plain: dict[str, Any] = {"path": "a.csv", "digest": SHA1, "creation": MOMENT, "metadata": {}}
    return {"output_data": (DataKey(**(plain | fields)),)}


def utc(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]


def metadata(**values: Any) -> dict[str, Any]:
    return output(metadata=values)


#: Values that arrive, by label.
TAKEN: dict[str, dict[str, Any]] = {
    "l" * 101: {},
    "nul": {"stdout_stderr": "a\0b", "reason": "\0", "outcome": "c\0"},
    "ends": {"outcome": " a\r\n\tb \n", "reason": "\ufeffx"},
    "metadata-nan": metadata(a=float("nan"), b=float("inf"), c=-0.0),
    "metadata-large": metadata(a=2**63, b=-(2**63), c=1e308),
    "metadata-none": metadata(mimetype=None, size=None),
    "metadata-deep": metadata(a={"b": [1, None, {"c": True}]}, quoted="a\"b'c\\d\ne\0", é="☃"),
    "creation-none": output(creation=None),
    "creation-1900": output(creation=utc(1899, 12, 31, 23, 59, 59)),
    "creation-9999": output(creation=utc(9999, 12, 31, 23, 59, 59)),
    "creation-zone": output(creation=datetime(2024, 1, 1, tzinfo=ODD_ZONE)),
    "path": output(path="p é\"'\n" * 500),
    "digest": output(digest=""),
    "twice": {
        "output_data": (OUTPUT, OUTPUT, replace(OUTPUT, digest=SHA1)),
        "input_data": (OUTPUT,),
    },
    "time-1899": {"timestamp": utc(1899, 12, 31, 23, 59, 59)},
    "time-9999": {"timestamp": utc(9999, 12, 31, 23, 59, 59)},
    "time-zone": {"timestamp": datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45)))},
    "executable-none": {"executable": Executable("/x", "X", None, None)},
    "executable-empty": {"executable": Executable("/usr/bin/python3", "Python", "", "")},
    "tag-comma": {"tags": frozenset({"a,b", "c"})},
    "tag-quotes": {"tags": frozenset({'a"b', "c'd"})},
    "tag-blanks": {"tags": frozenset({"two words", " x "})},
    "tag-unicode": {"tags": frozenset({"é", "e\u0301", "日本", "\N{GRINNING FACE}", "A", "a", "ts" * 500})},
    "tag-none": {"tags": frozenset({""})},
    "duration": {"duration": float("nan")},
    "duration-large": {"duration": 1e308},
    "nothing": dict.fromkeys(("reason", "outcome", "main_file", "version", "user", "diff", "repeats")),
    "repository": {"repository": Repository("GitRepository", None, "")},
    "dependency": {"dependencies": (Dependency("python", "x", None, None, None, None), NUMPY, NUMPY)},
    "platform": {"platforms": (NODE, NODE, replace(NODE, ip_addr="FE80::1"))},
    "letters": {"stdout_stderr": "é" * 1_200_000},  # as UTF-8 they fit, escaped they would not
}
#: Values that do not, by label, and the reason.
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "surrogate": ("is not Unicode", {"stdout_stderr": "a\ud800"}),
    "surrogate-path": ("is not Unicode", output(path="a\udcff")),
    "large": ("does not accept 2.6 MiB at once", {"stdout_stderr": "x" * 2_700_000}),
    "infinite": ("no infinite duration", {"duration": float("inf")}),
    "time-1": ("time before the year 1000", {"timestamp": utc(1, 1, 1)}),
    "creation-1": ("time before the year 1000", output(creation=utc(1, 1, 1))),
    "address": ("the address of every machine", {"platforms": (replace(NODE, ip_addr=""),)}),
    "parameters": ("parameters of type dict", {"parameters": Parameters("dict", "{'a': 1}")}),
    "root": ("stored a different datastore", {"datastore": Component("FileSystemDataStore", {"root": None})}),
} | {
    mode: ("could not show it", {"launch_mode": Component(mode, LAUNCH_MODES[mode])})
    for mode in ("DistributedLaunchMode", "SlurmMPILaunchMode")
}


@pytest.mark.slow
async def test_odd_values_arrive_exactly_or_are_refused(server: SumatraServer) -> None:
    """No value is altered, nothing of a refused one stays, and each reason has a next step."""
    taken = {label: full(label, **fields) for label, fields in TAKEN.items()}
    odd = {label: full(label, **fields) for label, (_, fields) in REFUSED.items()}
    records = taken | odd

    done, scan = await write_and_scan(
        ServerPlace(server), [Change(key(label), one, None) for label, one in records.items()]
    )

    outcomes = dict(zip(records, done, strict=True))
    assert {label: outcomes[label] for label in taken} == dict.fromkeys(taken, DONE)
    assert {label for label in odd if outcomes[label].result is not Result.REFUSED} == set()
    for label, (reason, _) in REFUSED.items():
        assert reason in outcomes[label].reason
        assert "; " in outcomes[label].reason, outcomes[label].reason
    assert scan.digests == {key(label): canonical.digest(one) for label, one in taken.items()}
    assert scan.unreadable == {}
