"""What is known of a store between two looks at it: one entry for each key, an absence included."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import NamedTuple

from smtd.errors import Nameless
from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.stores.base import Scan


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


def entry(scan: Scan, key: Key) -> Entry:
    """Return what *scan* says of *key*."""
    if (digest := scan.digests.get(key)) is not None:
        return readable(digest, final=key not in scan.unfinished)
    if (problem := scan.unreadable.get(key)) is not None:
        state = State.NAMELESS if isinstance(problem, Nameless) else State.UNREADABLE
        return Entry(state, None, str(problem))
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
