"""Detect writes of smtd that other programs undid without having seen them. Pure: works on a log of writes.

A program that reads a store before smtd writes there, and saves after that, undoes the write: it saves a
shelf project by project, a server record by record. That is neither an edit nor a deletion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smtd.records.canonical import Digest
from smtd.records.record import Key


@dataclass(frozen=True, slots=True)
class LoggedWrite:
    """One write by smtd under a key. Another program may overwrite it with the earlier record.

    *number* grows with every batch of writes. *reapplied*: how often in a row smtd had to repeat the same
    write. *reverted*: a program that had not seen the write has undone it or saved an edit over it, and smtd
    has not written there since. *rebased*: the write is a merge with such an edit. A write that was not
    *seen* was sent to the store, which still showed the previous state; deletions (*after* None) are logged
    only then. *confirmed*: it was there at a later read. *at* and *due*, in seconds since 1970: when it was
    made, and when smtd reads the record again.
    """

    number: int
    before: Digest | None
    after: Digest | None
    reapplied: int = 0
    reverted: bool = False
    rebased: bool = False
    seen: bool = True
    confirmed: bool = False
    at: float = 0.0
    due: float | None = None


def reverted(
    written: Mapping[Key, Sequence[LoggedWrite]], now: Mapping[Key, Digest], *, by_record: bool = False
) -> dict[Key, Sequence[LoggedWrite]]:
    """Return the writes that a program undid which had read the store before them, by key.

    *written* has the writes under each key, in order. Such a program restores a whole project to the state
    that it had read. So a key in the state from before one of smtd's writes was lost, not edited, unless a
    write to that project of the same or a later batch is still there: then the program that changed the key
    had seen the write. (So a key is never lost while it is as smtd left it.) A write that was found undone
    before, and still is, stays so: later writes of smtd to other keys do not prove that a program saw it.

    *by_record*: programs save single records, so only a later write of the same key proves that. A record
    that is gone was lost, too, if its last write is not confirmed: the program that deleted the record may
    not have seen that write.
    """
    latest = _latest(written, now, by_record=by_record)
    found = {
        key: [
            write
            for write in writes
            if (now.get(key) == write.before or (by_record and key not in now and not writes[-1].confirmed))
            and (write.reverted or write.number > latest[key if by_record else key.project])
        ]
        for key, writes in written.items()
    }
    return {key: writes for key, writes in found.items() if writes}


def possibly_unseen(
    written: Mapping[Key, Sequence[LoggedWrite]], now: Mapping[Key, Digest], *, by_record: bool = False
) -> dict[Key, LoggedWrite]:
    """Return the last writes under keys that a program has edited since, perhaps without having seen them.

    As with `reverted`, a write of the same or a later batch that is still there proves that it had.
    """
    latest = _latest(written, now, by_record=by_record)
    last = {key: writes[-1] for key, writes in written.items() if writes}
    return {
        key: write
        for key, write in last.items()
        if (write.reverted or write.number > latest[key if by_record else key.project])
        and now.get(key) not in (None, write.before, write.after)
    }


def arrived_late(
    written: Mapping[Key, Sequence[LoggedWrite]],
    now: Mapping[Key, Digest],
    baselines: Mapping[Key, Digest | None],
    since: float = 0.0,
) -> set[Key]:
    """Return the keys that now show a write which had not shown when *baselines* of another state were made.

    Requests sent before *since* can no longer arrive. A deletion may be of exactly the baseline: the
    other side has the record then, because a program restored it.
    """
    return {
        key
        for key, writes in written.items()
        if baselines.get(key) is not None
        and any(
            not write.seen
            and write.at >= since
            and write.after == now.get(key)
            and (write.after is None or baselines[key] != write.before)
            for write in writes
        )
    }


def _latest(
    written: Mapping[Key, Sequence[LoggedWrite]], now: Mapping[Key, Digest], *, by_record: bool
) -> Mapping[Key | str, int]:
    """Return the number of the last write to each project (or key) that is still there (-1: none is)."""
    latest: dict[Key | str, int] = defaultdict(lambda: -1)
    for key, writes in written.items():
        if writes and now.get(key) == writes[-1].after:
            scope = key if by_record else key.project
            latest[scope] = max(latest[scope], writes[-1].number)
    return latest
