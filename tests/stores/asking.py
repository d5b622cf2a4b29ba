"""How tests use a store: changes to write, and a store that is opened, used once, and closed again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import Change, Outcome, Scan
from tests.build import PROJECT, key


class Openable(Protocol):
    """A place of a store, or another object that opens one."""

    def open(self) -> AbstractAsyncContextManager[Any]:
        """Open the store as another program would."""


def create(one: Record, project: str = PROJECT) -> Change:
    """Return the change that creates *one*, if its key is absent."""
    return Change(key(one.label, project), one, None)


def replace(old: Record, new: Record) -> Change:
    """Return the change that replaces *old* by *new*."""
    return Change(key(old.label), new, canonical.digest(old))


def delete(old: Record) -> Change:
    """Return the change that deletes *old*."""
    return Change(key(old.label), None, canonical.digest(old))


def digests(*records: Record) -> dict[Key, Digest]:
    """Return the digests that a scan of a store with *records* shows."""
    return {key(one.label): canonical.digest(one) for one in records}


async def scan_of(place: Openable, projects: Collection[str] | None = None) -> Scan:
    """Return a scan of *place*."""
    async with place.open() as store:
        found: Scan = await store.scan(projects)
        return found


async def read_from(place: Openable, keys: Iterable[Key]) -> dict[Key, Record]:
    """Return the records of *place* under *keys*."""
    async with place.open() as store:
        found: dict[Key, Record] = await store.read(keys)
        return found


async def write_to(place: Openable, changes: Sequence[Change]) -> list[Outcome]:
    """Make *changes*, and return the outcomes."""
    async with place.open() as store:
        outcomes: list[Outcome] = await store.write(changes)
        return outcomes


async def scan_and_read(place: Openable, keys: Iterable[Key]) -> tuple[Scan, dict[Key, Record]]:
    """Return a scan of *place*, and what the same store then reads under *keys*."""
    async with place.open() as store:
        return await store.scan(), await store.read(keys)


async def write_and_scan(place: Openable, changes: Sequence[Change]) -> tuple[list[Outcome], Scan]:
    """Make *changes*; return the outcomes, and a scan by the same store after them."""
    async with place.open() as store:
        return await store.write(changes), await store.scan()


async def write_and_read(
    place: Openable, changes: Sequence[Change], keys: Iterable[Key]
) -> tuple[list[Outcome], dict[Key, Record]]:
    """Make *changes*; return the outcomes, and what the same store then reads under *keys*."""
    async with place.open() as store:
        return await store.write(changes), await store.read(keys)
