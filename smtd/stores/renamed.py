"""A store around a store whose projects are known by other names on the other side of a pair."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import NOTHING_KNOWN, Capabilities, Change, Outcome, Scan, Store
from smtd.stores.wrapped import WrappedStore


class RenamedStore(WrappedStore):
    """Shows only the projects that *names* has, each under the first of its two names.

    *names* maps the name that is shown to the name in *store*; no name occurs twice on a side.
    """

    def __init__(self, store: Store, names: Mapping[str, str]) -> None:
        super().__init__(store)
        self._inner = dict(names)
        self._shown = {inner: shown for shown, inner in names.items()}

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, tells_arrivals=False)

    async def projects(self) -> list[str]:
        return sorted(self._shown[name] for name in await super().projects() if name in self._shown)

    async def scan(
        self, projects: Collection[str] | None = None, *, known: Mapping[Key, Digest] = NOTHING_KNOWN
    ) -> Scan:
        asked = self._inner if projects is None else projects
        inner = [self._inner[name] for name in asked if name in self._inner]
        trusted = {self._within(key): digest for key, digest in known.items() if key.project in self._inner}
        found = await super().scan(inner, known=trusted)
        return Scan(
            {self._without(key): digest for key, digest in found.digests.items()},
            {self._without(key) for key in found.unfinished},
            {self._without(key): reason for key, reason in found.unreadable.items()},
        )

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        found = await super().read([self._within(key) for key in keys if key.project in self._inner])
        return {self._without(key): record for key, record in found.items()}

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return await super().write([replace(change, key=self._within(change.key)) for change in changes])

    def _within(self, key: Key) -> Key:
        return Key(self._inner[key.project], key.label)

    def _without(self, key: Key) -> Key:
        return Key(self._shown[key.project], key.label)
