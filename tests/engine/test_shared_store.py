"""Pairs of one process that share a store, and run at the same time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.filestat import SETTLE
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.records.record import Record
from smtd.stores.base import Store
from smtd.stores.django.file_tracker import FileTracker
from tests.build import commented, key, record
from tests.stores.places import DjangoPlace, dumb_place

PAIRS = 4


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were looked at row by row."""
    found: list[Path] = []
    track = FileTracker.track

    async def watched(tracker: Any, *args: Any, **options: Any) -> Any:
        found.append(tracker._file.path)
        return await track(tracker, *args, **options)

    monkeypatch.setattr(FileTracker, "track", watched)
    return found


class Hub:
    """A store, and one for each of `PAIRS` pairs with it."""

    def __init__(self, place: Any, directory: Path) -> None:
        self.place = place
        self.others = [DjangoPlace(directory / f"other-{number}.sqlite") for number in range(PAIRS)]
        self.opened: list[Both[Store]] = []
        self.journal: Any = None

    async def cycles(self, **policy: Any) -> None:
        """Run a cycle of each pair, all at the same time."""
        async with anyio.create_task_group() as group:
            for number in range(PAIRS):
                group.start_soon(partial(self._cycle, number, **policy))

    async def _cycle(self, number: int, **policy: Any) -> None:
        locations = Both(self.place.location, self.others[number].location)
        report = await pairing.sync(
            self.journal, str(number), locations, self.opened[number], Policy(**policy)
        )
        assert report.ok

    async def outcomes(self) -> list[str | None]:
        """Return the outcome of the record in each of the other stores."""
        found: list[Record] = []
        for place in self.others:
            async with place.open() as store:
                found.append((await store.read([key("run")]))[key("run")])
        return [one.outcome for one in found]


async def opened(stack: AsyncExitStack, place: Any, directory: Path) -> Hub:
    """Return a hub that is in sync with all others, and stays open."""
    hub = Hub(place, directory)
    await place.put(record("run"))
    hub.journal = await stack.enter_async_context(open_journal(directory / "state"))
    for other in hub.others:
        locations = Both(place.location, other.location)
        hub.opened.append(await stack.enter_async_context(pairing.open_stores(locations)))
    await hub.cycles()
    return hub


@pytest.mark.parametrize(("place", "times"), [(DjangoPlace, 1), (dumb_place, 0)], ids=["database", "shelf"])
async def test_change_in_a_shared_store_is_copied_by_all_pairs(
    tmp_path: Path, looks: list[Path], place: Callable[[Path], Any], times: int
) -> None:
    """A pair that has waited for the look of another one at a database uses its findings."""
    async with AsyncExitStack() as stack:
        hub = await opened(stack, place(tmp_path / "hub.sqlite"), tmp_path)
        await hub.place.put(commented(record("run"), "seen"))
        await anyio.sleep(4 * SETTLE)  # no program writes for a moment
        looks.clear()
        await hub.cycles()

        assert looks.count(hub.place.location.path) == times
        assert await hub.outcomes() == ["seen"] * PAIRS


async def test_change_during_a_shared_look_is_copied_by_all_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pair that looks has not seen it, so the waiting pairs look themselves."""
    async with AsyncExitStack() as stack:
        hub = await opened(stack, DjangoPlace(tmp_path / "hub.sqlite"), tmp_path)
        track, rest = FileTracker.track, iter([True])

        async def late(tracker: Any, *args: Any, **options: Any) -> Any:
            found = await track(tracker, *args, **options)
            if tracker._file.path == hub.place.location.path and next(rest, False):
                await hub.place.put(commented(record("run"), "the last word"))
            return found

        monkeypatch.setattr(FileTracker, "track", late)
        await hub.place.put(commented(record("run"), "seen"))
        await anyio.sleep(4 * SETTLE)
        await hub.cycles()
        await hub.cycles()

        assert await hub.outcomes() == ["the last word"] * PAIRS


async def test_half_saved_record_is_copied_by_all_pairs_once_it_is_complete(tmp_path: Path) -> None:
    """Pairs that wait for the first look do not take for complete what that look could not."""
    async with AsyncExitStack() as stack:
        hub = await opened(stack, DjangoPlace(tmp_path / "hub.sqlite"), tmp_path)
        for text in ("half", "half, and the rest"):
            await hub.place.put(commented(record("run"), text))
            await hub.cycles(wait_to_settle=False)
        await hub.cycles()

        assert await hub.outcomes() == ["half, and the rest"] * PAIRS
