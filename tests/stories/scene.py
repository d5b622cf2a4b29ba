"""The scene of a story: two real stores, a journal, and what a look at all of them shows."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from anyio import CancelScope

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport
from smtd.engine.resolve import Resolution, resolve
from smtd.errors import StoreError
from smtd.journal.journal import open_journal
from smtd.journal.record_codec import unpack
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import Scan, Store
from smtd.stores.django import file_tracker, sqlite
from smtd.stores.location import Location
from tests.build import PROJECT
from tests.stories.accidents import Accident, OldListing, ReadOnlyStore

#: Creates the place of an empty store in a directory.
Making: TypeAlias = Callable[[Path], Any]


def listed(report: PairReport) -> set[Key]:
    """Return the keys that wait for a user, or for time, or that failed."""
    conflicts = {Key(each.project, each.label) for each in report.conflicts}
    held = {Key(each.project, each.label) for each in report.held}
    return conflicts | held | {Key(each.project, each.label) for each in report.failed}


@contextmanager
def _many_records() -> Iterator[None]:
    """Let each database file count as large, and as untouched for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_tracker, "MANY", 1)
        patch.setattr(sqlite, "QUIET", 1e-9)
        yield


@dataclass
class Scene:
    """Two stores that are synced by *policy*; each cycle is a new process."""

    directory: Path
    places: Both[Any]
    policy: Policy
    #: What each side showed after every cycle.
    scans: dict[Side, list[Scan]] = field(default_factory=lambda: {side: [] for side in SIDES})
    cycles: int = 0

    @classmethod
    def made(cls, directory: Path, kinds: Both[Making], policy: Policy) -> Scene:
        """Create two empty stores in *directory*."""
        homes = Both(directory / "left", directory / "right")
        for side in SIDES:
            homes[side].mkdir()
        return cls(directory, Both(*[kinds[side](homes[side]) for side in SIDES]), policy)

    @property
    def locations(self) -> Both[Location]:
        """The locations of the stores."""
        return self.places.map(lambda place: place.location)

    async def cycle(
        self,
        accident: Accident | None = None,
        *,
        read_only: Side | None = None,
        outdated: Side | None = None,
        hasty: bool = False,
    ) -> PairReport | None:
        """Run one cycle as a new process; return its report, or None.

        None if an *accident* or a missing store prevented it. *read_only* cannot be written; *outdated* shows
        in its first scan its state of a cycle before the last one. A *hasty*
        cycle may leave work for the next one, as in the daemon, and every file counts as large.
        """
        self.cycles += 1
        with CancelScope() as scope:
            if accident is not None:
                accident.scope = scope
            try:
                with _many_records() if hasty else nullcontext():
                    policy = replace(self.policy, wait_to_settle=not hasty)
                    return await self._cycle(policy, accident, read_only, outdated)
            except StoreError:
                return None
            except Exception:
                if accident is None or not accident.over:
                    raise
        return None

    async def _cycle(
        self, policy: Policy, accident: Accident | None, read_only: Side | None, outdated: Side | None
    ) -> PairReport:
        async with (
            open_journal(self.directory / "journal") as opened,
            pairing.open_stores(self.locations) as stores,
        ):
            journal: Any = opened
            dressed = dict(zip(SIDES, (stores.left, stores.right), strict=True))
            if outdated is not None and self.scans[outdated]:
                dressed[outdated] = OldListing(dressed[outdated], self.scans[outdated][-2:][0])
            if read_only is not None:
                dressed[read_only] = ReadOnlyStore(dressed[read_only])
            if accident is not None:
                dressed = {side: accident.store(store) for side, store in dressed.items()}
                journal = accident.journal(opened)
            both: Both[Store] = Both(dressed[Side.LEFT], dressed[Side.RIGHT])
            report = await pairing.sync(journal, "pair", self.locations, both, policy)
            for side in SIDES:
                self.scans[side].append(await stores[side].scan([PROJECT]))
            return report

    async def decide(self, wish: Resolution) -> list[Key]:
        """Make a user decide, and return the keys. Raises UsageError if nothing waits for it."""
        async with (
            open_journal(self.directory / "journal") as journal,
            pairing.open_stores(self.locations) as stores,
            pairing.opened(journal, "pair", self.locations, stores, self.policy) as pair,
        ):
            return await resolve(pair, wish)

    async def held(self, side: Side) -> dict[Key, Record]:
        """Return every record of *side*. Raises StoreError."""
        async with self.places[side].open() as store:
            found = await store.scan([PROJECT])
            assert not found.unreadable
            records: dict[Key, Record] = await store.read(list(found.digests))
            return records

    async def digests(self, side: Side) -> Mapping[Key, Digest]:
        """Return the digests of *side*."""
        return {key: canonical.digest(record) for key, record in (await self.held(side)).items()}

    def forms(self) -> Both[Any]:
        """Return the contents of both stores, in their own forms."""
        return self.places.map(lambda place: place.forms())

    def history(self) -> list[Record]:
        """Return every record that smtd overwrote or deleted."""
        file = self.directory / "journal" / "journal.sqlite"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file)) as db:
            return [
                unpack(data) for (data,) in db.execute("SELECT record FROM history WHERE record NOT NULL")
            ]

    def file(self, side: Side) -> Path | None:
        """Return the directory of the store of *side*, if it has files."""
        return None if self.locations[side].url else self.directory / side.value

    def copied(self, side: Side) -> Path:
        """Copy the files of *side* as a backup does, and return the path."""
        home = self.file(side)
        assert home is not None
        copy = self.directory / f"copy-of-{side.value}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(home, copy, copy_function=shutil.copy2)
        return copy
