"""What is known of a store between two looks at it: one entry for each key, an absence included."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from smtd.errors import Nameless, RecordUnusable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.records.run_status import is_final
from smtd.stores.base import Scan, Store


class State(IntEnum):
    """What a store holds under a key. The numbers are those of the journal."""

    ABSENT = 0
    FINAL = 1
    UNFINISHED = 2  # a record whose run is not over
    UNREADABLE = 3
    NAMELESS = 4  # unreadable, and it may be a record that has lost its name


class Entry(NamedTuple):
    """What a store held under one key when that was last read.

    Readable records have a *digest*; of unreadable ones *problem* says what is wrong.
    """

    state: State
    digest: Digest | None = None
    problem: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether there is a record that can be read."""
        return self.digest is not None


ABSENT = Entry(State.ABSENT)


def readable(digest: Digest, *, final: bool) -> Entry:
    """Return the entry of a record with *digest*; *final*: its run is over."""
    return Entry(State.FINAL if final else State.UNFINISHED, digest)


def unreadable(problem: str) -> Entry:
    """Return the entry of a record that cannot be read, and why."""
    state = State.NAMELESS if isinstance(problem, Nameless) else State.UNREADABLE
    return Entry(state, None, str(problem))


def entry_of(record: Record | RecordUnusable) -> Entry:
    """Return the entry of *record*, or of one that cannot be read."""
    try:
        if isinstance(record, RecordUnusable):
            raise record
        return readable(canonical.digest(record), final=is_final(record))
    except RecordUnusable as exc:
        return unreadable(exc.reason)


def entry(scan: Scan, key: Key) -> Entry:
    """Return what *scan* says of *key*."""
    if (digest := scan.digests.get(key)) is not None:
        return readable(digest, final=key not in scan.unfinished)
    if (problem := scan.unreadable.get(key)) is not None:
        return unreadable(problem)
    return ABSENT


def entries(scan: Scan) -> dict[Key, Entry]:
    """Return what *scan* says of all keys that are there."""
    return {key: entry(scan, key) for key in scan.digests.keys() | scan.unreadable.keys()}


def scan(found: Mapping[Key, Entry], believed: Collection[Key] = ()) -> Scan:
    """Return the entries *found* as a scan; those of *believed* were not read at the last look."""
    return Scan(
        {key: one.digest for key, one in found.items() if one.digest is not None},
        {key for key, one in found.items() if one.state is State.UNFINISHED},
        {key: _problem(one) for key, one in found.items() if one.state >= State.UNREADABLE},
        believed=believed,
    )


def _problem(found: Entry) -> str:
    return Nameless(found.problem) if found.state is State.NAMELESS else found.problem


class Block(NamedTuple):
    """Some rows of a table that follow each other: what tells them from others, and the records of them.

    *owners* are numbers with commas, or, to take less room, the first and the last one as bytes: `5 130`.
    *mark* None: they may have been read when they were otherwise.
    """

    mark: int | None
    owners: str | bytes


class Fingerprints(NamedTuple):
    """What all rows of a store looked like: the blocks of each table by their numbers.

    *sizes*: how many rows a block has at most, by table; *average*: the bytes of a record then. *scheme*
    tells which tables these are, and how rows are compared: only equal schemes can be compared.
    """

    sizes: Sequence[int]
    average: int
    blocks: Sequence[Mapping[int, Block]]
    scheme: str = ""


class Busy(NamedTuple):
    """When a look began during which others were writing, and when it ended, in seconds since 1970."""

    began: float
    ended: float


class RowLook(NamedTuple):
    """What a look at a store of rows has found, of all keys that may have changed.

    *rows* are the numbers of the rows that bear each of them. *whole*: there are no other records. *blocks*
    are those that have changed, by table and number (None: they are gone); a *whole* look has
    *fingerprints* instead (None: nothing to compare with the next time). *settled*: nobody wrote meanwhile.
    *listed*: keys whose own writes by smtd are in these hashes of blocks. *busy* is when the look was, if
    others were writing: what has changed may be half saved. *partial*: these are new records, and none is
    gone, but others may have changed, too: the next look compares them.
    """

    found: Mapping[Key, Entry]
    rows: Mapping[Key, Sequence[int]]
    whole: bool
    settled: bool
    listed: Collection[Key] = ()
    fingerprints: Fingerprints | None = None
    blocks: Mapping[tuple[int, int], Block | None] = {}
    busy: Busy | None = None
    partial: bool = False

    def doubted(self, newer: Collection[Key]) -> RowLook:
        """Return what can be relied on if others looked, too, who may have been later or earlier.

        They say what the keys *newer* hold. What this look has seen in blocks is to be seen again.
        """
        return self._replace(
            rows={key: each for key, each in self.rows.items() if key not in newer},
            listed=(),
            fingerprints=None,
            blocks={at: Block(None, "" if each is None else each.owners) for at, each in self.blocks.items()},
        )


class RowIndex(Protocol):
    """What is remembered of a store of rows, as far as a look at it needs that."""

    async def fingerprints(self) -> Fingerprints | None:
        """Return what all rows looked like (None: nobody knows)."""

    async def rows_of(self, keys: Collection[Key]) -> dict[Key, list[int]]:
        """Return the numbers of the rows that bore *keys*."""

    async def keys_of(self, rows: Collection[int]) -> set[Key]:
        """Return the keys that *rows* bore."""

    async def highest_row(self) -> int | None:
        """Return the highest number of a row (None: there is none)."""

    async def present(self) -> Mapping[Key, Entry]:
        """Return the entries of all records that were there."""

    async def count(self) -> int:
        """Return how many records were there, with those that smtd wrote."""

    async def unlisted(self) -> set[Key]:
        """Return the keys that smtd wrote since the blocks were looked at, in which those writes are not."""


def combined(seen: Sequence[Entry]) -> Entry:
    """Return what a key holds that several rows bear: *seen* is what each of them says."""
    if not seen:
        return ABSENT
    for one in seen:
        if not one.is_readable:
            return one
    if len({one.digest for one in seen}) > 1:
        return Entry(State.UNREADABLE, None, "two different records have this label")
    return readable(seen[0].digest or b"", final=all(one.state is State.FINAL for one in seen))


class TrackedStore(Store, Protocol):
    """A store of rows whose capabilities say that it tracks them."""

    async def track(
        self,
        index: RowIndex,
        recheck: Collection[Key] = (),
        *,
        afresh: bool = False,
        may_be_partial: bool = False,
    ) -> RowLook:
        """Return what may have changed since *index* was brought up to date; nothing else has.

        The keys of *recheck* are read in any case; *afresh*: all are. The look says if it is `busy`. If it
        *may_be_partial*, and says that it is, there is no token until the next look, which is not partial.
        """

    async def follow(self, index: RowIndex) -> None:
        """Take the numbers of rows from *index*, which is up to date, until the store rests."""

    async def learn(self, index: RowIndex) -> tuple[Fingerprints, Mapping[Key, Sequence[int]]] | None:
        """Return what all rows look like, and the new ones, if *index* is up to date; None: it may not be.

        It is if nobody but this object has written since the last look: its own writes are in the index.
        """
