"""A store around a store whose projects have other names on the other side of a pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import NOTHING_KNOWN, Change, Outcome, Scan, Store
from smtd.stores.index import NO_RECHECK, AllHashed, Entry, Fingerprints, Recheck, RowIndex, RowLook
from smtd.stores.wrapped import WrappedStore


class RenamedStore(WrappedStore):
    """Shows only the projects that *names* has, each under the first of its two names.

    *names* maps the name that is shown to the name in *store*; no name occurs twice on a side.
    """

    def __init__(self, store: Store, names: Mapping[str, str]) -> None:
        super().__init__(store)
        self._inner = dict(names)
        self._shown = {inner: shown for shown, inner in names.items()}

    async def projects(self) -> list[str]:
        return sorted(self._shown[name] for name in await super().projects() if name in self._shown)

    async def scan(
        self, projects: Collection[str] | None = None, *, known: Mapping[Key, Digest] = NOTHING_KNOWN
    ) -> Scan:
        asked = self._inner if projects is None else projects
        inner = [self._inner[name] for name in asked if name in self._inner]
        trusted = {there: known[key] for there, key in self.inner(known).items()}
        found = await super().scan(inner, known=trusted)
        return Scan(
            {self._shown_key(key): digest for key, digest in found.digests.items()},
            {self._shown_key(key) for key in found.unfinished},
            {self._shown_key(key): reason for key, reason in found.unreadable.items()},
        )

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        found = await super().read(self.inner(keys))
        return {self._shown_key(key): record for key, record in found.items()}

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return await super().write([replace(change, key=self._inner_key(change.key)) for change in changes])

    async def track(self, index: RowIndex, recheck: Recheck = NO_RECHECK) -> RowLook:
        # Not partial: the check that no record is gone would count the hidden records, too.
        inner = Recheck([*self.inner(recheck.keys)], recheck.everything)
        found = await super().track(_RenamedIndex(index, self), inner)
        shown = self.shown(found.found)
        return found._replace(
            found={key: found.found[there] for key, there in shown.items()},
            rows={key: found.rows[there] for key, there in shown.items() if there in found.rows},
            listed=self.shown(found.listed).keys(),
        )

    async def follow(self, index: RowIndex) -> None:
        await super().follow(_RenamedIndex(index, self))

    async def fingerprint_all(self, index: RowIndex) -> AllHashed | None:
        found = await super().fingerprint_all(_RenamedIndex(index, self))
        if found is None:
            return None
        fingerprints, rows = found
        return fingerprints, {key: rows[there] for key, there in self.shown(rows).items()}

    def inner(self, keys: Collection[Key]) -> dict[Key, Key]:
        """Return the *keys* that are shown, by their keys in the store."""
        return {self._inner_key(key): key for key in keys if key.project in self._inner}

    def shown(self, keys: Collection[Key]) -> dict[Key, Key]:
        """Return the *keys* in the store whose projects are shown, by their shown keys."""
        return {self._shown_key(key): key for key in keys if key.project in self._shown}

    def _inner_key(self, key: Key) -> Key:
        return Key(self._inner[key.project], key.label)

    def _shown_key(self, key: Key) -> Key:
        return Key(self._shown[key.project], key.label)


class _RenamedIndex:
    """The index of a store whose projects are shown by other names; its own keys have the store's names."""

    def __init__(self, index: RowIndex, names: RenamedStore) -> None:
        self._index = index
        self._names = names

    async def fingerprints(self) -> Fingerprints | None:
        return await self._index.fingerprints()

    async def rows_of(self, keys: Collection[Key]) -> dict[Key, list[int]]:
        shown = self._names.shown(keys)
        return {shown[key]: rows for key, rows in (await self._index.rows_of(shown)).items()}

    async def highest_and_rows_of(self, keys: Collection[Key]) -> tuple[int | None, dict[Key, list[int]]]:
        shown = self._names.shown(keys)
        highest, found = await self._index.highest_and_rows_of(shown)
        return highest, {shown[key]: rows for key, rows in found.items()}

    async def keys_of(self, rows: Collection[int]) -> set[Key]:
        return set(self._names.inner(await self._index.keys_of(rows)))

    async def highest_row(self) -> int | None:
        return await self._index.highest_row()

    async def present(self) -> Mapping[Key, Entry]:
        shown = await self._index.present()
        return {inner: shown[key] for inner, key in self._names.inner(shown).items()}

    async def row_count(self) -> int:
        return await self._index.row_count()

    async def unlisted(self) -> set[Key]:
        return set(self._names.inner(await self._index.unlisted()))
