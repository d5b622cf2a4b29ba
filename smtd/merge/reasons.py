"""Why smtd acts, waits, fails or finds something, as data: a code, and the side and values that go with it.

Nothing here is prose. `smtd.output.english` has the sentence for each code, and JSON has both.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

import msgspec

from smtd.merge.sides import Side
from smtd.text import encodable


class Code(Enum):
    """A reason. The comment says which side it names and which values it has."""

    # Reasons of actions. The side is the one from which a change comes, or that wins.
    NEW = "new"  # side
    CHANGED = "changed"  # side
    DELETED = "deleted"  # side
    MERGED = "merged"
    MERGED_UNSEEN = "merged unseen edit"
    DATA_GIVEN_BACK = "data given back"
    SIDE_PREFERRED = "side preferred"  # side
    NEWEST_RUN = "newest run"  # side
    DECIDED = "decided"
    KEPT_BESIDE = "kept beside"  # the label of the other record
    BOTH_KEPT = "both kept"  # side, the label that its record gets
    WRITTEN_AGAIN = "written again"
    CYCLE_UNDONE = "cycle undone"  # the number of the cycle
    RESTORED = "restored"  # the time, ISO 8601
    EDITED = "edited"

    # Reasons of held deletions. The side is the one that lacks the records.
    ALL_GONE = "all gone"  # side
    MANY_GONE = "many gone"  # side, how many are missing, how many have a baseline
    PROJECT_GONE = "project gone"  # side, the project

    # Reasons of other holds. The side is the one that smtd does not write to, or where its write was undone.
    RUNNING = "running"
    SOURCE_OF_ONE_WAY = "source of one-way pair"  # side
    LOST_AND_DELETED = "lost write, deleted on the other side"  # side
    LOST_AGAIN = "lost write, undone again"  # side
    LOST_AND_EDITED = "lost write, edited over twice"  # side
    LOST_OUT_OF_REACH = "lost write, not written there now"  # side
    DATA_TAKEN_AWAY = "data taken away"

    # Reasons of failures. The side is the one that fails.
    UNREADABLE = "unreadable"  # side, what the store says
    NAMELESS = "nameless"  # side
    NAME_NOT_TEXT = "name is not text"  # side
    KEPT_DIFFERENTLY = "kept differently"
    REFUSED = "refused"  # side, what the store says
    STILL_AS_BEFORE = "still as before"  # side
    STILL_THERE = "still there"  # side
    NOT_THERE = "not there"  # side
    ALTERED = "altered"  # side, the fields
    UNUSABLE = "unusable"  # what is wrong with the record
    KEEPS_CHANGING = "keeps changing"
    CHANGED_SINCE = "changed since"
    NOTED_TOO_LITTLE = "noted too little"
    CHANGED_DURING_UNDO = "changed during undo"
    CHANGED_DURING_EDIT = "changed during edit"
    CHANGED_DURING_RESTORE = "changed during restore"

    # Known reasons why two stores differ. The cause is the reason of the hold or of the failure.
    IN_CONFLICT = "in conflict"
    HELD = "held"  # cause
    FAILED = "failed"  # cause
    NOT_CARRIED = "not carried"  # side, the mode of the pair
    NOT_SYNCED_YET = "not synced yet"
    DELETION_NOT_CARRIED = "deletion not carried"  # side
    BEING_CHANGED = "being changed"

    # Findings of `verify`. The side is the one to blame.
    FOUND_UNREADABLE = "found unreadable"  # side, what the store says
    FOUND_MISSING = "found missing"  # side
    FOUND_DIFFERENT = "found different"
    FOUND_CHANGED_ON_BOTH = "found changed on both sides"
    FOUND_CHANGED = "found changed"  # side

    # What else may apply to one record now. The cause is the reason of the failure.
    BOTH_CHANGED = "both changed"  # the fields
    FAILED_THERE = "failed there"  # side, cause
    EQUAL = "equal"
    EQUAL_NOT_NOTED = "equal, not noted yet"
    CHANGED_ON_BOTH = "changed on both sides"
    REFUSED_BEFORE = "refused before"  # side, how often, until when (ISO 8601); cause
    ONE_SIDED = "one-sided"
    ABSENT = "absent"

    # What happens next. The side is the one that smtd writes to.
    COPIES = "copies"  # side
    DELETES = "deletes"  # side

    #: A sentence that an earlier version of smtd stored.
    TEXT = "text"


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """A *code* with the *side*, the *values* and the *cause* that its comment in `Code` lists.

    Texts among the values can be encoded as UTF-8; they may be messages of a store.
    """

    code: Code
    side: Side | None = None
    values: tuple[str | int, ...] = ()
    cause: Reason | None = None

    @property
    def mirrored(self) -> Reason:
        """The same reason with the names of the sides exchanged."""
        side = None if self.side is None else self.side.other
        cause = None if self.cause is None else self.cause.mirrored
        return msgspec.structs.replace(self, side=side, cause=cause)


@cache
def _plain(code: Code, side: Side | None) -> Reason:
    """Return the one shared object for a reason without values: a plan may have many actions."""
    return Reason(code, side)


def because(code: Code, side: Side | None = None, *values: str | int, cause: Reason | None = None) -> Reason:
    """Return a reason; lone surrogates in its texts are escaped, so that journals and JSON can hold it."""
    if not values and cause is None:
        return _plain(code, side)
    texts = tuple(encodable(str(each)) if isinstance(each, str) else each for each in values)
    return Reason(code, side, texts, cause)
