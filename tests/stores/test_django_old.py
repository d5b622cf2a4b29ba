"""Databases of Sumatra before 0.8.1 are read whole, as they are, and nothing of them changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from anyio import to_thread

from smtd.stores.legacy import databases
from smtd.stores.legacy.sources import Snapshot
from tests.stores import golden
from tests.stores.asking import read_from
from tests.stores.places import CORPUS, DjangoPlace, contents

REAL = {"django074.sqlite": "0.7", "django_0.4.0.sqlite": "0.4"}


def load(path: Path, timezone: str = "Europe/Paris") -> Snapshot:
    return databases.load(path, timezone)


# Real databases


@pytest.mark.parametrize("name", REAL)
def test_real_database_is_read_whole(name: str) -> None:
    """Of a database that the old Sumatra made every field of every record is as it says."""
    found = load(CORPUS / name)

    assert found.version == REAL[name]
    assert found.unreadable == {}
    assert {of.project for of in found.records} == {"oldproj"}
    assert golden.said(found.records) == golden.expected(name.removesuffix(".sqlite"))


@pytest.mark.parametrize("name", REAL)
def test_real_database_stays_as_it_is(tmp_path: Path, name: str) -> None:
    """To read a database changes no byte of it, and makes nothing beside it."""
    shutil.copyfile(CORPUS / name, tmp_path / name)
    before = contents(tmp_path), (tmp_path / name).stat().st_mtime_ns

    load(tmp_path / name)

    assert (contents(tmp_path), (tmp_path / name).stat().st_mtime_ns) == before


# Into a new store


async def test_new_store_keeps_what_the_old_one_says(tmp_path: Path) -> None:
    """What smtd writes of an old database into a new one reads back the same."""
    found = await to_thread.run_sync(load, CORPUS / "django074.sqlite")
    place = DjangoPlace(tmp_path / "new.sqlite")
    await place.put(*found.records.values(), project="oldproj")

    again = await read_from(place, found.records)

    assert golden.said(again) == golden.said(found.records)
