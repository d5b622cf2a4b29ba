"""Pairs of every two kinds of store: each change on one side arrives on the other, once."""

from __future__ import annotations

from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.records import canonical
from tests.build import PROJECT, change, full, key, record, tagged
from tests.peers.server import SumatraServer
from tests.sampling import sampled
from tests.servers.place import place_of
from tests.servers.programs import lacking
from tests.stores.places import DjangoPlace, Place, dumb_place
from tests.stores.server_place import ServerPlace, whole_seconds

pytestmark = pytest.mark.halved

KINDS = [kind for kind in ("shelf", "sqlite", "http", "postgresql", "mariadb") if kind not in lacking()]
SYNCED = {"left": (0, 0, 0), "right": (0, 0, 0)}
RECORDS = [whole_seconds(one) for one in (full("one"), full("two"), record("three"), full("four"))]


def made(kind: str, directory: Path, request: pytest.FixtureRequest) -> Place:
    directory.mkdir()
    if kind == "shelf":
        return dumb_place(directory / "records")
    if kind == "sqlite":
        return DjangoPlace(directory / "records.sqlite")
    if kind == "http":
        server: SumatraServer = request.getfixturevalue("server")
        return ServerPlace(server)
    return place_of(request.getfixturevalue(f"{kind}_server").new())


@pytest.fixture
def places(left: str, right: str, tmp_path: Path, request: pytest.FixtureRequest) -> Both[Place]:
    return Both(made(left, tmp_path / "left", request), made(right, tmp_path / "right", request))


async def synced(directory: Path, places: Both[Place], **policy: Any) -> PairReport:
    """Run one cycle as a new process."""
    async with (
        places.left.open() as left,
        places.right.open() as right,
        open_journal(directory) as journal,
        journal.pair("left", "right") as known,
    ):
        return await cycle.run(Pair("pair", Both(left, right), known, Policy(**policy)))


def counts(report: PairReport) -> dict[str, tuple[int, int, int]]:
    sides = {"left": report.left, "right": report.right}
    return {name: (side.created, side.updated, side.deleted) for name, side in sides.items()}


# Two stores of one Sumatra Server would be the same one.
@pytest.mark.parametrize(
    ("left", "right"),
    sampled([pair for pair in combinations_with_replacement(KINDS, 2) if pair != ("http", "http")], 2),
)
async def test_pair_of_any_two_kinds_is_synced(places: Both[Place], tmp_path: Path) -> None:
    """Records, edits of both sides and deletions; then there is nothing to do."""
    journal = tmp_path / "journal"
    await places.left.put(*RECORDS[:2])
    await places.right.put(*RECORDS[2:])

    first = counts(await synced(journal, places))
    one = RECORDS[0]
    await places.left.put(tagged(one, "left"))
    await places.right.put(tagged(one, "right"))
    await places.left.remove("two")
    await places.left.put(change(RECORDS[2], outcome="so it was"))
    # An edit on a Sumatra Server shows when the record is read again.
    report = await synced(journal, places, verify_within=0.0)
    last = counts(await synced(journal, places, verify_within=0.0))

    assert first == {"left": (2, 0, 0), "right": (2, 0, 0)}
    assert (report.conflicts, report.held, report.failed) == ([], [], [])
    assert counts(report) == {"left": (0, 1, 0), "right": (0, 2, 1)}
    assert last == SYNCED
    async with places.left.open() as store, places.right.open() as other:
        scan, same = await store.scan([PROJECT]), await other.scan([PROJECT])
    both = change(one, tags=one.tags | {"left", "right"})
    assert scan.digests == same.digests
    assert scan.digests[key("one")] == canonical.digest(both)
    assert set(scan.digests) == {key("one"), key("three"), key("four")}
