"""A store in memory: the reference for the contract, and a side in tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.records.run_status import is_final
from smtd.stores.base import DONE, STALE, Capabilities, Change, Changes, Outcome, Scan, Token


class MemoryStore:
    """Keeps records in a dictionary; `put` and `remove` stand for writes of other programs."""

    kind = "memory"
    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, resumes=True)

    def __init__(self, location: str = "memory", records: dict[Key, Record] | None = None) -> None:
        self.location = location
        self.records: dict[Key, Record] = dict(records or {})
        self._version = 0
        self._last: tuple[Scan, Collection[str] | None] | None = None
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
        return self._compared(self._scanned(projects), projects)

    def _scanned(self, projects: Collection[str] | None) -> Scan:
        digests, unfinished, unreadable = {}, set(), {}
        for key, record in self.records.items():
            if projects is not None and key.project not in projects:
                continue
            try:
                digests[key] = canonical.digest(record)
            except RecordUnusable as exc:
                unreadable[key] = str(exc)
                continue
            if not is_final(record):
                unfinished.add(key)
        return Scan(digests, unfinished, unreadable)

    def _compared(self, scan: Scan, projects: Collection[str] | None) -> Scan:
        """Return *scan* with the changes since the previous scan, if that was of the same projects."""
        before, self._last = self._last, (scan, projects)
        if before is None or before[1] != projects:
            return scan
        last = before[0]
        keys = {key for key, _ in last.digests.items() ^ scan.digests.items()}
        keys |= last.unreadable.keys() ^ scan.unreadable.keys()
        keys |= set(last.unfinished) ^ set(scan.unfinished)
        return replace(scan, changes=Changes(last.number, keys))

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        held = {key: self.records[key] for key in keys if key in self.records}
        return {key: record for key, record in held.items() if _is_readable(record)}

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return [self._write(change) for change in changes]

    def _write(self, change: Change) -> Outcome:
        held = self.records.get(change.key)
        try:
            if (None if held is None else canonical.digest(held)) != change.expect:
                return STALE
        except RecordUnusable:
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


def _is_readable(record: Record) -> bool:
    try:
        canonical.digest(record)
    except RecordUnusable:
        return False
    return True
