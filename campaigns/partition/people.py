"""People who work at one side of a partition, and what they did."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import anyio

from smtd.records import canonical
from smtd.records.record import Record
from smtd.server import record_form
from smtd.stores.base import DONE, Change
from tests.build import commented, key, record, tagged
from tests.server import bulk
from tests.server.served import Client
from tests.stores.places import DjangoPlace
from tests.stories.words import words

#: What people do, and how often. Few records are deleted: many deletions at once would wait for a person.
SHARES = {
    "creations": 30,
    "comments on own records": 25,
    "comments on records of all": 21,
    "tags": 20,
    "deletions": 4,
}


class Side(Protocol):
    """Where people work."""

    async def read(self, label: str) -> Record | None:
        """Return the record *label*, if it is there."""

    async def write(self, label: str, before: Record | None, after: Record | None) -> bool:
        """Put *after* in place of *before* (None: no record) if that is there; say whether it was."""


@dataclass
class Laptop:
    """The SQLite store *place* of one laptop."""

    place: DjangoPlace

    async def read(self, label: str) -> Record | None:
        async with self.place.open() as store:
            return (await store.read([key(label)])).get(key(label))

    async def write(self, label: str, before: Record | None, after: Record | None) -> bool:
        expected = None if before is None else canonical.digest(before)
        async with self.place.open() as store:
            return await store.write([Change(key(label), after, expected)]) == [DONE]


@dataclass
class AtServer:
    """A user of the server itself, by *client*."""

    client: Client

    async def read(self, label: str) -> Record | None:
        (answer,) = await bulk.get(self.client, bulk.asked(label))
        return None if answer["record"] is None else record_form.whole(answer["record"], key(label))

    async def write(self, label: str, before: Record | None, after: Record | None) -> bool:
        expected = None if before is None else bulk.digest(before)
        (answer,) = await bulk.write(self.client, bulk.wanted(after, expected, label))
        return bool(answer["outcome"] == "done")


@dataclass
class Diary:
    """What people did at all sides. Each word is written once."""

    written: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    #: Who made a record, edited and deleted it.
    made: dict[str, str] = field(default_factory=dict)
    edited: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    deleted: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    counts: Counter[str] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_word(self, who: str) -> str:
        """Return a new word, which *who* writes now."""
        word = f"word{next(self._numbers)}x"
        self.written[word] = who
        return word

    def must_be_gone(self) -> Iterator[str]:
        """Yield each deleted record that only the user who deleted it had edited."""
        for label, people in self.deleted.items():
            if not self.edited[label] - people:
                yield label


@dataclass
class Person:
    """A user at *side*, called *who*; only they edit *mine*, and all users edit *ours*."""

    who: str
    side: Side
    diary: Diary
    chance: Random
    mine: list[str]
    ours: list[str]

    async def work(self, count: int, seconds: float) -> None:
        """Make *count* changes, evenly over *seconds*, or later if they take longer."""
        began = anyio.current_time()
        for number in range(count):
            await anyio.sleep_until(began + number * seconds / count)
            while not await self._change():
                pass

    async def _change(self) -> bool:
        """Change one record; say whether it was there, and still as it was when it was read."""
        (what,) = self.chance.choices(list(SHARES), list(SHARES.values()))
        if what == "creations":
            return await self._create()
        label = self.chance.choice(self._among(what))
        before = await self.side.read(label)
        if before is None:
            self._forget(label)
            return False
        if what == "deletions":
            return await self._delete(label, before)
        return await self._edit(label, before, what)

    def _among(self, what: str) -> list[str]:
        """Return the records to choose from; the few that all edit are tagged as often as all others."""
        if not self.ours:
            return self.mine
        if what == "tags":
            return self.chance.choice((self.mine, self.ours))
        return {"comments on own records": self.mine, "comments on records of all": self.ours}.get(
            what, self.mine + self.ours
        )

    async def _create(self) -> bool:
        word = self.diary.new_word(self.who)
        label = f"run-{word}"
        await self.side.write(label, None, record(label, reason=word))
        self.mine.append(label)
        self.diary.made[label] = self.who
        self.diary.counts["creations"] += 1
        return True

    async def _edit(self, label: str, before: Record, what: str) -> bool:
        word = self.diary.new_word(self.who)
        after = tagged(before, word) if what == "tags" else commented(before, word)
        if not await self.side.write(label, before, after):
            del self.diary.written[word]
            return False
        self.diary.edited[label].add(self.who)
        self.diary.counts[what] += 1
        return True

    async def _delete(self, label: str, before: Record) -> bool:
        if not await self.side.write(label, before, None):
            return False
        self._forget(label)
        self.diary.removed |= words([before])
        self.diary.deleted[label].add(self.who)
        self.diary.counts["deletions"] += 1
        return True

    def _forget(self, label: str) -> None:
        for labels in (self.mine, self.ours):
            if label in labels:
                labels.remove(label)
