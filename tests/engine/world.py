"""Two stores and a journal file for any number of cycles, each of which opens the journal again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.errors import StoreUnreachable
from smtd.journal.journal import open_journal
from smtd.journal.pair import PairJournal
from smtd.journal.record_codec import unpack
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.canonical import Digest, digest
from smtd.records.record import Key, Record
from smtd.stores.base import Capabilities, Change, Outcome, Result
from smtd.stores.memory import MemoryStore
from tests.build import PROJECT, change, key

T = TypeVar("T")
#: Runs a test for each side.
both_sides = pytest.mark.parametrize("side", SIDES, ids=["left", "right"])


class TestStore(MemoryStore):
    """A memory store that counts smtd's writes, and in which other programs can act."""

    __test__ = False

    def __init__(self, location: str = "memory", records: dict[Key, Record] | None = None) -> None:
        super().__init__(location, records)
        self.changes: list[Change] = []
        self.scans = 0
        #: What other programs do, once, at the next moment of that name.
        self.meanwhile: dict[str, Callable[[], Any]] = {}

    def replace(self, records: dict[Key, Record]) -> None:
        """Replace all records by *records*, as another program does."""
        self.records = dict(records)
        self._version += 1

    def touch(self) -> None:
        """Look changed without a change."""
        self._version += 1

    def copy(self) -> TestStore:
        """Return a store of the same kind with the same records and history."""
        other = type(self)(self.location, self.records)
        other._version = self._version
        return other

    def happen(self, moment: str) -> None:
        """Do what other programs do at *moment*."""
        self.meanwhile.pop(moment, lambda: None)()

    async def scan(self, projects: Any = None) -> Any:
        self.scans += 1
        found = await super().scan(projects)
        self.happen("after scan")
        return found

    async def unchanged_since(self, token: Any) -> bool:
        found = await super().unchanged_since(token)
        self.happen("after scan")  # it need not be looked at
        return found

    async def resume(self, token: Any) -> bool:
        found = await MemoryStore.resume(self, token)
        self.happen("after resume")
        return found

    async def read(self, keys: Any) -> Any:
        found = await super().read(keys)
        self.happen("after read")
        return found

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        self.happen("before write")
        self.changes += changes
        outcomes = await super().write(changes)
        self.happen("after write")
        return outcomes


class RefusingStore(TestStore):
    """A store that cannot hold some records."""

    refused: frozenset[str] = frozenset()

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        fit = [change for change in changes if change.key.label not in self.refused]
        outcomes = dict(zip([change.key for change in fit], await super().write(fit), strict=True))
        refusal = Outcome(Result.REFUSED, "its label is too long")
        return [outcomes.get(change.key, refusal) for change in changes]


class AlteringStore(TestStore):
    """A store that alters some records that it is given."""

    def __init__(self, location: str, alter: Callable[[Record], Record]) -> None:
        super().__init__(location)
        self._alter = alter

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return await super().write(
            [
                Change(each.key, None if each.record is None else self._alter(each.record), each.expect)
                for each in changes
            ]
        )


class UnlockedStore(TestStore):
    """A store in which another program can save what it read long ago, as in a dumb shelf."""

    capabilities = Capabilities(exclusive_writes=False, batch=None, keeps_opaque=True, resumes=True)

    def opened(self, project: str = PROJECT) -> Callable[..., None]:
        """Open the store as another program; the result saves all that was there then, and more."""
        seen = {name: each for name, each in self.records.items() if name.project == project}

        def save(*records: Record) -> None:
            others = {name: each for name, each in self.records.items() if name.project != project}
            self.replace(others | seen | {Key(project, each.label): each for each in records})

        return save


@dataclass
class World:
    """A pair: its two stores and the directory of its journal."""

    directory: Path
    left: TestStore = field(default_factory=lambda: TestStore("left"))
    right: TestStore = field(default_factory=lambda: TestStore("right"))

    def __getitem__(self, side: Side) -> TestStore:
        return self.left if side is Side.LEFT else self.right

    async def cycle(self, *, dry_run: bool = False, **policy: Any) -> PairReport:
        """Run one cycle as a new process."""
        return await self.do(cycle.preview if dry_run else cycle.run, policy=policy)

    async def crash(self, store: TestStore, moment: str = "after write") -> None:
        """Run a cycle whose process ends at the next *moment* of *store*, by default right after a write."""
        store.meanwhile[moment] = end
        with pytest.raises(StoreUnreachable, match="it is gone"):
            await self.cycle()

    async def do(
        self, work: Callable[..., Awaitable[T]], *words: Any, policy: Mapping[str, Any] = {}, **more: Any
    ) -> T:
        """Do *work* on the pair as a new process, as the worker does."""
        async with self.opened(**policy) as pair:
            return await work(pair, *words, **more)

    @asynccontextmanager
    async def opened(self, **policy: Any) -> AsyncIterator[Pair]:
        """Yield the pair as a new process opens it."""
        async with (
            open_journal(self.directory) as journal,
            journal.pair(self.left.location, self.right.location) as known,
        ):
            yield self.pair(known, Policy(**policy))

    def pair(self, known: PairJournal, policy: Policy) -> Pair:
        """Return the pair of the two stores."""
        return Pair("pair", Both(self.left, self.right), known, policy)

    @property
    def mirrored(self) -> World:
        """The same pair, with the names of its sides exchanged."""
        return World(self.directory, self.right, self.left)

    def fork(self, directory: Path) -> World:
        """Return an independent copy of this world."""
        shutil.copytree(self.directory, directory, copy_function=shutil.copyfile)
        with closing(sqlite3.connect(directory / "journal.sqlite")) as db:
            db.execute("DELETE FROM witness")  # otherwise the copy would count as a restored one
            db.commit()
        return World(directory, self.left.copy(), self.right.copy())

    def forgetful(self, directory: Path) -> World:
        """Return a copy of this world whose journal knows nothing of the contents of both stores."""
        other = self.fork(directory)
        for table in ("head", "entry", "held", "checkpoint", "out_of_sync"):
            other.change_journal(f"DELETE FROM {table}")
        return other

    async def synced(self, *records: Record, project: str = PROJECT) -> World:
        """Put *records* into the left store, and sync."""
        for record in records:
            self.left.put(project, record)
        assert (await self.cycle()).ok
        self.left.changes.clear()
        self.right.changes.clear()
        return self

    @property
    def contents(self) -> Both[dict[Key, Digest]]:
        """What both stores hold, by digest."""
        return Both(contents(self.left), contents(self.right))

    @property
    def writes(self) -> Both[list[str]]:
        """The labels that smtd wrote, on each side."""
        return Both(
            [change.key.label for change in self.left.changes],
            [change.key.label for change in self.right.changes],
        )

    def history(self) -> list[tuple[str, str, str, Digest]]:
        """Return side, label, action and digest of every before-image."""
        rows = self.journal(
            "SELECT side, label, action, record FROM history WHERE record IS NOT NULL ORDER BY id"
        )
        return [(side, label, action, digest(unpack(data))) for side, label, action, data in rows]

    def journal(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of *query* from the journal file."""
        with closing(sqlite3.connect(self.directory / "journal.sqlite")) as db:
            return db.execute(query).fetchall()

    def change_journal(self, statement: str) -> int:
        """Change the journal file without smtd; return how many rows changed."""
        with closing(sqlite3.connect(self.directory / "journal.sqlite")) as db, db:
            return db.execute(statement).rowcount

    def knowledge(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all that the journal has."""
        tables = ("pair", "agreed", "ancestor", "intent", "cycle", "history", "written", "decision")
        with closing(sqlite3.connect(self.directory / "journal.sqlite")) as db:
            return {
                table: db.execute(f"SELECT * FROM {table}").fetchall()
                for table in (*tables, "checkpoint", "out_of_sync")
            }


async def stale(
    world: World, side: Side, before: Sequence[Record], *rounds: Sequence[Record]
) -> Callable[..., None]:
    """Have smtd copy *rounds* of records to *side*; return how a program saves that had read *before*."""
    await world.synced(*before)
    store = world[side]
    assert isinstance(store, UnlockedStore)
    save = store.opened()
    for records in rounds:
        for each in records:
            world[side.other].put(PROJECT, each)
        await world.cycle()
    return save


def contents(store: MemoryStore) -> dict[Key, Digest]:
    """Return the digests of all that *store* holds."""
    return {name: digest(record) for name, record in store.records.items()}


def holding(*records: Record, project: str = PROJECT) -> dict[Key, Digest]:
    """Return the contents of a store with exactly *records*."""
    return {key(record.label, project): digest(record) for record in records}


def alike(*records: Record) -> Both[dict[Key, Digest]]:
    """Return the contents of both sides with exactly *records*."""
    return Both(holding(*records), holding(*records))


def counts(report: PairReport) -> dict[str, tuple[int, int, int]]:
    """Return how many records were created, updated and deleted on each side."""
    sides = {"left": report.left, "right": report.right}
    return {name: (side.created, side.updated, side.deleted) for name, side in sides.items()}


def written(*, left: tuple[int, int, int] = (0, 0, 0), right: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """Return the `counts` of a report."""
    return {"left": left, "right": right}


def on(side: Side, created: int = 0, updated: int = 0, deleted: int = 0) -> Any:
    """Return the counts of a cycle that wrote to one side only."""
    return written(**{side.value: (created, updated, deleted)})


def keep_editing(store: TestStore, made: Record, moment: str = "before write") -> None:
    """Make another program edit a record at every *moment* of that name."""

    def edit() -> None:
        numbers.append(len(numbers))
        store.put(PROJECT, change(made, reason=f"edit {numbers[-1]}"))
        store.meanwhile[moment] = edit

    numbers: list[int] = []
    store.meanwhile[moment] = edit


def end() -> None:
    """End the process."""
    raise StoreUnreachable("it is gone")


def crash_after_write(store: TestStore) -> None:
    """Make the process end right after the next write to *store*."""
    store.meanwhile["after write"] = end


async def second_cycle_does_nothing(world: World) -> bool:
    """Say whether another cycle writes to no store and changes nothing in the journal."""
    before = world.contents, world.knowledge()
    world.left.changes.clear()
    world.right.changes.clear()
    report = await world.cycle()
    after = world.contents, world.knowledge()
    return (counts(report), world.writes, after) == (written(), Both([], []), before)
