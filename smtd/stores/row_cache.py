"""What is remembered about each record that was read, and the scan that these make together."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.records.run_status import is_final
from smtd.stores.base import Changes, Scan


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One row, or record: its key, its digest (or a text: what is wrong with it), whether its run is over.

    *mark* is a hash of the row. There are as many of these in memory as records: so it has only four fields,
    and nothing that the garbage collector tracks.
    """

    mark: int
    key: Key
    found: Digest | str
    final: bool = True


def understood(mark: int, key: Key, record: Record | RecordUnusable) -> Seen:
    """Return the Seen of a row with *mark*, *key* and *record*."""
    try:
        if isinstance(record, RecordUnusable):
            raise record
        return Seen(mark, key, canonical.digest(record), is_final(record))
    except RecordUnusable as exc:
        return Seen(mark, key, exc.reason)


def scan(seen: Iterable[Seen]) -> Scan:
    """Return the scan of a store with exactly the records *seen*."""
    digests: dict[Key, Digest] = {}
    unreadable: dict[Key, str] = {}
    unfinished: set[Key] = set()
    for one in seen:
        if isinstance(one.found, str):
            unreadable[one.key] = one.found
            continue
        if digests.setdefault(one.key, one.found) != one.found:
            unreadable[one.key] = "two different records have this label"
        if not one.final:
            unfinished.add(one.key)
    for key in unreadable:
        digests.pop(key, None)
        unfinished.discard(key)
    return Scan(digests, unfinished, unreadable)


def apply_changes(before: Scan, keys: Collection[Key], seen: Iterable[Seen]) -> Scan:
    """Return the scan of a store that differs from *before* only in *keys*, whose records are *seen*.

    *before*, from `scan` or this function, is changed and must not be used again: a copy would cost too much.
    """
    part, digests, unreadable = scan(seen), before.digests, before.unreadable
    unfinished = before.unfinished
    assert isinstance(digests, dict)
    assert isinstance(unreadable, dict)
    assert isinstance(unfinished, set)
    for key in keys:
        digests.pop(key, None)
        unreadable.pop(key, None)
    digests.update(part.digests)
    unreadable.update(part.unreadable)
    unfinished.difference_update(keys)
    unfinished.update(part.unfinished)
    return Scan(digests, unfinished, unreadable, Changes(before.number, keys))
