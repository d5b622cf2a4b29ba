"""Stores as another program sees and changes them: SQLite files, and shelves whose name says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio

from smtd.records.canonical import digest
from smtd.records.record import Key, Record
from smtd.stores.base import Change
from smtd.stores.discovery import find
from smtd.stores.django.driver import SQLITE
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, key


def _location(path: Path) -> Location:
    return find(str(path), may_be_new=True) if path.suffix == ".shelf" else Location(SQLITE, path)


def put(path: Path, *records: Record, project: str = PROJECT) -> None:
    """Put new *records* into the store at *path*, which is created if needed."""
    location = _location(path)

    async def write() -> None:
        async with open_store(location) as store:
            await store.write([Change(Key(project, one.label), one, None) for one in records])

    anyio.run(write)


def keys(path: Path) -> set[Key]:
    """Return the keys of the store at *path*."""
    location = _location(path)

    async def read() -> set[Key]:
        async with open_store(location) as store:
            return set((await store.scan()).digests)

    return anyio.run(read)


def labels(path: Path) -> set[str]:
    """Return the labels in the store at *path*."""
    return {label for _, label in keys(path)}


def held(path: Path) -> dict[str, Record]:
    """Return the records in the store at *path*, by label."""
    location = _location(path)

    async def read() -> dict[str, Record]:
        async with open_store(location) as store:
            keys = list((await store.scan()).digests)
            return {each.label: record for each, record in (await store.read(keys)).items()}

    return anyio.run(read)


def write(path: Path, *records: Record, deleted: Sequence[str] = (), project: str = PROJECT) -> None:
    """Write *records* to the store at *path*, new or changed, and delete others."""
    before = held(path) if any(path.parent.glob(f"{path.name}*")) else {}
    changes = [
        Change(key(label, project), record, digest(before[label]) if label in before else None)
        for label, record in [
            *((each.label, each) for each in records),
            *((label, None) for label in deleted),
        ]
    ]
    location = _location(path)

    async def apply() -> None:
        async with open_store(location) as store:
            await store.write(changes)

    anyio.run(apply)


class Store:
    """A store in which other programs work on the records of one project."""

    def __init__(self, path: Path, project: str = PROJECT) -> None:
        self.path = path
        self._project = project

    def put(self, *records: Record) -> None:
        """Write *records*, new or changed."""
        write(self.path, *records, project=self._project)

    def remove(self, *labels: str) -> None:
        """Delete records."""
        write(self.path, deleted=labels, project=self._project)

    def records(self) -> dict[str, Record]:
        """Return all records by label."""
        return held(self.path)

    def versions(self) -> dict[str, str | None]:
        """Return the version of each record, by label."""
        return {label: one.version for label, one in self.records().items()}
