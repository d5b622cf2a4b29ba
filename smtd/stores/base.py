"""The contract that every store keeps, and that `tests/stores/contract.py` checks.

A store maps keys to records. smtd never trusts a store to be alone: other programs write to it
at any time, without asking. Therefore:

- `scan` MUST report a key as absent only if the store was read whole and the key was not in
  it. A store that cannot be read whole MUST raise StoreUnreachable or StoreRefused. A record
  that cannot be read MUST be named in `Scan.unreadable`, and the others be reported. Whatever value it
  has, it is the failure of this record alone; a name that is not text is shown as text (`smtd/text.py`),
  and the reason is `Nameless`: while such a record is in a project, no absence there proves anything.
- A record is what it says it is, not where it was found: one that bears another label or project than
  its place is unreadable there, and MUST NOT be taken for, or written over, either of the two.
- `read` MUST return what the store holds at that moment, not what it held at a scan.
- `write` MUST land a change only if the key still has the digest that the change expects,
  decided and written without a gap in which another program could write unseen, as far as the
  kind of store allows (`Capabilities.exclusive_writes`). It MUST store exactly what the record
  says, or refuse the change. It MUST NOT touch any other record.
  It returns one result for each change; one change that fails MUST NOT keep the others back.
- `token` MUST be equal between two calls only if nobody changed the store in between.
- Nothing that a store holds is ever executed.
- A cancelled call MUST leave no lock, transaction, thread or process behind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import NamedTuple, Protocol, TypeAlias

from smtd.errors import Nameless
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record

#: What tells that a store is as it was: opaque bytes.
Token: TypeAlias = bytes


#: Bytes of a file from which on a store that rests lets go of what it has read of it.
LARGE_AT_REST = 20_000_000

NOTHING_KNOWN: Mapping[Key, Digest] = {}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind of store can do; callers ask this, never for the kind."""

    #: Nobody can write between the check of a digest and the write (a lock or a transaction).
    #: False: another program may later write an older state over what smtd wrote.
    exclusive_writes: bool
    #: How many changes one call of `write` should get; None: as many as there are.
    batch: int | None
    #: What no relational store or server has room for (`Record.opaque`) is kept.
    keeps_opaque: bool
    #: Why nothing can be written to it, as a sentence for a person; empty: it can.
    read_only: str = ""
    #: A change is one step. False: a crash in the middle of a change may leave the record deleted, or
    #: without some of its data, dependencies and platforms.
    atomic_updates: bool = True
    #: Reading a record costs a request of its own: see DearStore.
    dear_reads: bool = False
    #: Programs save single records. False: they may save all records of a project, as they read them before.
    saves_records: bool = False
    #: It tells which records may have changed, given what is known of its rows: see TrackedStore.
    tracks: bool = False
    #: It goes on from a token of an earlier process without a scan: see ResumedStore.
    resumes: bool = False
    #: It tells whether it was put back from a backup: see MarkedStore.
    bears_mark: bool = False
    #: It tells smtd of each change when it happens, as the files of a store do.
    announces: bool = False
    #: Two programs that make one record at once make it twice: see `Change.contested`.
    makes_doubles: bool = False


class Changes(NamedTuple):
    """What may differ from the scan with the number *since*: these keys and no others."""

    since: int
    keys: Collection[Key]


_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a whole store held at one moment: it is good until the same store is scanned again.

    `digests` has every readable record of the projects asked for, `unfinished` those of them
    whose run is not over; `unreadable` says for each other record what is wrong with it.
    `changes` goes on from an earlier scan of the same projects (None: everything may be otherwise);
    `number` is that of no other scan in this process.
    """

    digests: Mapping[Key, Digest]
    unfinished: Collection[Key] = frozenset()
    unreadable: Mapping[Key, str] = field(default_factory=dict)
    changes: Changes | None = field(default=None, compare=False)
    number: int = field(default_factory=lambda: next(_numbers), compare=False)
    #: Keys that are there, but were not read: what was agreed on is believed of them.
    believed: Collection[Key] = field(default=(), compare=False)

    @property
    def nameless(self) -> Collection[str]:
        """The projects in which a record has no name, so that none of them can be said to be absent."""
        return {key.project for key, reason in self.unreadable.items() if isinstance(reason, Nameless)}

    @property
    def again(self) -> Scan:
        """The next scan of a store that is as it was."""
        return replace(self, changes=Changes(self.number, ()), number=next(_numbers))


@dataclass(frozen=True, slots=True)
class Change:
    """Make *key* hold *record* (None: nothing), if it still has the digest *expect*.

    `expect` is None for a key that must be absent. *contested*: others may make the same record now.
    """

    key: Key
    record: Record | None
    expect: Digest | None
    contested: bool = False


class Result(Enum):
    """What became of one change."""

    DONE = "done"  # the store says so: only what is read back shows that it is true
    STALE = "stale"  # the key no longer has the expected digest: scan again
    REFUSED = "refused"  # this store cannot hold the record; see `Outcome.reason`


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one change, with the reason if it was refused.

    *resent*: it was asked for more than once, and what was asked first may still be on its way.
    """

    result: Result
    reason: str = ""
    resent: bool = field(default=False, compare=False)


DONE = Outcome(Result.DONE)
STALE = Outcome(Result.STALE)


class Store(Protocol):
    """A Sumatra record store; see the contract above."""

    @property
    def location(self) -> str:
        """How a person names the store, without secrets."""

    @property
    def kind(self) -> str:
        """The kind of store in one word, for people: `shelf`, `sqlite`."""

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do."""

    async def projects(self) -> list[str]:
        """Return the names of the projects in the store, sorted."""

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        """Return the digest of every record of *projects* (None: of all)."""

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        """Return the records that are there now; absent and unreadable ones are left out."""

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Make the changes, each on its own condition; one outcome each, in order."""

    async def token(self) -> Token | None:
        """Return a token of what this object last scanned or wrote.

        None if somebody else has written since, or if the store cannot tell.
        """

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the store surely is as it was when *token* was given."""

    async def flush(self) -> None:
        """Make durable all that was read so far, as far as it is in files of this machine.

        What is agreed on must not be undone by a power cut, and programs need not sync what they save. What
        `write` wrote is durable when it returns. Raises StoreUnreachable if the disk fails.
        """

    def rest(self) -> None:
        """Let go of what was read and can be read again: nobody is going to ask for a while.

        It is not called while another call is under way, and changes nothing that any of them says.
        """


class DearStore(Store, Protocol):
    """A store whose capabilities say that its reads are dear."""

    async def scan(
        self, projects: Collection[str] | None = None, *, known: Mapping[Key, Digest] = NOTHING_KNOWN
    ) -> Scan:
        """Scan as `Store.scan`, but trust that what is there of *known* has the digests given."""


class ResumedStore(Store, Protocol):
    """A store whose capabilities say that it resumes."""

    async def resume(self, token: Token) -> bool:
        """Say whether the store surely is as it was when *token* was given.

        If so tokens go on from there, as if it had been scanned then.
        """


class MarkedStore(Store, Protocol):
    """A store whose capabilities say that it bears a mark."""

    async def mark(self) -> str:
        """Return what tells the store from another one in its place, and from an earlier state of itself."""

    async def is_another(self, before: str, now: str) -> bool:
        """Say whether the store, whose mark is *now*, cannot be the one that had the mark *before*."""
