"""Decide whether an absence is a deletion. Pure rules, by which a broken store deletes nothing.

smtd carries deletions only from a store that still holds its other records. If a store lost
everything, or more than a user is likely to delete in a short time, smtd holds the deletions. It
judges them as a set, however many cycles saw them: deletions that it carried lately count, too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Side
from smtd.records.record import Key

#: Seconds for which a deletion counts after it was carried.
PERIOD = 600.0


@dataclass(frozen=True, slots=True)
class DeletionLimit:
    """More deletions than both *count* and *share* (of 1) of the records with a baseline are held."""

    count: int = 20
    share: float = 0.2


def mass_deletion(
    total: int, missing: int, limit: DeletionLimit, side: Side, recent: int = 0
) -> Reason | None:
    """Return why to hold the deletion of *missing* of *total* baselines, which *side* lacks, or None.

    smtd deleted *recent* more within the last `PERIOD` seconds, because *side* lacked them: they had been
    agreed on, and belong to the same set.
    """
    if not missing:
        return None
    if missing == total:
        return because(Code.ALL_GONE, side)
    gone, all_of_them = missing + recent, total + recent
    if gone > limit.count and gone > limit.share * all_of_them:
        return because(Code.MANY_GONE, side, gone, all_of_them)
    return None


def emptied_projects(
    baselines: Collection[Key], missing: Collection[Key], side: Side, others: Collection[str] = ()
) -> dict[str, Reason]:
    """Return why to hold deletions, for each project of *baselines* whose keys are all *missing* on *side*.

    *others* are projects with more records than those of *baselines*. If a server no longer shows a project
    to smtd, all of its records are missing.
    """
    left = {key.project for key in baselines if key not in missing}.union(others)
    return {
        project: because(Code.PROJECT_GONE, side, project)
        for project in {key.project for key in missing} - left
    }
