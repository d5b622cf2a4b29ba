"""When an absence is not a deletion: emptied stores, and many deletions at once."""

from __future__ import annotations

import pytest

from smtd.merge.deletion_guard import DeletionLimit, emptied_projects, mass_deletion
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Side
from smtd.records.record import Key

NO_LONGER_ANY = because(Code.ALL_GONE, Side.LEFT)

SUSPICIONS = [
    # total, missing, limit, reason
    (0, 0, DeletionLimit(), None),
    (1, 0, DeletionLimit(), None),
    (1, 1, DeletionLimit(), NO_LONGER_ANY),
    (2, 1, DeletionLimit(), None),
    (2, 2, DeletionLimit(), NO_LONGER_ANY),
    (20, 19, DeletionLimit(), None),
    (20, 20, DeletionLimit(), NO_LONGER_ANY),
    (21, 20, DeletionLimit(), None),
    (22, 21, DeletionLimit(), because(Code.MANY_GONE, Side.LEFT, 21, 22)),
    (100, 20, DeletionLimit(), None),
    (100, 21, DeletionLimit(), because(Code.MANY_GONE, Side.LEFT, 21, 100)),
    (105, 21, DeletionLimit(), None),
    (104, 21, DeletionLimit(), because(Code.MANY_GONE, Side.LEFT, 21, 104)),
    (1000, 200, DeletionLimit(), None),
    (1000, 201, DeletionLimit(), because(Code.MANY_GONE, Side.LEFT, 201, 1000)),
    (1000, 999, DeletionLimit(count=1000), None),
    (1000, 1000, DeletionLimit(count=1000), NO_LONGER_ANY),
    (1000, 999, DeletionLimit(count=0, share=1.0), None),
    (1000, 1, DeletionLimit(count=0, share=0.0), because(Code.MANY_GONE, Side.LEFT, 1, 1000)),
]


@pytest.mark.parametrize(("total", "missing", "limit", "reason"), SUSPICIONS)
def test_deletions_are_held_above_both_limits_or_if_all_are_gone(total, missing, limit, reason):
    """A store that lost everything, or more than a user deletes at once, deletes nothing."""
    assert mass_deletion(total, missing, limit, Side.LEFT) == reason


#: total, missing, recent, reason
SLICES = [
    (99, 0, 30, None),
    (85, 5, 15, None),
    (80, 1, 20, because(Code.MANY_GONE, Side.LEFT, 21, 100)),
    (79, 3, 18, because(Code.MANY_GONE, Side.LEFT, 21, 97)),
    (985, 15, 15, None),
    (900, 100, 100, None),
    (900, 101, 100, because(Code.MANY_GONE, Side.LEFT, 201, 1000)),
    (3, 3, 18, NO_LONGER_ANY),
]


@pytest.mark.parametrize(("total", "missing", "recent", "reason"), SLICES)
def test_deletions_of_the_last_minutes_count_as_if_they_came_at_once(total, missing, recent, reason):
    """What smtd deleted lately belongs to the set, and was agreed on: parts are held like the whole."""
    assert mass_deletion(total, missing, DeletionLimit(), Side.LEFT, recent) == reason


A, B, OTHER = Key("one", "a"), Key("one", "b"), Key("other", "a")


@pytest.mark.parametrize(
    ("missing", "others", "emptied"),
    [
        ([], [], []),
        ([A], [], []),
        ([A, B], [], ["one"]),
        ([A, B], ["one"], []),
        ([A, B], ["other"], ["one"]),
        ([A, OTHER], [], ["other"]),
        ([A, B, OTHER], [], ["one", "other"]),
    ],
)
def test_deletions_are_held_in_each_project_that_lost_all_its_records(missing, others, emptied):
    """Unless it has more records than those that were agreed on."""
    found = emptied_projects([A, B, OTHER], missing, Side.RIGHT, others)

    assert found == {project: because(Code.PROJECT_GONE, Side.RIGHT, project) for project in emptied}


def test_project_has_no_other_records_by_default():
    assert set(emptied_projects([A], [A], Side.LEFT)) == {"one"}
