"""Which changes of a pair a person gets a notice of. Pure: no I/O, no clock.

A change of state is: records in conflict, or held for a person, that were not before; a pair that becomes
offline or halted; and one that is well again. Each change makes one notice. A state that is over is
forgotten, so it makes a new notice if it comes back. Runs that are not over are held too, but make no
notice: nobody has to act.
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

#: Records that a notice names, and that its sentence names; characters of a name or a problem in a sentence.
MOST, FEW, WIDTH = 100, 3, 300


class Delivered(msgspec.Struct, frozen=True):
    """What was delivered about a pair: its trouble, and by project and label its conflicts and holds."""

    trouble: Trouble | None = None
    conflicts: frozenset[Name] = frozenset()
    holds: frozenset[Name] = frozenset()


class Condition(msgspec.Struct, frozen=True):
    """How a pair is after a cycle; *conflicts* and *holds* are None while no cycle has found out."""

    pair: str
    trouble: Trouble | None = None
    problem: str | None = None
    conflicts: Sequence[Conflict] | None = None
    holds: Sequence[Held] | None = None


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change of state, for a person (*message*, one sentence) and for a program.

    *records* names at most MOST of the *count* that are new; texts hold what can be shown, and nothing else.
    """

    event: Literal["conflict", "hold", "offline", "halted", "recovered"]
    pair: str
    at: str
    message: str
    problem: str | None = None
    count: int = 0
    records: list[dict[str, object]] = []


def next_notice(told: Delivered, now: Condition, at: str) -> tuple[Notice | None, Delivered]:
    """Return the next notification, if any, and what has been delivered after it."""
    told = _without_the_past(told, now)
    if now.trouble is not None and now.trouble != told.trouble:
        what = "cannot reach a store" if now.trouble == "offline" else "needs attention"
        return _trouble(now, what, at), msgspec.structs.replace(told, trouble=now.trouble)
    if now.trouble is None and told.trouble is not None:
        message = f"pair {_shown(now.pair)} has recovered"
        return Notice("recovered", now.pair, at, message), msgspec.structs.replace(told, trouble=None)
    if conflicts := [each for each in now.conflicts or () if _name(each) not in told.conflicts]:
        notice = _records("conflict", "in conflict", "conflicts", conflicts, now, at)
        return notice, msgspec.structs.replace(told, conflicts=told.conflicts | set(map(_name, conflicts)))
    if holds := [each for each in _waiting(now) or () if _name(each) not in told.holds]:
        notice = _records("hold", "held", "holds", holds, now, at)
        return notice, msgspec.structs.replace(told, holds=told.holds | set(map(_name, holds)))
    return None, told


def _without_the_past(told: Delivered, now: Condition) -> Delivered:
    """Forget the conflicts and the holds that are over."""
    if now.conflicts is not None:
        told = msgspec.structs.replace(told, conflicts=told.conflicts & set(map(_name, now.conflicts)))
    if (waiting := _waiting(now)) is not None:
        told = msgspec.structs.replace(told, holds=told.holds & set(map(_name, waiting)))
    return told


def _waiting(now: Condition) -> list[Held] | None:
    """Return the holds that wait for a person."""
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
    message = f"pair {pair}: {number} {how} ({', '.join(names)}{more}); see smtd-ctl {verb} {pair}"
    return Notice(event, now.pair, at, message, count=len(fresh), records=[*map(_told, fresh[:MOST])])


def _told(each: Conflict | Held) -> dict[str, object]:
    """Return a record and its problem, without what JSON cannot express."""
    found = shapes.held(each) if isinstance(each, Held) else shapes.conflict(each)
    return {
        key: [*map(_shown, value)] if isinstance(value, list) else _shown(value)
        for key, value in found.items()
        if value is not None
    }


def _name(each: Conflict | Held) -> Name:
    return each.project, each.label


def _shown(text: str) -> str:
    """Return *text* on one line, as it can be shown anywhere, and not too long."""
    line = shown(text)
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
