"""While a pair cannot sync, the readable side shows how many records wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtd import pairing
from smtd.daemon.backlog import Backlog
from smtd.journal.journal import Journal, open_journal
from smtd.merge.sides import Both
from smtd.records.record import Key
from smtd.stores.base import Change
from smtd.stores.django.driver import SQLITE
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, full
from tests.daemon.working import SETTINGS, put

AWAY = Location(HTTP, Path(), url="http://127.0.0.1:9/records/")


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path / "state") as made:
        yield made


def files(tmp_path: Path) -> Both[Location]:
    return Both("left", "right").map(lambda name: Location(SQLITE, tmp_path / f"{name}.sqlite"))


async def sync(journal: Journal, locations: Both[Location]) -> None:
    async with pairing.open_stores(locations) as stores:
        await pairing.sync(journal, "pair", locations, stores, SETTINGS.policy)


def backlog(journal: Journal, locations: Both[Location]) -> Backlog:
    async def locate() -> Both[Location]:
        return locations

    return Backlog(SETTINGS, locate, journal)


async def test_all_records_wait_before_the_first_sync(journal: Journal, tmp_path: Path) -> None:
    """Nothing was agreed on yet, so each record has to be copied."""
    left = files(tmp_path).left
    await put(left, "one", "two")

    assert await backlog(journal, Both(left, AWAY)).count() == 2


@pytest.mark.parametrize("flipped", [False, True], ids=["as synced", "with the sides exchanged"])
async def test_new_changed_and_deleted_records_wait(journal: Journal, tmp_path: Path, flipped: bool) -> None:
    """Each counts once, whichever side is readable; unchanged records do not count."""
    locations = files(tmp_path)
    await put(locations.left, "same", "edited", "gone")
    await sync(journal, locations)
    async with open_store(locations.left) as store:
        digests = (await store.scan()).digests
        edited, gone = Key(PROJECT, "edited"), Key(PROJECT, "gone")
        changes = [
            Change(edited, full("edited", outcome="new words"), digests[edited]),
            Change(gone, None, digests[gone]),
            Change(Key(PROJECT, "new"), full("new"), None),
        ]
        await store.write(changes)
    locations.right.path.unlink()

    assert await backlog(journal, locations.swapped if flipped else locations).count() == 3


async def test_count_is_renewed_when_the_store_changes(journal: Journal, tmp_path: Path) -> None:
    """An old count is valid only until a program writes."""
    locations = files(tmp_path)
    await put(locations.left, "one")
    counted = backlog(journal, Both(locations.left, AWAY))

    first, again = await counted.count(), await counted.count()
    await put(locations.left, "two")

    assert [first, again, await counted.count()] == [1, 1, 2]


@pytest.mark.slow
async def test_count_is_unknown_if_no_store_can_be_read(journal: Journal, tmp_path: Path) -> None:
    """A missing store has not lost its records, so none of them waits."""
    locations = files(tmp_path)
    await put(locations.left, "one")
    await sync(journal, locations)
    locations.left.path.unlink()

    assert await backlog(journal, Both(locations.left, AWAY)).count() is None
