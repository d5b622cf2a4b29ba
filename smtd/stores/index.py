"""What is known about a store between two looks at it: one entry for each key, even if it is absent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeAlias

from smtd.errors import Nameless, RecordUnusable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.records.run_status import is_final
from smtd.stores.base import Scan, Store


class State(IntEnum):
    """What a store holds under a key. The journal stores these numbers."""

    ABSENT = 0
    FINAL = 1
    UNFINISHED = 2  # a record whose run is not over
    UNREADABLE = 3
    NAMELESS = 4  # unreadable, and it may be any record that seems to be missing


class Entry(NamedTuple):
    """What a store held under one key when it was last read.

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
    """Return the entry of *record*, which may be the reason why it cannot be read."""
    try:
        if isinstance(record, RecordUnusable):
            raise record
        return readable(canonical.digest(record), final=is_final(record))
    except RecordUnusable as exc:
        return unreadable(exc.reason)


def entry(scan: Scan, key: Key) -> Entry:
    """Return the entry of *key* according to *scan*."""
    if (digest := scan.digests.get(key)) is not None:
        return readable(digest, final=key not in scan.unfinished)
    if (problem := scan.unreadable.get(key)) is not None:
        return unreadable(problem)
    return ABSENT


def entries(scan: Scan) -> dict[Key, Entry]:
    """Return the entries of all keys in *scan*."""
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
    """Some consecutive rows of a table: their *state*, and the records that own them.

    *state* is a hash of the rows; for smtd's own server, the number of its feed. It is None if the records
    may have been read in another state than this one. *owners* are numbers with commas, or, to save memory,
    the first and the last number as bytes: `5 130`.
    """

    state: int | None
    owners: str | bytes


class Fingerprints(NamedTuple):
    """The hashes of all rows of a store: the blocks of each table by their numbers.

    *sizes*: the most rows of a block, by table; *average*: the average size of a record then, in bytes.
    *scheme* identifies which tables were hashed, and how: only fingerprints of one scheme can be compared.
    """

    sizes: Sequence[int]
    average: int
    blocks: Sequence[Mapping[int, Block]]
    scheme: str = ""


#: The hashes of all rows of a store, and the numbers of its new rows by key.
AllHashed: TypeAlias = tuple[Fingerprints, Mapping[Key, Sequence[int]]]


class Busy(NamedTuple):
    """When a look during which others were writing began and ended, in seconds since 1970."""

    began: float
    ended: float


class RowLook(NamedTuple):
    """The result of a look at a store of rows: the entries *found* for all keys that may have changed.

    *rows* are the numbers of the rows with each of these keys. *whole*: there are no other records. *blocks*
    are those that have changed, by table and number (None: gone); a *whole* look has *fingerprints*
    instead (None: there is nothing to compare the next look with). *undisturbed*: no other program wrote
    during the look. *listed*: keys whose writes by smtd are included in these hashes. *busy* is when the look
    was, if others were writing: what has changed may be half saved. *partial*: the look has only read new
    records, and no record was deleted; the next look compares the others.
    """

    found: Mapping[Key, Entry]
    rows: Mapping[Key, Sequence[int]]
    whole: bool
    undisturbed: bool
    listed: Collection[Key] = ()
    fingerprints: Fingerprints | None = None
    blocks: Mapping[tuple[int, int], Block | None] = {}
    busy: Busy | None = None
    partial: bool = False

    def still_valid(self, newer: Collection[Key]) -> RowLook:
        """Return what of this look is still valid if another look took place, before or after it.

        The other look has the entries of the keys *newer*. The next look must report the blocks of this one
        again.
        """
        return self._replace(
            rows={key: each for key, each in self.rows.items() if key not in newer},
            listed=(),
            fingerprints=None,
            blocks={at: Block(None, "" if each is None else each.owners) for at, each in self.blocks.items()},
        )


class RowIndex(Protocol):
    """What is remembered about a store of rows, as far as a look at it needs that."""

    async def fingerprints(self) -> Fingerprints | None:
        """Return the hashes of all rows (None: unknown)."""

    async def rows_of(self, keys: Collection[Key]) -> dict[Key, list[int]]:
        """Return the numbers of the rows that had each of *keys*."""

    async def highest_and_rows_of(self, keys: Collection[Key]) -> tuple[int | None, dict[Key, list[int]]]:
        """Return `highest_row` and `rows_of` of one moment."""

    async def keys_of(self, rows: Collection[int]) -> set[Key]:
        """Return the keys that *rows* had."""

    async def highest_row(self) -> int | None:
        """Return the highest number of a row (None: there is none)."""

    async def present(self) -> Mapping[Key, Entry]:
        """Return the entries of all records that existed."""

    async def row_count(self) -> int:
        """Return how many rows were there, with one for each record that smtd wrote since.

        A key may have several rows.
        """

    async def unlisted(self) -> set[Key]:
        """Return the keys that smtd wrote after the blocks were hashed: the hashes lack these writes."""


#: What is wrong with rows that have one key, but different records.
DIFFERENT = "two different records have this label"


def by_key(rows: Iterable[tuple[Key, Entry]]) -> dict[Key, Entry]:
    """Return the entry of each key, given the entries of all *rows* that have it."""
    seen: dict[Key, list[Entry]] = defaultdict(list)
    for key, one in rows:
        seen[key].append(one)
    return {key: each[0] if len(each) == 1 else _combined(each) for key, each in seen.items()}


def _combined(seen: Sequence[Entry]) -> Entry:
    for one in seen:
        if not one.is_readable:
            return one
    if len({one.digest for one in seen}) > 1:
        return Entry(State.UNREADABLE, None, DIFFERENT)
    return readable(seen[0].digest or b"", final=all(one.state is State.FINAL for one in seen))


class Recheck(NamedTuple):
    """What a look at a store of rows reads in any case: these *keys*, or *everything*.

    With *may_be_partial* the look may be partial; then the store has no token until the next look, which is
    not partial.
    """

    keys: Collection[Key] = ()
    everything: bool = False
    may_be_partial: bool = False


NO_RECHECK = Recheck()


class TrackedStore(Store, Protocol):
    """A store of rows whose capabilities have `tracks`."""

    async def track(self, index: RowIndex, recheck: Recheck = NO_RECHECK) -> RowLook:
        """Return what may have changed since *index* was brought up to date; nothing else has.

        `RowLook.busy` is set if others were writing.
        """

    async def follow(self, index: RowIndex) -> None:
        """Take the numbers of rows from *index*, which is up to date, until the store rests."""

    async def fingerprint_all(self, index: RowIndex) -> AllHashed | None:
        """Return the hashes of all rows, and the new rows, if *index* is up to date; None: it may not be.

        It is if only this object has written since the last look: the index includes its writes.
        """
