"""Decide which changes in the state of a pair to notify a user of. Pure: no I/O, no clock.

These are: records that are newly in conflict, or newly held for a user; a pair that becomes offline or
halted; and a pair that has recovered. Each change makes one notification. A state that is over is forgotten,
so it makes a new notification if it returns. Unfinished runs are held, too, but make no notification, because
no user has to act.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from smtd.engine.report import Conflict, Held, Hold
from smtd.output import shapes
from smtd.text import shown

Trouble: TypeAlias = Literal["offline", "halted"]
Name: TypeAlias = tuple[str, str]

#: The most records that a notification lists, and that its sentence names; the most characters of a name or
#: problem.
MOST, FEW, WIDTH = 100, 3, 300


class Undelivered(Exception):
    """A notification could not be delivered; the text says why, and holds no secret.

    *again*: a retry may succeed, but not before *after* seconds (None: unknown).
    """

    def __init__(self, message: str, *, again: bool = False, after: float | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.after = after


class Delivered(msgspec.Struct, frozen=True):
    """What was delivered about a pair: its trouble, and project and label of its conflicts and holds."""

    trouble: Trouble | None = None
    conflicts: frozenset[Name] = frozenset()
    holds: frozenset[Name] = frozenset()


class Condition(msgspec.Struct, frozen=True):
    """The state of a pair after a cycle; *conflicts* and *holds* are None until a cycle has found them."""

    pair: str
    trouble: Trouble | None = None
    problem: str | None = None
    conflicts: Sequence[Conflict] | None = None
    holds: Sequence[Held] | None = None


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change of state, for a user (*message*, one sentence) and for a program.

    *records* lists at most MOST of the *count* new records. Message, problem and records can be shown on any
    terminal.
    """

    event: Literal["conflict", "hold", "offline", "halted", "recovered"]
    pair: str
    at: str
    message: str
    problem: str | None = None
    count: int = 0
    records: list[dict[str, object]] = []


def next_notice(delivered: Delivered, now: Condition, at: str) -> tuple[Notice | None, Delivered]:
    """Return the next notification, if any, and what has been delivered after it."""
    delivered = _without_the_past(delivered, now)
    if now.trouble is not None and now.trouble != delivered.trouble:
        what = "cannot reach a store" if now.trouble == "offline" else "needs attention"
        return _trouble(now, what, at), msgspec.structs.replace(delivered, trouble=now.trouble)
    if now.trouble is None and delivered.trouble is not None:
        message = f"pair {_shown(now.pair)} has recovered"
        return Notice("recovered", now.pair, at, message), msgspec.structs.replace(delivered, trouble=None)
    if conflicts := [each for each in now.conflicts or () if each.key not in delivered.conflicts]:
        notice = _records("conflict", "in conflict", "conflicts", conflicts, now, at)
        return notice, msgspec.structs.replace(
            delivered, conflicts=delivered.conflicts | {each.key for each in conflicts}
        )
    if holds := [each for each in _waiting(now) or () if each.key not in delivered.holds]:
        notice = _records("hold", "held", "holds", holds, now, at)
        return notice, msgspec.structs.replace(
            delivered, holds=delivered.holds | {each.key for each in holds}
        )
    return None, delivered


def _without_the_past(delivered: Delivered, now: Condition) -> Delivered:
    """Return *delivered* without the conflicts and holds that are over."""
    if now.conflicts is not None:
        delivered = msgspec.structs.replace(
            delivered, conflicts=delivered.conflicts & {each.key for each in now.conflicts}
        )
    if (waiting := _waiting(now)) is not None:
        delivered = msgspec.structs.replace(delivered, holds=delivered.holds & {each.key for each in waiting})
    return delivered


def _waiting(now: Condition) -> list[Held] | None:
    """Return the holds that wait for a user (None: not known)."""
    return None if now.holds is None else [each for each in now.holds if each.kind is not Hold.RUNNING]


def _trouble(now: Condition, what: str, at: str) -> Notice:
    assert now.trouble is not None
    problem = _shown(now.problem or "")
    return Notice(now.trouble, now.pair, at, f"pair {_shown(now.pair)} {what}: {problem}", problem)


def _records(
    event: Literal["conflict", "hold"],
    how: str,
    verb: str,
    fresh: Sequence[Conflict | Held],
    now: Condition,
    at: str,
) -> Notice:
    pair = _shown(now.pair)
    names = [_shown(f"{each.project}/{each.label}") for each in fresh[:FEW]]
    more = f" and {len(fresh) - FEW:,} more" if len(fresh) > FEW else ""
    number = "1 record is" if len(fresh) == 1 else f"{len(fresh):,} records are"
    message = f"pair {pair}: {number} {how} ({', '.join(names)}{more}); see smtd {verb} {pair}"
    return Notice(event, now.pair, at, message, count=len(fresh), records=[*map(_record_shape, fresh[:MOST])])


def _record_shape(each: Conflict | Held) -> dict[str, object]:
    """Return a record and its problem for JSON: without empty fields, and with texts that can be shown."""
    found = shapes.held(each) if isinstance(each, Held) else shapes.conflict(each)
    return {
        key: [*map(_shown, value)] if isinstance(value, list) else _shown(value)
        for key, value in found.items()
        if value is not None
    }


def _shown(text: str) -> str:
    """Return *text* on one line of at most WIDTH characters that can be shown on any terminal."""
    line = shown(text)
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
