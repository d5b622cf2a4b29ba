"""Odd labels and values are copied exactly between every two kinds of stores, or reported; never altered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import permutations
from pathlib import Path

import pytest

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.output.english import sentence
from smtd.records import canonical
from smtd.records.record import DataKey, Key, Parameters, Record, encode
from smtd.stores.base import Change
from tests.build import FINISHED, PROJECT, UTC, change, full, record
from tests.peers.server import SumatraServer
from tests.stores.places import DjangoPlace, Place, ShelfPlace, dumb_place, sqlite3_place
from tests.stores.server_place import ServerPlace

pytestmark = pytest.mark.halved

KINDS: dict[str, Callable[[Path], Place]] = {
    "dumb": lambda directory: dumb_place(directory / "dumb"),
    "sqlite3": lambda directory: sqlite3_place(directory / "sqlite3"),
    "django": lambda directory: DjangoPlace(directory / "django.sqlite"),
}
LABELS = [
    *("x" * 100, "x" * 101, "x" * 5000),
    *(
        "é",
        "e\u0301",
        "\u2603\U0001d518",
        "a/b",
        "/",
        "..",
        "a%2Fb",
        "a b",
        " ",
        " before",
        "after ",
        "a\nb",
        "a\tb",
    ),
    *("-dash", "a'b", 'a"b', "a,b", "a\\b", "null\0byte", "lone\ud800", "A", "a", ""),
]
TAGS = ["a,b", 'a "b" c', "a'b", " x ", "", "two words", "é☃", "x" * 60, "nul\0", "lone\ud800", '"', "<b>"]
TEXTS = [
    "",
    " ",
    "\n",
    "a\r\nb",
    "nul\0byte",
    "lone\ud800",
    "\u2603\U0001d518",
    "e\u0301",
    "x" * 300_000,
    "'; DROP TABLE x",
]
NUMBERS = ["nan", "inf", "-inf", "-0.0", "1e-320", "10**400", "[nan, {'a': inf}]"]


def odd() -> list[Record]:
    """Return records, each of which is odd in one way."""
    made = [full(label) for label in LABELS]
    made += [record(f"tag-{n}", tags=FINISHED | {tag}) for n, tag in enumerate(TAGS)]
    for field in ("reason", "outcome", "stdout_stderr", "script_arguments", "version", "main_file"):
        made += [record(f"{field}-{n}", **{field: text}) for n, text in enumerate(TEXTS)]
    durations = (float("nan"), float("inf"), -0.0, 1e-320, 1e308, -5.0)
    made += [record(f"duration-{n}", duration=each) for n, each in enumerate(durations)]
    times = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    made += [record(f"time-{n}", timestamp=each) for n, each in enumerate(times)]
    json = ('{"a": NaN}', '{"a": Infinity}', '{"a": -0.0}', '{"a": 1e400}', '{"a": "\\u0000\\ud800"}')
    made += [
        record(f"json-{n}", parameters=Parameters("JSONParameterSet", each)) for n, each in enumerate(json)
    ]
    paths = ("", "a b", "a,b", "a\nb", "é" * 300, "../../etc/passwd", "nul\0", "lone\ud800")
    made += [record(f"path-{n}", output_data=(DataKey(each, "0" * 40),)) for n, each in enumerate(paths)]
    return made


async def fill(place: Place, records: list[Record]) -> None:
    """Put the records that fit into the store, as its own Sumatra would."""
    if isinstance(place, ShelfPlace):
        await place.put(*records)
        return
    async with place.open() as store:
        await store.write([Change(Key(PROJECT, one.label), one, None) for one in records])


async def held(place: Place) -> dict[Key, Record]:
    async with place.open() as store:
        return await store.read((await store.scan()).digests)


async def synced(left: Place, right: Place, state: Path) -> PairReport:
    async with (
        open_journal(state) as journal,
        left.open() as one,
        right.open() as other,
        journal.pair(one.location, other.location) as known,
    ):
        return await cycle.run(Pair("odd", Both(one, other), known, Policy()))


async def assert_exact_or_named(left: Place, right: Place, state: Path) -> int:
    """Sync twice; return how many records were copied."""
    async with left.open() as store:
        scan = await store.scan()
        before = await store.read(scan.digests)
    exactly = {of: encode(one) for of, one in before.items()}

    first = await synced(left, right, state)
    carried = await held(right)
    second = await synced(left, right, state)

    assert {of: encode(one) for of, one in (await held(left)).items()} == exactly
    named = {(each.project, each.label) for each in first.failed}
    assert {tuple(each) for each in before} <= named | {tuple(each) for each in carried}
    assert len(before) + len(scan.unreadable) == len(named | {tuple(each) for each in carried})
    differing = {
        of: canonical.differences(right.kept(before[of]), one)
        for of, one in carried.items()
        if tuple(of) not in named
        and canonical.digest(change(one)) != canonical.digest(right.kept(before[of]))
    }
    assert differing == {}
    assert all(sentence(each.why) for each in first.failed)
    assert (second.left.written, second.right.written) == (0, 0)
    assert {(each.project, each.label) for each in second.failed} == named
    return len(carried)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sqlite3", "django"])
async def test_odd_record_reaches_a_server_and_back_unaltered_or_is_reported(
    kind: str, server: SumatraServer, tmp_path: Path
) -> None:
    """A server accepts less than a file, and smtd reports that; what it accepted comes back unaltered."""
    (tmp_path / "other").mkdir()
    place, other = KINDS[kind](tmp_path), KINDS[kind](tmp_path / "other")
    await fill(place, odd())

    assert await assert_exact_or_named(place, ServerPlace(server), tmp_path / "there") > len(odd()) * 0.4
    assert await assert_exact_or_named(ServerPlace(server), other, tmp_path / "back") > len(odd()) * 0.4


@pytest.mark.parametrize(("source", "target"), list(permutations(KINDS, 2)))
async def test_odd_record_is_copied_exactly_or_reported(source: str, target: str, tmp_path: Path) -> None:
    """No record is altered, and none is missing without a report."""
    left, right = KINDS[source](tmp_path), KINDS[target](tmp_path)
    await fill(left, odd())

    carried = await assert_exact_or_named(left, right, tmp_path / "state")

    assert carried > len(odd()) * 0.6


LARGE = {
    "50 MB of output": lambda: record("large", stdout_stderr="all work and no play\n" * 2_500_000),
    "10,000 outputs": lambda: record(
        "many", output_data=tuple(DataKey(f"out/{n:05}.csv", f"{n:040x}") for n in range(10_000))
    ),
}


@pytest.mark.soak
@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
async def test_large_record_is_copied_exactly(make: Callable[[], Record], tmp_path: Path) -> None:
    """Its size stops no record from going from a shelf to a database, and on to a shelf."""
    shelf, database = dumb_place(tmp_path / "shelf"), DjangoPlace(tmp_path / "records.sqlite")
    other = sqlite3_place(tmp_path / "other")
    await fill(shelf, [make()])

    assert await assert_exact_or_named(shelf, database, tmp_path / "first") == 1
    assert await assert_exact_or_named(database, other, tmp_path / "second") == 1
