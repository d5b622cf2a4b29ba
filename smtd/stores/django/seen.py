"""What is remembered of a row that was looked at, and what a whole store's rows tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.life import is_final
from smtd.records.record import Key, Record
from smtd.stores.base import Changes, Scan


class Seen(NamedTuple):
    """One row: its key, the digest of its record or what is wrong with it.

    *mark* is the same for the same content, and with all but certainty another for any other.
    """

    mark: int
    key: Key
    digest: Digest
    final: bool
    problem: str = ""


def understood(mark: int, key: Key, record: Record | RecordUnusable) -> Seen:
    """Return what a row of *key* with *record* says."""
    try:
        if isinstance(record, RecordUnusable):
            raise record
        return Seen(mark, key, canonical.digest(record), is_final(record))
    except RecordUnusable as exc:
        return Seen(mark, key, b"", True, str(exc))


def scan(seen: Iterable[Seen]) -> Scan:
    """Return what a store holds whose rows are *seen*."""
    digests: dict[Key, Digest] = {}
    unreadable: dict[Key, str] = {}
    unfinished: set[Key] = set()
    for one in seen:
        if one.problem:
            unreadable[one.key] = one.problem
            continue
        if digests.setdefault(one.key, one.digest) != one.digest:
            unreadable[one.key] = "two different records bear this label"
        if not one.final:
            unfinished.add(one.key)
    for key in unreadable:
        digests.pop(key, None)
        unfinished.discard(key)
    return Scan(digests, unfinished, unreadable)


def renewed(before: Scan, keys: Collection[Key], seen: Iterable[Seen]) -> Scan:
    """Return what a store holds that was like *before*, but for the rows of *keys*, which now are *seen*."""
    part = scan(seen)
    digests, unreadable = dict(before.digests), dict(before.unreadable)
    for key in keys:
        digests.pop(key, None)
        unreadable.pop(key, None)
    digests.update(part.digests)
    unreadable.update(part.unreadable)
    unfinished = set(before.unfinished).difference(keys).union(part.unfinished)
    return Scan(digests, unfinished, unreadable, Changes(before.number, keys))
