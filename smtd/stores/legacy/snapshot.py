"""A store made of a source of records that smtd reads whole and never writes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from anyio import to_thread

from smtd import denied, durable
from smtd.errors import StoreRefused, StoreUnreachable
from smtd.filestat import (
    DAMAGE_AFTER,
    NotSettled,
    Signature,
    age,
    read_settled,
    signature,
    size,
    status_token,
)
from smtd.records.record import Key, Record
from smtd.stores.base import LARGE_AT_REST, Capabilities, Change, Outcome, Result, Scan, Token
from smtd.stores.index import entry_of, scan, unreadable
from smtd.stores.legacy.sources import LegacySource, Snapshot


class _Loaded(NamedTuple):
    """The content of the files, their status when it was read, and whether they were young."""

    snapshot: Snapshot
    seen: Signature
    young: bool


class SnapshotStore:
    """The *source* at *path*; *location* is how the user named it.

    It is read whole at first use, and again whenever the status of its files has changed. *timezone* is the
    zone of times without one (empty: that of this machine).
    """

    def __init__(self, source: LegacySource, path: Path, location: str, timezone: str = "") -> None:
        self.location = location
        self.kind = source.kind
        self._source = source
        self._path = path
        self._timezone = timezone
        self._files = source.files(path)
        self._loaded: _Loaded | None = None
        self._version = ""
        self._scanned: _Loaded | None = None
        #: The status of the files at the last flush.
        self._flushed: Signature | None = None

    def __repr__(self) -> str:
        return f"SnapshotStore({self.location!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do; the version of Sumatra is known only after it was read."""
        return Capabilities(exclusive_writes=True, batch=None, keeps_opaque=False, read_only=self._refusal)

    @property
    def _refusal(self) -> str:
        sumatra = f"Sumatra {self._version}" if self._version else "an older Sumatra"
        return (
            f"it is {self._source.what} of {sumatra}; smtd reads it, but does not write it:"
            " sync it into a new store"
        )

    async def projects(self) -> list[str]:
        found = (await self._current()).snapshot
        return sorted({key.project for key in (*found.records, *found.unreadable)})

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        self._scanned = await self._current()
        found = self._scanned.snapshot
        entries = {key: entry_of(record) for key, record in found.records.items()}
        entries |= {key: unreadable(reason) for key, reason in found.unreadable.items()}
        return scan({key: one for key, one in entries.items() if projects is None or key.project in projects})

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        records = (await self._current()).snapshot.records
        return {key: records[key] for key in keys if key in records}

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return [Outcome(Result.REFUSED, self._refusal)] * len(changes)

    async def token(self) -> Token | None:
        scanned = self._scanned
        if scanned is None or await to_thread.run_sync(signature, self._files) != scanned.seen:
            return None
        return self._token(scanned.seen, scanned.young)

    async def unchanged_since(self, token: Token) -> bool:
        return token == self._token(await to_thread.run_sync(signature, self._files))

    async def flush(self) -> None:
        if self._loaded is not None and (self._loaded.young or self._loaded.seen != self._flushed):
            seen = self._loaded.seen
            try:
                await to_thread.run_sync(durable.sync, self._files)
            except OSError as exc:
                raise StoreUnreachable(
                    f"{self.location} cannot be flushed to disk: {denied.why(exc)}"
                ) from exc
            self._flushed = seen

    def rest(self) -> None:
        if self._loaded is not None and size(self._loaded.seen) > LARGE_AT_REST:
            self._loaded = None

    def _token(self, seen: Signature, young: bool = False) -> Token:
        """Return a token of files with the status *seen*: in another time zone they have other records."""
        return self._timezone.encode() + status_token(seen, young=young)

    async def _current(self) -> _Loaded:
        """Return the current content of the source; read it again only if its files have changed."""
        self._loaded = await to_thread.run_sync(self._load, self._loaded)
        self._version = self._loaded.snapshot.version
        return self._loaded

    def _load(self, before: _Loaded | None) -> _Loaded:
        try:
            if before is not None and not before.young and signature(self._files) == before.seen:
                return before
            return _Loaded(*read_settled(self._files, self._read, what=self.location))
        except OSError as exc:
            raise StoreUnreachable(f"{self.location} cannot be read: {denied.why(exc)}") from exc

    def _read(self) -> Snapshot:
        try:
            return self._source.load(self._path, self._timezone)
        except StoreRefused as exc:
            # A file that seems to be damaged may be one that a program is still writing.
            if 0 <= age(signature(self._files)) < DAMAGE_AFTER:
                raise NotSettled(str(exc)) from exc
            raise
