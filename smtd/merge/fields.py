"""Merge two versions of one record field by field, with their ancestor, the record of the baseline.

Annotations merge: tags as a set, the status by life cycle, `reason` and `outcome` by side or by
appended lines. Where the data lies may change on one side (`smt migrate`). All else is provenance:
a difference there is a different experiment under the same label, and no rule may decide.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from smtd.records import canonical, tags
from smtd.records.record import FIELDS, Pickled, Record
from smtd.records.run_status import is_final
from smtd.records.tags import STATUS_TAGS

ANNOTATIONS = ("reason", "outcome", "tags")
WHEREABOUTS = ("datastore", "input_datastore")
PROVENANCE = tuple(field for field in FIELDS if field not in ANNOTATIONS + WHEREABOUTS)


@dataclass(frozen=True, slots=True)
class Merged:
    """A record that combines both sides."""

    record: Record


@dataclass(frozen=True, slots=True)
class Unmergeable:
    """The fields that no rule may decide."""

    fields: tuple[str, ...]


def merge(ancestor: Record | None, left: Record, right: Record) -> Merged | Unmergeable:
    """Merge *left* and *right*, which both differ from *ancestor* (None: there is no baseline)."""
    if ancestor is not None:
        left, right = mended(ancestor, left), mended(ancestor, right)
    base = _same_experiment(ancestor, left, right)
    if base is None:
        return Unmergeable(
            tuple(field for field in canonical.differences(left, right) if field in PROVENANCE)
        )
    other = right if base is left else left
    taken: dict[str, _Taken] = {}
    conflicts = []
    for field in WHEREABOUTS + ANNOTATIONS:
        if canonical.same(left, right, field):
            continue
        try:
            taken[field] = _field(field, ancestor, left, right)
        except _Undecided:
            conflicts.append(field)
    if conflicts:
        return Unmergeable(tuple(field for field in FIELDS if field in conflicts))
    return Merged(_assembled(base, other, taken))


class _Taken(NamedTuple):
    """The merged value of a field, and its pickle if only a shelf can hold it whole."""

    value: Any
    pickled: Pickled | None = None


def _assembled(base: Record, other: Record, taken: dict[str, _Taken]) -> Record:
    """Return *base* with the fields *taken*, and with the pickles of both records that only a shelf holds."""
    opaque = base.opaque | {
        name: pickled
        for name, pickled in other.opaque.items()
        if name not in base.opaque and (name not in FIELDS or canonical.same(base, other, name))
    }
    for field, found in taken.items():
        opaque.pop(field, None)
        if found.pickled is not None:
            opaque[field] = found.pickled
    values = {field: found.value for field, found in taken.items()}
    return msgspec.structs.replace(base, opaque=opaque, **values)


def mended(before: Record, after: Record) -> Record:
    """Return *after* with the data that Sumatra removed from it as a side effect.

    In a relational store, deleting a record removes its outputs from records that used them as
    input, and saving a record removes equal outputs from others (docs/formats.md). No user can
    edit the data of a record whose run is over, so no user meant to remove it.
    """
    if not is_final(before) or not is_final(after) or before.timestamp != after.timestamp:
        return after
    taken = {
        field: getattr(before, field)
        for field in ("input_data", "output_data")
        if field not in before.opaque and canonical.lacks(after, before, field)
    }
    return msgspec.structs.replace(after, **taken) if taken else after


def is_built_on(now: Record, wanted: Record, before: Record | None) -> bool:
    """Say whether *now* is an edit of *wanted*, rather than of *before* (None: there was none).

    It is one if it has any part of the change from *before* to *wanted*.
    """
    if before is None:
        return not _differ(now, wanted)
    for field in canonical.differences(before, wanted):
        if field == "tags":
            if now.tags & (wanted.tags - before.tags) or (before.tags - wanted.tags) - now.tags:
                return True
        elif canonical.same(now, wanted, field):
            return True
        elif field in ("reason", "outcome"):
            had, has = (_lines(getattr(one, field) or "") for one in (before, wanted))
            lines = set(_lines(getattr(now, field) or ""))
            # The order of lines does not count: a merge may change it.
            removed = set(_without(had, has))
            if lines & set(_without(has, had)) or (removed and not lines & removed and lines >= set(has)):
                return True
    return False


def contains_all(now: Record, wanted: Record, before: Record | None) -> bool:
    """Say whether *now* has the whole change from *before* to *wanted* (None: all of *wanted*)."""
    if before is None:
        fields: tuple[str, ...] = ANNOTATIONS
        before = msgspec.structs.replace(wanted, reason="", outcome="", tags=wanted.tags & STATUS_TAGS)
        if _differ(now, wanted):
            return False
    else:
        fields = tuple(canonical.differences(before, wanted))
    return all(_contains_change(field, now, wanted, before) for field in fields)


def _contains_change(field: str, now: Record, wanted: Record, before: Record) -> bool:
    if field == "tags":
        return now.tags >= wanted.tags - before.tags and not now.tags & (before.tags - wanted.tags)
    if field not in ("reason", "outcome"):
        return canonical.same(now, wanted, field)
    had, has, lines = (_lines(getattr(one, field) or "") for one in (before, wanted, now))
    return not _without(_without(has, had), lines) and not set(_without(had, has)) & set(lines)


class _Undecided(Exception):
    """Both sides changed a field in different ways."""


def _same_experiment(ancestor: Record | None, left: Record, right: Record) -> Record | None:
    """Return the record whose provenance holds for both (None: they are different experiments).

    Provenance only changes during a run: the side that completed the run has all of it.
    """
    if not _differ(left, right):
        return left
    if ancestor is not None and not is_final(ancestor):
        if not _differ(ancestor, right):
            return left
        if not _differ(ancestor, left):
            return right
    return None


def _differ(one: Record, other: Record) -> bool:
    return any(not canonical.same(one, other, field) for field in PROVENANCE)


def _field(field: str, ancestor: Record | None, left: Record, right: Record) -> _Taken:
    if ancestor is not None:
        if canonical.same(ancestor, left, field):
            return _taken(field, right)
        if canonical.same(ancestor, right, field):
            return _taken(field, left)
    if field in WHEREABOUTS or field in (*left.unmodelled_fields, *right.unmodelled_fields):
        raise _Undecided
    if field == "tags":
        return _Taken(_tags(frozenset() if ancestor is None else ancestor.tags, left.tags, right.tags))
    before = None if ancestor is None else getattr(ancestor, field) or ""
    return _Taken(_text(before, getattr(left, field) or "", getattr(right, field) or ""))


def _taken(field: str, record: Record) -> _Taken:
    return _Taken(getattr(record, field), record.opaque.get(field))


def _text(before: str | None, left: str, right: str) -> str:
    """Merge two texts to which Sumatra's `comment` may have appended lines. Raises _Undecided.

    A text that has all lines of the other, in order, is the merged one; so a merge that was
    interrupted can be repeated. Two stores may be linked in several ways, through a third store or
    by two pairs. An edit then reaches both sides in any order; it must not double a line, end as a
    conflict, or be copied to and fro.
    """
    if not left or not right:
        return left or right  # a change wins over a deletion
    if before is not None:
        for longer, shorter in ((left, right), (right, left)):
            if _contains(longer, before) and _contains(before, shorter):  # one added lines, one removed some
                return "\n".join(_added(longer, "\n".join(_added(before, shorter))))
        if _without(_lines(before), _lines(left)) or _without(_lines(before), _lines(right)):
            raise _Undecided
    if _contains(left, right):
        return left
    if _contains(right, left):
        return right
    if before is None:
        raise _Undecided
    ours, theirs = (_without(_lines(side), _lines(before)) for side in (left, right))
    more, theirs = _without(ours, theirs), _without(theirs, ours)  # lines on both sides came another way
    if not more and not theirs:
        return min(left, right)  # only the order differs: every pair of these stores must choose the same
    return "\n".join([*_lines(left), *theirs])


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _contains(text: str, part: str) -> bool:
    rest = iter(_lines(text))
    return all(line in rest for line in _lines(part))


def _without(lines: list[str], others: list[str]) -> list[str]:
    """Return *lines* without the lines of *others*, each removed as often as *others* has it."""
    counts, rest = Counter(others), []
    for line in lines:
        if counts[line]:
            counts[line] -= 1
        else:
            rest.append(line)
    return rest


def _added(text: str, before: str) -> list[str]:
    """Return the lines that *text* has in addition to those of *before*, which come in the same order."""
    old = _lines(before)
    added = []
    for line in _lines(text):
        if old and line == old[0]:
            del old[0]
        else:
            added.append(line)
    return added


def _tags(before: frozenset[str], left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    if any(set(tag) & {",", '"'} or tag != tag.strip() for tag in before | left | right):
        # A relational store splits such tags: compare the parts.
        before, left, right = tags.normalized(before), tags.normalized(left), tags.normalized(right)
    kept = (left & right) | (left - before) | (right - before)
    statuses = [_status(side) for side in (left, right)]
    return (kept - STATUS_TAGS) | _further(_status(before), *statuses)


def _status(tagged: frozenset[str]) -> frozenset[str]:
    return tagged & STATUS_TAGS


def _further(before: frozenset[str], left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    """Return the status of the one side that changed it, or of the side that is further along."""
    if left == right or right == before:
        return left
    if left == before:
        return right
    stages = [-1 if (found := tags.stage(status)) is None else found for status in (left, right)]
    if stages[0] == stages[1]:
        raise _Undecided
    return left if stages[0] > stages[1] else right
