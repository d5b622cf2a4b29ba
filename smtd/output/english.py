"""The English sentence for each reason, and what to do next: the one place that has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smtd.merge.reasons import Code, Reason

#: `{side}` is the side of the reason and `{other}` the opposite one, `{0}` the first of its values,
#: `{values}` all of them, `{cause}` the sentence of its cause. A finding also has `{fields}` and `{pair}`.
_SENTENCES: Mapping[Code, str] = {
    Code.NEW: "new on the {side}",
    Code.CHANGED: "changed on the {side}",
    Code.DELETED: "deleted on the {side}",
    Code.MERGED: "both sides changed it: merged",
    Code.MERGED_UNSEEN: "another program edited it without seeing smtd's last write: merged",
    Code.DATA_GIVEN_BACK: "Sumatra had removed data from it: restored",
    Code.SIDE_PREFERRED: "conflict: the {side} side wins ({side})",
    Code.NEWEST_RUN: "conflict: the {side} side wins (newest)",
    Code.DECIDED: "resolved by hand",
    Code.KEPT_BESIDE: "kept by hand next to {0}",
    Code.BOTH_KEPT: "keep both: the {side} one becomes {0}",
    Code.WRITTEN_AGAIN: "another program undid smtd's last write: written again",
    Code.CYCLE_UNDONE: "cycle {0} was undone",
    Code.RESTORED: "restored as of {0}",
    Code.EDITED: "edited on a page of smtd",
    Code.ALL_GONE: "deletion held: all earlier records are gone from the {side} store",
    Code.MANY_GONE: "deletion held: {0} of {1} records disappeared from the {side} store within minutes",
    Code.PROJECT_GONE: "deletion held: all earlier records of {0} are gone from the {side} store",
    Code.RUNNING: "running",
    Code.SOURCE_OF_ONE_WAY: (
        "the decision would write to the {side} store, which is the source of a one-way pair"
    ),
    Code.LOST_AND_DELETED: (
        "another program undid smtd's last write to the {side} store, and the {other} store no longer has"
        " the record"
    ),
    Code.LOST_AGAIN: "another program undid smtd's last write to the {side} store twice",
    Code.LOST_AND_EDITED: (
        "another program twice saved its own edit over smtd's last write to the {side} store"
    ),
    Code.LOST_OUT_OF_REACH: (
        "another program undid smtd's last write to the {side} store, and this pair does not write there now"
    ),
    Code.DATA_TAKEN_AWAY: "Sumatra removed data from it when another record was deleted or saved",
    Code.UNREADABLE: "it cannot be read: {0}",
    Code.NAMELESS: (
        "it cannot be read: a record of its project has no label there and may be this one; give that record"
        " its label again"
    ),
    Code.NAME_NOT_TEXT: "its name is not text; rename it there",
    Code.KEPT_DIFFERENTLY: (
        "the two stores have stored it differently since it was written; see what differs with smtd show"
    ),
    Code.REFUSED: "the {side} store cannot hold it: {0}",
    Code.STILL_AS_BEFORE: (
        "the {side} store reported success, but still shows the old record; smtd tries again later; if this"
        " persists, see the log of that store"
    ),
    Code.STILL_THERE: (
        "the {side} store reported success, but still has the record; smtd tries again later; if this"
        " persists, see the log of that store"
    ),
    Code.NOT_THERE: (
        "the {side} store reported success, but does not have the record; smtd tries again later; if this"
        " persists, see the log of that store"
    ),
    Code.ALTERED: "the {side} store stored something different: {values}",
    Code.UNUSABLE: "{0}",
    Code.KEEPS_CHANGING: "it kept changing; the next cycle tries again",
    Code.CHANGED_SINCE: "it has changed since; use smtd restore for this record",
    Code.NOTED_TOO_LITTLE: (
        "an older smtd wrote it and did not record whether it has changed since; use smtd restore for"
        " this record"
    ),
    Code.CHANGED_DURING_UNDO: "it changed during the undo; undo the cycle again",
    Code.CHANGED_DURING_EDIT: "it changed during the edit; edit it again",
    Code.CHANGED_DURING_RESTORE: "it changed during the restore; restore it again",
    Code.IN_CONFLICT: "in conflict",
    Code.HELD: "held: {cause}",
    Code.FAILED: "failed: {cause}",
    Code.NOT_CARRIED: "the pair is {0}: changes in the {side} store stay there",
    Code.NOT_SYNCED_YET: "it is new; the next cycle will sync it",
    Code.DELETION_NOT_CARRIED: (
        "it was deleted from the {side} store, and the pair does not propagate deletions"
    ),
    Code.BEING_CHANGED: "it is being changed; the next cycle will handle it",
    Code.FOUND_UNREADABLE: "the {side} store holds it, but it cannot be read: {0}",
    Code.FOUND_MISSING: "it is missing from the {side} store, but was in sync",
    Code.FOUND_DIFFERENT: "the two stores have stored {fields} differently since it was written",
    Code.FOUND_CHANGED_ON_BOTH: "both stores differ from the last sync in {fields}",
    Code.FOUND_CHANGED: "the {side} store differs from the last sync in {fields}",
    Code.BOTH_CHANGED: "both sides changed {values}",
    Code.FAILED_THERE: "failed on the {side}",
    Code.EQUAL: "in sync: both sides hold the same record",
    Code.EQUAL_NOT_NOTED: "both sides are equal",
    Code.CHANGED_ON_BOTH: "both sides changed it",
    Code.REFUSED_BEFORE: "refused {0} times: {cause}",
    Code.ONE_SIDED: "the sides differ, but the pair does not sync this change",
    Code.ABSENT: "neither side has it",
    Code.COPIES: "the next cycle copies it to the {side}",
    Code.DELETES: "the next cycle deletes it from the {side}",
    Code.TEXT: "{0}",
}

_HELD_DELETION = (
    "to keep it, bring the {side} store back, comment on it in the {other} store, or run smtd deletes"
    " reject PAIR; to delete it, delete it from the {other} store too, or run smtd deletes approve PAIR"
)
_LOST_WRITE = "use smtd resolve to take one side, or make the same change in the {other} store"
_STEPS: Mapping[Code, str] = {
    Code.ALL_GONE: _HELD_DELETION,
    Code.MANY_GONE: _HELD_DELETION,
    Code.PROJECT_GONE: _HELD_DELETION,
    Code.RUNNING: (
        "smtd syncs it when its run is over; to sync it now, use --unfinished mirror or --include-unfinished"
    ),
    Code.CYCLE_UNDONE: "edit the record, or use smtd resolve to take one side",
    Code.SOURCE_OF_ONE_WAY: "change the record in the {side} store, or decide differently",
    Code.LOST_AND_DELETED: _LOST_WRITE,
    Code.LOST_AGAIN: _LOST_WRITE,
    Code.LOST_AND_EDITED: _LOST_WRITE,
    Code.LOST_OUT_OF_REACH: "edit the record in the {side} store, or sync two-way once",
    Code.DATA_TAKEN_AWAY: "sync two-way once to restore it",
    Code.FOUND_UNREADABLE: "repair it there, or look at it in the {other} store and then delete it there",
    Code.FOUND_MISSING: (
        "if nobody deleted it, bring it back there; otherwise run smtd sync now {pair}, which treats it"
        " as deleted"
    ),
    Code.FOUND_DIFFERENT: "make the two records equal, or delete one of them",
    Code.FOUND_CHANGED_ON_BOTH: "run smtd sync now {pair} to merge it or to list a conflict",
    Code.FOUND_CHANGED: (
        "run smtd sync now {pair} to copy that to the {other} store; if the change is a mistake, first"
        " put the version of the {other} store back"
    ),
    Code.BOTH_CHANGED: "use smtd resolve to take left, right or both",
    Code.EQUAL: "nothing",
    Code.EQUAL_NOT_NOTED: "nothing: the next cycle will record it",
    Code.CHANGED_ON_BOTH: "the next cycle writes it to both sides",
    Code.REFUSED_BEFORE: "smtd tries again at {1}",
    Code.ONE_SIDED: "change mode or deletes of the pair",
    Code.ABSENT: "nothing",
}


def sentence(why: Reason, **known: Any) -> str:
    """Return *why* in English; *known* are the `fields` and the `pair` of a finding."""
    return _filled(_SENTENCES[why.code], why, known)


def next_step(why: Reason, **known: Any) -> str:
    """Return what to do next, or what happens next; empty if the sentence says that itself."""
    return _filled(_STEPS.get(why.code, ""), why, known)


def _filled(template: str, why: Reason, known: Mapping[str, Any]) -> str:
    side, other = ("", "") if why.side is None else (why.side.value, why.side.other.value)
    cause = "" if why.cause is None else sentence(why.cause)
    values = ", ".join(map(str, why.values))
    # A reason in the journal of an earlier smtd may lack values.
    texts = [*why.values, *[""] * max(0, 2 - len(why.values))]
    return template.format(*texts, side=side, other=other, values=values, cause=cause, **known)
