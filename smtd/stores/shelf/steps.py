"""Divide the changes of a shelf into steps: the changes of many projects, but of a limited size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import TypeAlias

from smtd.errors import RecordUnusable
from smtd.records.record import Key, encode
from smtd.stores.base import DONE, STALE, Change, Outcome, Result
from smtd.stores.shelf import messages
from smtd.stores.shelf.child_requests import groups

#: The most bytes of pickles and new records of one step; a larger project is a step alone.
BATCH = 16_000_000

#: The writes of one step, by project.
WriteOps: TypeAlias = dict[str, list[messages.WriteOp]]


def of(changes: Iterable[Change], pickles: Mapping[str, bytes]) -> Iterator[WriteOps]:
    """Yield the *changes* in steps, each with all changes of its projects; *pickles* are the current ones."""
    grouped = groupby(sorted(changes, key=attrgetter("key")), lambda change: change.key.project)
    by_project = ((project, [_op(change) for change in group]) for project, group in grouped)
    sized = (
        (project, ops, len(pickles.get(project, b"")) + sum(len(op.record or b"") for op in ops))
        for project, ops in by_project
    )
    return groups(sized, BATCH)


def _op(change: Change) -> messages.WriteOp:
    record = None if change.record is None else encode(change.record)
    return messages.WriteOp(change.key.label, record, change.expect)


def unfit(change: Change) -> Outcome | None:
    """Return the outcome of a *change* that cannot be sent to a process (None: it can)."""
    try:
        if change.record is not None:
            encode(change.record)
    except RecordUnusable as exc:
        return Outcome(Result.REFUSED, str(exc))
    return None


def keys(ops: WriteOps) -> list[Key]:
    """Return the keys of *ops*."""
    return [Key(project, op.label) for project, project_ops in ops.items() for op in project_ops]


def outcome(result: str) -> Outcome:
    """Return the outcome for one of the *results* of messages.Written."""
    if result == "":
        return DONE
    return STALE if result == "stale" else Outcome(Result.REFUSED, result)
