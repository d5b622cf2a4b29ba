"""A store in memory: the reference for the contract, and a side in tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from smtd.records.record import Key, Record
from smtd.stores.base import DONE, STALE, Capabilities, Change, Changes, Outcome, Scan, Token
from smtd.stores.index import ABSENT, Entry, entry_of, scan


class _Last(NamedTuple):
    """The last scan."""

    projects: Collection[str] | None
    number: int
    entries: Mapping[Key, Entry]


class MemoryStore:
    """Keeps records in a dictionary; `put` and `remove` stand for writes of other programs."""

    kind = "memory"
    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, resumes=True)

    def __init__(self, location: str = "memory", records: Mapping[Key, Record] | None = None) -> None:
        self.location = location
        self.records = dict(records or {})
        self._version = 0
        self._last: _Last | None = None
        self._known: int | None = None  # the version after the last scan and own writes since

    def __repr__(self) -> str:
        return f"MemoryStore({self.location!r}, {len(self.records)} records)"

    def put(self, project: str, record: Record) -> None:
        """Store *record* as another program would."""
        self.records[Key(project, record.label)] = record
        self._version += 1

    def remove(self, project: str, label: str) -> None:
        """Remove a record as another program would."""
        del self.records[Key(project, label)]
        self._version += 1

    async def projects(self) -> list[str]:
        return sorted({key.project for key in self.records})

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        self._known = self._version
        entries = {
            key: entry_of(record)
            for key, record in self.records.items()
            if projects is None or key.project in projects
        }
        found, before = scan(entries), self._last
        self._last = _Last(projects, found.number, entries)
        if before is None or before.projects != projects:
            return found
        changed = {key for key, _ in before.entries.items() ^ entries.items()}
        return replace(found, changes=Changes(before.number, changed))

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        held = {key: self.records[key] for key in keys if key in self.records}
        return {key: record for key, record in held.items() if entry_of(record).is_readable}

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return [self._write(change) for change in changes]

    def _write(self, change: Change) -> Outcome:
        held = self.records.get(change.key)
        entry = ABSENT if held is None else entry_of(held)
        if entry.problem or entry.digest != change.expect:
            return STALE
        if change.record is None:
            self.records.pop(change.key, None)
        else:
            self.records[change.key] = change.record
        if self._known == self._version:
            self._known += 1
        self._version += 1
        return DONE

    async def token(self) -> Token | None:
        return self._token() if self._known == self._version else None

    async def unchanged_since(self, token: Token) -> bool:
        return token == self._token()

    async def flush(self) -> None:
        """Do nothing: memory cannot be made durable."""

    def rest(self) -> None:
        """Release nothing: there is no other place to read it from."""

    async def resume(self, token: Token) -> bool:
        is_same = token == self._token()
        self._known = self._version if is_same else None
        return is_same

    def _token(self) -> Token:
        return str(self._version).encode()
