"""A cycle of real stores is undone on both sides, down to every field of every record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smtd.engine.report import Hold
from smtd.engine.undo import undo
from smtd.merge.sides import SIDES
from smtd.records.record import Key, Record
from tests.build import change, commented, full, record, tagged
from tests.peers.server import SumatraServer
from tests.stores.kept import RealPair, RealPlace
from tests.stores.places import DjangoPlace, dumb_place, sqlite3_place
from tests.stores.server_place import ServerPlace

A, B, C, D, E = (full(f"run-{letter}") for letter in "abcde")
FILES: dict[str, Callable[[Path], RealPlace]] = {
    "dbm.dumb": dumb_place,
    "dbm.sqlite3": sqlite3_place,
    "SQLite": DjangoPlace,
}


async def busy(pair: RealPair) -> RealPair:
    """Make users create, edit and delete on both sides of a pair in sync, and edit one record on both."""
    await pair.synced([A, B, C, D, E])
    await pair.left.put(tagged(A, "edited"), commented(E, "left"), full("new-left"))
    await pair.left.remove("run-c")
    await pair.right.put(change(B, outcome="edited"), commented(E, "right"), record("new-right"))
    await pair.right.remove("run-d")
    return pair


async def both(pair: RealPair) -> list[dict[Key, Record]]:
    """Return every complete record of both sides."""
    return [await pair.records(side) for side in SIDES]


async def undone(pair: RealPair) -> None:
    """Run a cycle and undo it; both stores hold what they held before it, and keep it."""
    before = await both(pair)
    report = await pair.cycle(verify_within=0.0)
    assert (report.ok, report.in_sync) == (True, 5)
    assert [(side.created, side.updated, side.deleted) for side in (report.left, report.right)] == [
        (1, 2, 1)
    ] * 2
    ((number,),) = pair.journal("SELECT max(cycle) FROM history")

    result = await pair.on_pair(undo, number)

    assert (len(result.done), result.refused) == (8, [])
    assert await both(pair) == before
    after = await pair.cycle(verify_within=0.0)
    assert (after.left.written + after.right.written, {held.kind for held in after.held}) == (
        0,
        {Hold.UNDONE},
    )
    assert await both(pair) == before


@pytest.mark.parametrize("kind", FILES)
async def test_undone_cycle_leaves_no_trace_in_files(kind: str, tmp_path: Path) -> None:
    """Of any kind."""
    left, right = FILES[kind](tmp_path / "left"), DjangoPlace(tmp_path / "right.sqlite")

    await undone(await busy(RealPair(tmp_path / "state", left, right)))


async def test_undone_cycle_leaves_no_trace_on_a_server(server: SumatraServer, tmp_path: Path) -> None:
    """As far as a server shows it."""
    left, right = DjangoPlace(tmp_path / "left.sqlite"), ServerPlace(server)

    await undone(await busy(RealPair(tmp_path / "state", left, right)))
