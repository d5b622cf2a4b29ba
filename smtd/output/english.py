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
    Code.MERGED_UNSEEN: "another program edited it without what smtd had written: merged",
    Code.DATA_GIVEN_BACK: "Sumatra had taken data away from it: given back",
    Code.SIDE_PREFERRED: "conflict: the {side} side wins ({side})",
    Code.NEWEST_RUN: "conflict: the {side} side wins (newest)",
    Code.DECIDED: "a person decided",
    Code.KEPT_BESIDE: "a person kept it beside {0}",
    Code.BOTH_KEPT: "keep both: the {side} one as {0}",
    Code.WRITTEN_AGAIN: "another program undid smtd's last write",
    Code.CYCLE_UNDONE: "cycle {0} was undone",
    Code.RESTORED: "restored as of {0}",
    Code.ALL_GONE: (
        "deletion held: in the {side} store none of the records that it held before is there any more"
    ),
    Code.MANY_GONE: "deletion held: in the {side} store {0} of {1} records are gone within minutes",
    Code.PROJECT_GONE: (
        "deletion held: in the {side} store none of the records of {0} that it held before is there any more"
    ),
    Code.RUNNING: "running",
    Code.SOURCE_OF_ONE_WAY: (
        "what was decided would write to the {side} store, which is the source of a one-way pair"
    ),
    Code.LOST_AND_DELETED: ("smtd's last write to the {side} store was deleted on the other side meanwhile"),
    Code.LOST_AGAIN: "smtd's last write to the {side} store was undone again after smtd had written it anew",
    Code.LOST_AND_EDITED: (
        "smtd's last write to the {side} store was edited over twice as if it had not been made"
    ),
    Code.LOST_OUT_OF_REACH: (
        "another program undid smtd's last write to the {side} store, to which nothing is written now"
    ),
    Code.DATA_TAKEN_AWAY: "Sumatra took data away from it when another record was deleted or saved",
    Code.UNREADABLE: "it cannot be read: {0}",
    Code.NAMELESS: (
        "it cannot be read: a record of its project has no name there, and may be this one; give that its"
        " label again"
    ),
    Code.NAME_NOT_TEXT: "its name is not text; rename it there",
    Code.KEPT_DIFFERENTLY: (
        "the two sides have kept it differently since it was written; see what differs (smtd-ctl show)"
    ),
    Code.REFUSED: "the {side} store cannot hold it: {0}",
    Code.STILL_AS_BEFORE: (
        "the {side} store reported success, but still shows the record as it was before; smtd tries again"
        " later, see the log of that store if it stays so"
    ),
    Code.STILL_THERE: (
        "the {side} store reported success, but still has the record; smtd tries again later, see the log of"
        " that store if it stays so"
    ),
    Code.NOT_THERE: (
        "the {side} store reported success, but does not have the record; smtd tries again later, see the"
        " log of that store if it stays so"
    ),
    Code.ALTERED: "the {side} store keeps it otherwise than written: {values}",
    Code.UNUSABLE: "{0}",
    Code.KEEPS_CHANGING: "it kept changing; the next cycle tries again",
    Code.CHANGED_SINCE: "it has changed since; smtd-ctl restore brings back one record",
    Code.NOTED_TOO_LITTLE: (
        "an older smtd wrote it, and did not note enough to tell whether it has changed since; smtd-ctl"
        " restore brings back one record"
    ),
    Code.CHANGED_DURING_UNDO: "it changed in this moment; undo the cycle again",
    Code.CHANGED_DURING_RESTORE: "it changed in this moment; restore it again",
    Code.IN_CONFLICT: "in conflict",
    Code.HELD: "held: {cause}",
    Code.FAILED: "failed: {cause}",
    Code.NOT_CARRIED: "the pair is {0}: what was done in the {side} store stays there",
    Code.NOT_SYNCED_YET: "it is new; the next cycle sees to it",
    Code.DELETION_NOT_CARRIED: ("it was deleted from the {side} store, and the pair keeps what is deleted"),
    Code.BEING_CHANGED: "it is being changed; the next cycle sees to it",
    Code.FOUND_UNREADABLE: "the {side} store holds it, but it cannot be read: {0}",
    Code.FOUND_MISSING: "the {side} store lacks it, though it was agreed",
    Code.FOUND_DIFFERENT: "the two stores have kept {fields} differently since it was written",
    Code.FOUND_CHANGED_ON_BOTH: "both stores keep {fields} otherwise than agreed",
    Code.FOUND_CHANGED: "the {side} store keeps {fields} otherwise than agreed",
    Code.BOTH_CHANGED: "both sides changed {values}",
    Code.FAILED_THERE: "failed on the {side}",
    Code.EQUAL: "both sides hold the same record, as agreed",
    Code.EQUAL_NOT_NOTED: "both sides are equal",
    Code.CHANGED_ON_BOTH: "a change on both sides",
    Code.REFUSED_BEFORE: "refused {0} times: {cause}",
    Code.ONE_SIDED: "what one side did stays there: the pair does not carry it",
    Code.ABSENT: "neither side has it",
    Code.COPIES: "the next cycle brings it to the {side}",
    Code.DELETES: "the next cycle deletes it from the {side}",
    Code.TEXT: "{0}",
}

_HELD_DELETION = (
    "bring the {side} store back, or delete it from the {other} store too, or comment on it there to keep it;"
    " to a daemon say smtd-ctl deletes approve, or reject"
)
_LOST_WRITE = "make the same change on the other side too, or add a record or comment there to bring it back"
_STEPS: Mapping[Code, str] = {
    Code.ALL_GONE: _HELD_DELETION,
    Code.MANY_GONE: _HELD_DELETION,
    Code.PROJECT_GONE: _HELD_DELETION,
    Code.RUNNING: (
        "it is carried when its run is over; --unfinished mirror or --include-unfinished carries it now"
    ),
    Code.CYCLE_UNDONE: "edit the record, or let smtd-ctl resolve take one side",
    Code.SOURCE_OF_ONE_WAY: "change the record in the {side} store, or decide otherwise",
    Code.LOST_AND_DELETED: _LOST_WRITE,
    Code.LOST_AGAIN: _LOST_WRITE,
    Code.LOST_AND_EDITED: _LOST_WRITE,
    Code.LOST_OUT_OF_REACH: "edit the record in the {side} store, and that travels; or sync both ways once",
    Code.DATA_TAKEN_AWAY: "sync both ways once, and it is given back",
    Code.FOUND_UNREADABLE: "mend it there, or delete it there after a look at the {other} store",
    Code.FOUND_MISSING: (
        "if nobody deleted it, bring it back there; smtd-ctl sync now {pair} takes it for deleted"
    ),
    Code.FOUND_DIFFERENT: "make the two records equal, or delete one of them",
    Code.FOUND_CHANGED_ON_BOTH: "smtd-ctl sync now {pair} merges it, or lists a conflict",
    Code.FOUND_CHANGED: (
        "smtd-ctl sync now {pair} carries that to the {other} store; if nobody meant it, put back first what"
        " the {other} store has"
    ),
    Code.BOTH_CHANGED: "smtd-ctl resolve takes left, right or both",
    Code.EQUAL: "nothing",
    Code.EQUAL_NOT_NOTED: "nothing: the next cycle notes it",
    Code.CHANGED_ON_BOTH: "the next cycle writes it to both sides",
    Code.REFUSED_BEFORE: "it is offered again at {1}",
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
    # A reason that an earlier smtd wrote down may lack values.
    texts = [*why.values, *[""] * max(0, 2 - len(why.values))]
    return template.format(*texts, side=side, other=other, values=values, cause=cause, **known)
