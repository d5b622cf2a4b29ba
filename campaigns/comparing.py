"""What two stores hold, and in which records they differ."""

from __future__ import annotations

from collections.abc import Mapping

from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.base import Store


async def held(store: Store) -> dict[Key, Record]:
    """Return all records of *store* that can be read."""
    return await store.read(sorted((await store.scan()).digests))


def differing(one: Mapping[Key, Record], other: Mapping[Key, Record]) -> set[Key]:
    """Return the keys whose records are not equal, or only in one of the two."""

    def digest(records: Mapping[Key, Record], key: Key) -> bytes | None:
        return canonical.digest(records[key]) if key in records else None

    return {key for key in one.keys() | other.keys() if digest(one, key) != digest(other, key)}
