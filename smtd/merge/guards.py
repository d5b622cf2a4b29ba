"""Is an absence a deletion? Pure rules that keep a broken store from deleting anything.

Deletions travel only from a store that still holds what it held. A store that lost everything,
or more than a person is likely to delete between two cycles, deletes nothing: those deletions are
held. A store without a lock may lose what smtd wrote when a program that had read it earlier
saves: that is no deletion either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Side
from smtd.records.canonical import Digest
from smtd.records.record import Key


@dataclass(frozen=True, slots=True)
class DeletionLimit:
    """More deletions than both *count* and *share* (of 1) of the agreed records are held."""

    count: int = 20
    share: float = 0.2


def suspicion(agreed: int, missing: int, limit: DeletionLimit, side: Side) -> Reason | None:
    """Return why *missing* of *agreed* records, which *side* lacks, are held and not deleted, or None."""
    if not missing:
        return None
    if missing == agreed:
        return because(Code.ALL_GONE, side)
    if missing > limit.count and missing > limit.share * agreed:
        return because(Code.MANY_GONE, side, missing, agreed)
    return None


def emptied(agreed: Collection[Key], missing: Collection[Key], side: Side) -> dict[str, Reason]:
    """Return the projects of *agreed* all of whose records are *missing* on *side*, and why theirs are held.

    Who is not shown a project any more sees none of its records.
    """
    left = {key.project for key in agreed if key not in missing}
    return {
        project: because(Code.PROJECT_GONE, side, project)
        for project in {key.project for key in missing} - left
    }


@dataclass(frozen=True, slots=True)
class Written:
    """One write of smtd under a key of a store without a lock.

    *number* grows with every batch of writes; *restored* says how often in a row the same had
    to be written again; *undone* says that it was found undone, or edited over, by somebody who had not
    seen it, and nothing was written there since; *merged*, that it was merged with such an edit. What was not
    *seen* was taken by the store, which still showed what was there before. *confirmed*: it was there at a
    later look. *at* and *due*, in seconds since 1970: when it was made, and when it is looked at again.
    """

    number: int
    before: Digest | None
    after: Digest
    restored: int = 0
    undone: bool = False
    merged: bool = False
    seen: bool = True
    confirmed: bool = False
    at: float = 0.0
    due: float | None = None


def undone(
    written: Mapping[Key, Sequence[Written]], now: Mapping[Key, Digest], *, by_record: bool = False
) -> dict[Key, Sequence[Written]]:
    """Return the writes that were undone by a program that had read the store before, by key.

    *written* has the writes under each key, in order. Such a program puts back all of a project as it was
    when it read it. So a key that is as before one of smtd's writes was lost, not edited, unless a
    write to that project as late or later is still there: then whoever changed the key had seen it. (So no
    key is lost that still is as smtd left it.) What was found undone before, and still is, stays so: what
    smtd has written elsewhere since does not show that anybody had seen it.

    *by_record*: programs save single records, so only a write of the same key shows that. A record that is
    gone was lost, too, if nobody has seen the last write to it yet: who deleted it may not have seen that.
    """
    latest = _latest(written, now, by_record=by_record)
    found = {
        key: [
            write
            for write in writes
            if (now.get(key) == write.before or (by_record and key not in now and not writes[-1].confirmed))
            and (write.undone or write.number > latest[key if by_record else key.project])
        ]
        for key, writes in written.items()
    }
    return {key: writes for key, writes in found.items() if writes}


def unseen(
    written: Mapping[Key, Sequence[Written]], now: Mapping[Key, Digest], *, by_record: bool = False
) -> dict[Key, Written]:
    """Return the last writes under keys that were edited since by somebody who need not have seen them.

    As with `undone`, a write as late or later that is still there shows that they had.
    """
    latest = _latest(written, now, by_record=by_record)
    last = {key: writes[-1] for key, writes in written.items() if writes}
    return {
        key: write
        for key, write in last.items()
        if (write.undone or write.number > latest[key if by_record else key.project])
        and now.get(key) not in (None, write.before, write.after)
    }


def _latest(
    written: Mapping[Key, Sequence[Written]], now: Mapping[Key, Digest], *, by_record: bool
) -> Mapping[Key | str, int]:
    """Return the number of the last write to each project, or key, that is still there (-1: none is)."""
    latest: dict[Key | str, int] = defaultdict(lambda: -1)
    for key, writes in written.items():
        if writes and now.get(key) == writes[-1].after:
            scope = key if by_record else key.project
            latest[scope] = max(latest[scope], writes[-1].number)
    return latest
