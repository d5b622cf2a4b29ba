"""Shelves made by real Sumatras before 0.8.1, and what smtd reads from them."""

from __future__ import annotations

from pathlib import Path

from smtd.records.record import Key, Record
from smtd.stores.base import Store
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.store import ShelfStore

#: The project of each of them.
PROJECT = "corpus"
#: The shelves, and the version whose form their records have; 0.5 and 0.7 stand for all like them.
SHELVES = {
    "c021_py27": "0.2",
    "c030_py27": "0.3",
    "c040_py27": "0.4",
    "c053_py27": "0.5",
    "c060_py27": "0.6",
    "c074_py27": "0.7",
    "c074_py37": "0.7",
}


def own(label: str) -> Key:
    return Key(PROJECT, label)


def opened(path: Path, zone: str = "Europe/Paris") -> ShelfStore:
    return ShelfStore(DumbFile(path), str(path), zone)


async def whole(store: Store) -> dict[Key, Record]:
    """Return every record; none must be unreadable."""
    scan = await store.scan()
    assert scan.unreadable == {}
    return await store.read(scan.digests)
