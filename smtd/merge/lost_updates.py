"""Which writes of smtd did other programs undo without having seen them? Pure detection from a log of writes.

A program that had read a store before smtd wrote there, and saves after that, takes the write away: a shelf
is saved project by project, a server record by record. That is no edit and no deletion.
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

    *number* grows with every batch of writes; *reapplied* says how often in a row the same had
    to be written again; *reverted* says that it was found undone, or edited over, by somebody who had not
    seen it, and nothing was written there since; *rebased*, that it was merged with such an edit. What was
    not *seen* was sent to the store, which still showed what was there before; of deletions (*after* None)
    only such are logged. *confirmed*: it was there at
    a later look. *at* and *due*, in seconds since 1970: when it was made, and when it is looked at again.
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
    """Return the writes that were undone by a program that had read the store before, by key.

    *written* has the writes under each key, in order. Such a program puts back all of a project as it was
    when it read it. So a key that is as before one of smtd's writes was lost, not edited, unless a
    write to that project as late or later is still there: then the program that changed the key had
    seen it. (So no key is lost that still is as smtd left it.) What was found undone before, and still is,
    stays so: what smtd has written elsewhere since does not show that anybody had seen it.

    *by_record*: programs save single records, so only a write of the same key shows that. A record that is
    gone was lost, too, if nobody has seen the last write to it yet: who deleted it may not have seen that.
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
    """Return the last writes under keys that were edited since by somebody who need not have seen them.

    As with `reverted`, a write as late or later that is still there shows that they had.
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
    agreed: Mapping[Key, Digest | None],
    since: float = 0.0,
) -> set[Key]:
    """Return the keys that show a write which did not show before both sides *agreed* on another one.

    Nothing that was sent before *since* is on its way any more. A deletion may be of just what was agreed on:
    the other side has the record then, because somebody brought it back.
    """
    return {
        key
        for key, writes in written.items()
        if agreed.get(key) is not None
        and any(
            not write.seen
            and write.at >= since
            and write.after == now.get(key)
            and (write.after is None or agreed[key] != write.before)
            for write in writes
        )
    }


def _latest(
    written: Mapping[Key, Sequence[LoggedWrite]], now: Mapping[Key, Digest], *, by_record: bool
) -> Mapping[Key | str, int]:
    """Return the number of the last write to each project, or key, that is still there (-1: none is)."""
    latest: dict[Key | str, int] = defaultdict(lambda: -1)
    for key, writes in written.items():
        if writes and now.get(key) == writes[-1].after:
            scope = key if by_record else key.project
            latest[scope] = max(latest[scope], writes[-1].number)
    return latest
