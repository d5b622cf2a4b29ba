"""A power cut right after a cycle, or in the middle of one, reverts and deletes nothing.

On real file systems; the journal is on another disk than the stores, since each disk loses something else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from anyio import to_thread

from smtd import pairing
from smtd.errors import StoreUnreachable
from smtd.merge.sides import SIDES, Both, Side
from smtd.stores.base import Change, Outcome, Store
from tests.build import commented, full, key
from tests.integration import disks
from tests.integration.disks import Disk
from tests.stores.kept import RealPair, RealPlace
from tests.stores.places import DjangoPlace, dumb_place, sqlite3_place
from tests.stores.test_coarse_times import in_write_ahead_mode

pytestmark = [pytest.mark.soak, pytest.mark.skipif(bool(disks.lacking()), reason=disks.lacking())]

RECORDS = [full(f"run-{number}") for number in range(4)]
A = RECORDS[0]
KINDS: dict[str, Callable[[Path], RealPlace]] = {
    "dbm.dumb": dumb_place,
    "dbm.sqlite3": sqlite3_place,
    "SQLite": DjangoPlace,
    "SQLite in write-ahead mode": in_write_ahead_mode,
}


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Disk, Disk]]:
    """The disk of the journal, and that of the stores."""
    made = Disk(tmp_path / "state"), Disk(tmp_path / "stores")
    yield made
    for disk in made:
        disk.unmount()


@pytest.fixture(params=KINDS)
async def pair(request: pytest.FixtureRequest, both: tuple[Disk, Disk]) -> RealPair:
    """A pair in sync, all of it on the disks."""
    state, stores = both
    left = KINDS[request.param](stores.place / "left")
    made = RealPair(state.place / "state", left, DjangoPlace(stores.place / "right"))
    await made.synced(RECORDS)
    await sync(both)
    return made


async def sync(both: tuple[Disk, Disk]) -> None:
    for disk in both:
        await to_thread.run_sync(disk.sync)


async def cut(both: tuple[Disk, Disk]) -> None:
    for disk in both:
        await to_thread.run_sync(disk.cut)


async def outcomes(pair: RealPair) -> set[str | None]:
    return {(await pair.records(side))[key(A.label)].outcome for side in SIDES}


@pytest.mark.parametrize("side", SIDES)
async def test_synced_comment_is_on_both_sides_after_a_power_cut(
    pair: RealPair, both: tuple[Disk, Disk], side: Side
) -> None:
    """Whether the disk that may lose it had it first or second."""
    await pair.places[side].put(commented(A, "seen"))
    if side is Side.RIGHT:
        await sync(both)
    assert (await pair.cycle()).side(side.other).updated == 1

    await cut(both)
    report = await pair.cycle()

    assert (report.ok, report.left.written, report.right.written) == (True, 0, 0)
    assert await outcomes(pair) == {commented(A, "seen").outcome}


async def test_later_changes_do_not_hide_a_power_cut(pair: RealPair, both: tuple[Disk, Disk]) -> None:
    """After further writes the file looks newer than it was: no time shows that it went back."""
    await pair.left.put(full("new"))
    await pair.left.remove("run-3")
    await pair.cycle()

    await cut(both)
    await pair.left.put(full("later"))
    report = await pair.cycle()

    expected = {"run-0", "run-1", "run-2", "new", "later"}
    assert (report.ok, report.right.deleted, report.left.written) == (True, 0, 0)
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT) == expected


class Failing:
    """The store *inner*, before one of whose writes something happens."""

    def __init__(self, inner: Store, happen: Callable[[], Awaitable[None]]) -> None:
        self._inner, self._happen = inner, happen

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        await self._happen()
        return await self._inner.write(changes)


async def test_record_copied_by_half_a_cycle_is_not_deleted(pair: RealPair, both: tuple[Disk, Disk]) -> None:
    await pair.right.put(full("theirs"))
    await pair.left.put(full("ours"))
    await sync(both)

    async def fail() -> None:
        raise StoreUnreachable("the power fails")

    async with pairing.open_stores(pair.places.map(lambda place: place.location)) as stores:
        failing: Store = Failing(stores.right, fail)  # type: ignore[assignment]
        with pytest.raises(StoreUnreachable):
            await pair.cycle(Both(stores.left, failing))
    await cut(both)
    report = await pair.cycle()

    assert (report.ok, report.right.deleted) == (True, 0)
    labels = {*(one.label for one in RECORDS), "theirs", "ours"}
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT) == labels
