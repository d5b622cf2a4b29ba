"""The contract of every store, which `tests/stores/contract.py` checks.

A store maps keys to records. Other programs write to it at any time, without coordination. Therefore:

- `scan` MUST report a key as absent only if the store was read whole and the key was not in
  it. A store that cannot be read whole MUST raise StoreUnreachable or StoreRefused. A record
  that cannot be read MUST be listed in `Scan.unreadable`, and the others MUST be reported. Whatever value
  a record has, only this record fails. A name that is not text is replaced by a text (`smtd/text.py`), and
  the reason is `Nameless`: while a project has such a record, no absence there proves a deletion.
- A record's own label and project count, not those of its place: if they differ, the record is unreadable
  there, and MUST NOT be returned for, or overwritten as, either of the two.
- `read` MUST return what the store holds at that moment, not what it held at a scan.
- `write` MUST make a change only if the key still has the digest that the change expects. Between the
  check and the write there MUST be no gap in which another program could write unseen, as far as the
  kind of store allows (`Capabilities.exclusive_writes`). It MUST store exactly what the record
  says, or refuse the change. It MUST NOT touch any other record.
  It returns one result for each change; one change that fails MUST NOT prevent the others.
- `token` MUST be equal between two calls only if no program changed the store in between.
- Nothing that a store holds is ever executed.
- A cancelled call MUST leave no lock, transaction, thread or process behind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import NamedTuple, Protocol, TypeAlias

from smtd.errors import Nameless
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record

#: Identifies a state of a store: opaque bytes.
Token: TypeAlias = bytes


#: The size of a file in bytes above which a store that rests releases everything that it has read.
LARGE_AT_REST = 20_000_000

NOTHING_KNOWN: Mapping[Key, Digest] = {}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind of store can do; callers check this, never the kind."""

    #: No other program can write between the check of a digest and the write (a lock or a transaction).
    #: False: another program may later write an older state over what smtd wrote.
    exclusive_writes: bool
    #: How many changes one call of `write` should get; None: as many as there are.
    batch: int | None
    #: It keeps what no relational store or server can hold (`Record.opaque`).
    keeps_opaque: bool
    #: Why nothing can be written to it, as a sentence for users (empty: it can).
    read_only: str = ""
    #: A change is atomic. False: a crash in the middle of a change may leave the record deleted, or
    #: without some of its data, dependencies and platforms.
    atomic_updates: bool = True
    #: Reading a record costs a request of its own: see CostlyReadStore.
    costly_reads: bool = False
    #: Programs save single records. False: they may save all records of a project, as they once read them.
    saves_records: bool = False
    #: It reports which records may have changed, given an index of its rows: see TrackedStore.
    tracks: bool = False
    #: It can continue from a token of an earlier process without a scan: see ResumedStore.
    resumes: bool = False
    #: It can detect that it was restored from a backup: see MarkedStore.
    bears_mark: bool = False
    #: It notifies smtd of each change when it happens.
    announces: bool = False
    #: Two programs that create one record at the same time create it twice: see `Change.contested`.
    creates_duplicates: bool = False


class Changes(NamedTuple):
    """The only *keys* that may differ from the scan with the number *since*."""

    since: int
    keys: Collection[Key]


_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a whole store held at one moment; it is valid until the same store is scanned again.

    `digests` has every readable record of the requested projects, `unfinished` those of them
    whose run is not over; `unreadable` says for each other record what is wrong with it.
    `changes` lists the changes since an earlier scan of the same projects (None: everything may have
    changed); `number` is unique in this process.
    """

    digests: Mapping[Key, Digest]
    unfinished: Collection[Key] = frozenset()
    unreadable: Mapping[Key, str] = field(default_factory=dict)
    changes: Changes | None = field(default=None, compare=False)
    number: int = field(default_factory=lambda: next(_numbers), compare=False)
    #: Keys that exist, but were not read: their digests are those that the caller named as known.
    believed: Collection[Key] = field(default=(), compare=False)

    @property
    def nameless(self) -> Collection[str]:
        """The projects with a record that has no name, so that no record in them counts as absent."""
        return {key.project for key, reason in self.unreadable.items() if isinstance(reason, Nameless)}


@dataclass(frozen=True, slots=True)
class Change:
    """Make *key* hold *record* (None: nothing), if it still has the digest *expect*.

    `expect` is None for a key that must be absent. *contested*: others may create the same record now.
    """

    key: Key
    record: Record | None
    expect: Digest | None
    contested: bool = False


class Kept(NamedTuple):
    """The *digest* of what a key holds (None: nothing)."""

    digest: Digest | None


class Result(Enum):
    """The result of one change."""

    DONE = "done"  # reported by the store: only reading it back proves it
    STALE = "stale"  # the key no longer has the expected digest: scan again
    REFUSED = "refused"  # this store cannot hold the record; see `Outcome.reason`


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one change, with the reason if it was refused.

    *resent*: the change was sent more than once, and an earlier request may still arrive. *kept*: what the
    store read back in the transaction of the change itself (None: the caller must read it back).
    """

    result: Result
    reason: str = ""
    resent: bool = field(default=False, compare=False)
    kept: Kept | None = field(default=None, compare=False)


DONE = Outcome(Result.DONE)
STALE = Outcome(Result.STALE)


class Store(Protocol):
    """A Sumatra record store; see the contract above."""

    @property
    def location(self) -> str:
        """How the user names the store, without secrets."""

    @property
    def kind(self) -> str:
        """The kind of store in one word, for messages: `shelf`, `sqlite`."""

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do."""

    async def projects(self) -> list[str]:
        """Return the names of the projects in the store, sorted."""

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        """Return the digest of every record of *projects* (None: of all)."""

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        """Return the current records of *keys*; absent and unreadable ones are left out."""

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Make the changes, each on its own condition; return the outcome of each, in their order."""

    async def token(self) -> Token | None:
        """Return a token of what this object last scanned or wrote.

        None if another program has written since, or if the store cannot know.
        """

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the store is certainly in the state for which *token* was returned."""

    async def flush(self) -> None:
        """Make durable all that was read so far, as far as it is in files of this machine.

        A power cut must not undo what was agreed on, and other programs need not sync what they save.
        What `write` wrote is durable when it returns. Raises StoreUnreachable if the disk fails.
        """

    def rest(self) -> None:
        """Release what was read and can be read again: no call will follow for a while.

        It is not called while another call is running, and it does not change the result of any call.
        """


class CostlyReadStore(Store, Protocol):
    """A store whose capabilities have `costly_reads`."""

    async def scan(
        self, projects: Collection[str] | None = None, *, known: Mapping[Key, Digest] = NOTHING_KNOWN
    ) -> Scan:
        """Scan as `Store.scan`, but assume that records of *known* that exist have the digests there."""


class ResumedStore(Store, Protocol):
    """A store whose capabilities have `resumes`."""

    async def resume(self, token: Token) -> bool:
        """Say whether the store is certainly in the state for which *token* was returned.

        If so, tokens continue from there, as if the store had been scanned in that state.
        """


class MarkedStore(Store, Protocol):
    """A store whose capabilities have `bears_mark`."""

    async def mark(self) -> str:
        """Return the mark of the store, which shows whether it was replaced or restored from a backup."""

    async def is_another(self, before: str, now: str) -> bool:
        """Say whether the store, whose mark is *now*, cannot be the one that had the mark *before*."""
