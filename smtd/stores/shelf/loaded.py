"""The records of a shelf that child processes have loaded, cached while their pickle is the same.

Between two cycles the records of a project are kept only compressed, in a ninth of the memory.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import msgspec
from anyio import to_thread

from smtd.errors import StoreRefused
from smtd.gather import gather
from smtd.stores.base import LARGE_AT_REST
from smtd.stores.shelf import child, child_requests, messages
from smtd.stores.shelf.contents import Contents

#: Up to this many records are requested by their labels, instead of all records of the project.
MAX_LABELS = 100

#: The entries of records (a record, or what is wrong with it) by label.
Entries: TypeAlias = Mapping[str, messages.RecordEntry]


@dataclass(slots=True)
class _Project:
    """The *records* with *labels* (None: all) in the pickle with *digest*; together they have *size* bytes.

    *compressed* also has all records; while the shelf rests, only *compressed* has them.
    """

    digest: bytes
    records: dict[str, messages.RecordEntry]
    labels: set[str] | None
    compressed: bytes = b""
    size: int = 0

    def covers(self, labels: Collection[str] | None) -> bool:
        return self.labels is None or (labels is not None and self.labels.issuperset(labels))

    def add(self, held: Iterable[messages.RecordEntry], labels: Collection[str] | None) -> None:
        """Add the entries *held*, which are those of *labels* (None: all of the project)."""
        self.records.update({each.label: each for each in held})
        self.size = sum(len(each.record) for each in self.records.values())
        if labels is None:
            self.labels = None
        elif self.labels is not None:  # None if another task has added all in the meantime
            self.labels.update(labels)

    async def decompress(self) -> None:
        """Decompress the records after a rest."""
        if self.compressed and not self.records:
            self.records = await to_thread.run_sync(_decompressed, self.compressed)


class Loaded:
    """What is known about the pickles in the shelf at *location*; times of old records are in *timezone*."""

    def __init__(self, location: str, timezone: str) -> None:
        self._location = location
        self._timezone = timezone
        self._projects: dict[str, _Project] = {}
        #: The digest of the pickle of each project, and whether Sumatra before 0.8 wrote into that pickle.
        self._old: dict[str, tuple[bytes, bool]] = {}

    def rest(self, projects: Collection[str]) -> None:
        """Keep the records of *projects*, all that the shelf has, only compressed; of a large shelf, none.

        Which projects are old stays known. A task that is still reading keeps the records that it has.
        """
        kept = {name: each for name, each in self._projects.items() if name in projects}
        if sum(each.size for each in kept.values()) > LARGE_AT_REST:
            kept = {}
        self._projects = {
            name: replace(each, records={}) if each.compressed else each for name, each in kept.items()
        }
        self._old = {name: each for name, each in self._old.items() if name in projects}

    async def records(
        self, contents: Contents, wanted: Mapping[str, Collection[str] | None]
    ) -> dict[str, Entries]:
        """Return, by project, at least the entries in *contents* of the *wanted* labels (None: all).

        Raises StoreRefused, naming the project, for a pickle that cannot be loaded.
        """
        projects = {project: self._project(project, contents.digests[project]) for project in wanted}
        reads: dict[str, messages.One] = {}
        for project, labels in wanted.items():
            pickle, few = contents.pickles[project], _labels_to_request(labels)
            if projects[project].covers(labels):
                await projects[project].decompress()
                continue
            if few is None and _shares(pickle) > 1:
                await self._load_large(project, projects[project], pickle)
            else:
                reads[project] = messages.Read(pickle, few, timezone=self._timezone)
        answers = await child_requests.ask_each(reads, messages.Records, shelf=self._location)
        for project, answer in answers.items():
            if isinstance(answer, messages.Records):
                await self._add(project, projects[project], answer, _labels_to_request(wanted[project]))
        _raise_first(answers)
        return {project: kept.records for project, kept in projects.items()}

    async def _load_large(self, project: str, kept: _Project, pickle: bytes) -> None:
        """Load all records of a large pickle with several processes, each of which loads a share."""
        shares = _shares(pickle)
        requests = [
            messages.Read(pickle, share=share, shares=shares, timezone=self._timezone)
            for share in range(shares)
        ]
        ask = partial(
            child.ask,
            expected=messages.Records,
            what=f"the records of project {project!r}",
            shelf=self._location,
        )
        answers = await gather([partial(ask, request) for request in requests])
        held = [each for answer in answers for each in answer.held]
        await self._add(project, kept, messages.Records(held, answers[0].old), None)

    def _project(self, project: str, digest: bytes) -> _Project:
        """Return what is known about the project whose pickle now has *digest*."""
        known = self._projects.get(project)
        if known is None or known.digest != digest:
            known = self._projects[project] = _Project(digest, {}, set())
        return known

    async def _add(
        self, project: str, kept: _Project, answer: messages.Records, labels: Collection[str] | None
    ) -> None:
        kept.add(answer.held, labels)
        self._old[project] = (kept.digest, answer.old != "")
        if kept.labels is None and kept.size <= LARGE_AT_REST:
            kept.compressed = await to_thread.run_sync(_compressed, [*kept.records.values()])

    def has_old(self, projects: Collection[str]) -> bool:
        """Say whether Sumatra before 0.8 wrote into one of the *projects*, as far as known."""
        return any(is_old for project, (_, is_old) in self._old.items() if project in projects)

    def note_written(self, project: str, digest: bytes) -> None:
        """Remember that smtd wrote the pickle with this digest, which therefore has no old records."""
        self._old[project] = (digest, False)

    async def probe_legacy(self, contents: Contents) -> None:
        """Find out which projects in *contents* have old records; a broken pickle counts as having none."""
        requests: dict[str, messages.One] = {
            project: messages.Read(contents.pickles[project], [])
            for project, digest in contents.digests.items()
            if self._old.get(project, (None,))[0] != digest
        }
        answers = await child_requests.ask_each(requests, messages.Records, shelf=self._location)
        for project, answer in answers.items():
            is_old = isinstance(answer, messages.Records) and answer.old != ""
            self._old[project] = (contents.digests[project], is_old)


def _compressed(records: list[messages.RecordEntry]) -> bytes:
    """Return all *records*, compressed. Blocks: 4 ms for each megabyte."""
    return zlib.compress(msgspec.msgpack.encode(records), 1)


def _decompressed(compressed: bytes) -> dict[str, messages.RecordEntry]:
    """Return the records that were `_compressed`, by label. Blocks."""
    records = msgspec.msgpack.decode(zlib.decompress(compressed), type=list[messages.RecordEntry])
    return {each.label: each for each in records}


def _raise_first(answers: Mapping[str, messages.Records | StoreRefused]) -> None:
    for answer in answers.values():
        if isinstance(answer, StoreRefused):
            raise answer


def _labels_to_request(labels: Collection[str] | None) -> list[str] | None:
    """Return the labels to request; None: it is cheaper to request all."""
    return None if labels is None or len(labels) > MAX_LABELS else list(labels)


def _shares(pickle: bytes) -> int:
    """Return how many processes load the records of a pickle together, each of them a share."""
    return max(1, min(len(pickle) // child_requests.LARGE, os.cpu_count() or 1, 4))
