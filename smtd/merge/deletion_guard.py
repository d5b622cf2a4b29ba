"""Is an absence a deletion? Pure rules that keep a broken store from deleting anything.

Deletions travel only from a store that still holds what it held. A store that lost everything,
or more than a person is likely to delete in a short time, deletes nothing: those deletions are
held. They are judged as a set, however many cycles saw them: what was carried lately counts, too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Side
from smtd.records.record import Key

#: Seconds for which deletions count that were carried.
PERIOD = 600.0


@dataclass(frozen=True, slots=True)
class DeletionLimit:
    """More deletions than both *count* and *share* (of 1) of the agreed records are held."""

    count: int = 20
    share: float = 0.2


def mass_deletion(
    agreed: int, missing: int, limit: DeletionLimit, side: Side, recent: int = 0
) -> Reason | None:
    """Return why *missing* of *agreed* records, which *side* lacks, are held and not deleted, or None.

    *recent* more were deleted within the last `PERIOD` seconds, because *side* lacked them: they had been
    agreed on, and belong to the same set.
    """
    if not missing:
        return None
    if missing == agreed:
        return because(Code.ALL_GONE, side)
    gone, all_of_them = missing + recent, agreed + recent
    if gone > limit.count and gone > limit.share * all_of_them:
        return because(Code.MANY_GONE, side, gone, all_of_them)
    return None


def emptied_projects(
    agreed: Collection[Key], missing: Collection[Key], side: Side, others: Collection[str] = ()
) -> dict[str, Reason]:
    """Return the projects of *agreed* all of whose records are *missing* on *side*, and why theirs are held.

    *others* are projects that have more records than those. Who is not shown a project any more sees none of
    its records.
    """
    left = {key.project for key in agreed if key not in missing}.union(others)
    return {
        project: because(Code.PROJECT_GONE, side, project)
        for project in {key.project for key in missing} - left
    }
