"""Merge two versions of one record field by field, with their common ancestor.

Annotations merge: tags as a set, the status by life cycle, `reason` and `outcome` by side or by
appendage. Where the data lies may change on one side (`smt migrate`). All else is provenance: what
differs there is a different experiment under one label, and no rule may decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from smtd.records import canonical, tags
from smtd.records.life import is_final
from smtd.records.record import FIELDS, Record
from smtd.records.tags import STATUS_TAGS

ANNOTATIONS = ("reason", "outcome", "tags")
WHEREABOUTS = ("datastore", "input_datastore")
PROVENANCE = tuple(field for field in FIELDS if field not in ANNOTATIONS + WHEREABOUTS)


@dataclass(frozen=True, slots=True)
class Merged:
    """A record that says what both sides said."""

    record: Record


@dataclass(frozen=True, slots=True)
class Conflict:
    """The fields that no rule may decide."""

    fields: tuple[str, ...]


def merge(ancestor: Record | None, left: Record, right: Record) -> Merged | Conflict:
    """Merge *left* and *right*, which both differ from *ancestor* (None: they never agreed)."""
    if ancestor is not None:
        left, right = mended(ancestor, left), mended(ancestor, right)
    base = _same_experiment(ancestor, left, right)
    if base is None:
        return Conflict(tuple(field for field in canonical.differences(left, right) if field in PROVENANCE))
    merged, conflicts = {}, []
    for field in WHEREABOUTS + ANNOTATIONS:
        if canonical.same(left, right, field):
            continue
        try:
            merged[field] = _field(field, ancestor, left, right)
        except _Undecided:
            conflicts.append(field)
    if conflicts:
        return Conflict(tuple(field for field in FIELDS if field in conflicts))
    return Merged(msgspec.structs.replace(base, **merged))


def mended(before: Record, after: Record) -> Record:
    """Return *after* with the data that Sumatra itself took away from it.

    In a relational store, deleting a record takes its outputs away from those that used them
    as input, and saving a record takes equal outputs away from others (docs/formats.md). No
    person can edit the data of a record whose run is over, so what is missing was not meant.
    """
    if not is_final(before) or not is_final(after) or before.timestamp != after.timestamp:
        return after
    taken = {
        field: getattr(before, field)
        for field in ("input_data", "output_data")
        if field not in before.opaque and canonical.lacks(after, before, field)
    }
    return msgspec.structs.replace(after, **taken) if taken else after


class _Undecided(Exception):
    """Both sides changed a field, and differently."""


def _same_experiment(ancestor: Record | None, left: Record, right: Record) -> Record | None:
    """Return the record whose provenance holds for both, or None if they differ.

    Provenance only ever changes while a run goes on: the side that completed it has it all.
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


def _field(field: str, ancestor: Record | None, left: Record, right: Record) -> object:
    if ancestor is not None:
        if canonical.same(ancestor, left, field):
            return getattr(right, field)
        if canonical.same(ancestor, right, field):
            return getattr(left, field)
    if field == "tags":
        return _tags(frozenset() if ancestor is None else ancestor.tags, left.tags, right.tags)
    if field in WHEREABOUTS:
        raise _Undecided
    before = None if ancestor is None else getattr(ancestor, field) or ""
    return _text(before, getattr(left, field) or "", getattr(right, field) or "")


def _text(before: str | None, left: str, right: str) -> str:
    """Merge two texts that Sumatra's `comment` may have appended to."""
    if left.startswith(right):
        return left
    if right.startswith(left):
        return right
    if before is None or not left.startswith(before) or not right.startswith(before):
        raise _Undecided
    appended = right[len(before) :]
    # A first comment starts without the line break that sets apart the later ones.
    return left + (appended if appended.startswith("\n") else "\n" + appended)


def _tags(before: frozenset[str], left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    kept = (left & right) | (left - before) | (right - before)
    statuses = [_status(side) for side in (left, right)]
    return (kept - STATUS_TAGS) | _further(_status(before), *statuses)


def _status(held: frozenset[str]) -> frozenset[str]:
    return held & STATUS_TAGS


def _further(before: frozenset[str], left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    """Return the status of the side that is further along, or that changed it."""
    if left == right or right == before:
        return left
    if left == before:
        return right
    stages = [-1 if (found := tags.stage(held)) is None else found for held in (left, right)]
    if stages[0] == stages[1]:
        raise _Undecided
    return left if stages[0] > stages[1] else right
