"""What a cycle did and what it left, in the shape that `--json` prints."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from smtd.merge.sides import Both, Side
from smtd.records.record import Key
from smtd.text import encodable


class Conflict(msgspec.Struct, frozen=True):
    """Both sides changed a record, and no rule may decide."""

    project: str
    label: str
    fields: tuple[str, ...]


class Held(msgspec.Struct, frozen=True):
    """An action not taken yet; *next* says what would release it.

    *kind*: "running", "deletion", "undone", "decided", "lost write" or "lost data".
    """

    project: str
    label: str
    reason: str
    next: str
    until: str | None = None
    kind: str = ""


class Failure(msgspec.Struct, frozen=True):
    """A record that could not be read or written on one side."""

    project: str
    label: str
    side: str
    error: str


def failure(key: Key, side: str, error: str) -> Failure:
    """Return the failure of *key* in a form that the journal and JSON can hold, whatever a store said."""
    return Failure(encodable(key.project), encodable(key.label), side, encodable(error))


class PlannedAction(msgspec.Struct, frozen=True):
    """One action of a plan: *action* is create, update, delete, merge or split; *side* is where."""

    action: str
    project: str
    label: str
    side: str
    reason: str


class SideReport(msgspec.Struct):
    """What was written to one side; *read_only* says why nothing can be, if so.

    *records* is how many it held when it was looked at, before that.
    """

    location: str
    created: int = 0
    updated: int = 0
    deleted: int = 0
    read_only: str = ""
    records: int = 0

    @property
    def grown(self) -> int:
        """By how many records it grew."""
        return self.created - self.deleted

    @property
    def written(self) -> int:
        """How many records were written or deleted."""
        return self.created + self.updated + self.deleted


class PairReport(msgspec.Struct):
    """The result of one cycle of one pair, or the plan of one that was not run.

    *again* is when the next cycle has something to do though nobody changed anything, in seconds since
    1970: a run counts as killed then, or what was refused is offered again. *adopted* are the sides
    whose store is another one than before, so that the pair was adopted anew. *plan* is the identity of a
    plan that was not run, and *actions* what it would write.
    """

    pair: str
    left: SideReport
    right: SideReport
    projects: list[str] = []
    in_sync: int = 0
    conflicts: list[Conflict] = []
    held: list[Held] = []
    failed: list[Failure] = []
    again: float | None = None
    adopted: list[str] = []
    plan: str = ""
    actions: list[PlannedAction] = []

    @property
    def moved(self) -> bool:
        """Something was written to a store."""
        return bool(self.left.written + self.right.written)

    @property
    def ok(self) -> bool:
        """Nothing is left for a person or for a later cycle."""
        return not (self.conflicts or self.held or self.failed)

    def side(self, side: Side) -> SideReport:
        """Return the part of one side."""
        return self.left if side is Side.LEFT else self.right

    @property
    def swapped(self) -> PairReport:
        """The same report, with the sides named the other way round."""
        failed = [
            msgspec.structs.replace(each, side=Side(each.side).other.value, error=swapped(each.error))
            for each in self.failed
        ]
        held = [
            msgspec.structs.replace(each, reason=swapped(each.reason), next=swapped(each.next))
            for each in self.held
        ]
        actions = [
            msgspec.structs.replace(each, side=_other(each.side), reason=swapped(each.reason))
            for each in self.actions
        ]
        return msgspec.structs.replace(
            self,
            left=self.right,
            right=self.left,
            failed=failed,
            held=held,
            actions=actions,
            adopted=list(map(_other, self.adopted)),
        )


def swapped(text: str) -> str:
    """Return a sentence of ours with the sides named the other way round."""
    return re.sub(r"(?<=\bthe )(left|right)\b", lambda found: _other(found[1]), text)


def turned(found: Any) -> Any:
    """Return what JSON can say of a pair with the sides named the other way round."""
    if isinstance(found, dict):
        return {_other(name): _turned_value(name, value) for name, value in found.items()}
    return [turned(each) for each in found] if isinstance(found, list) else found


def _turned_value(name: str, value: Any) -> Any:
    if name == "side":
        return _other(value)
    if name == "fields" and isinstance(value, dict):
        # Of a record: what is in them is nobody's side.
        return {field: {_other(side): one for side, one in values.items()} for field, values in value.items()}
    return swapped(value) if name in ("reason", "next", "rule", "error") else turned(value)


def _other(word: str) -> str:
    return Side(word).other.value if word in ("left", "right") else word


def blank(name: str, locations: Both[str]) -> PairReport:
    """Return the report of a cycle that has not done anything yet."""
    return PairReport(name, SideReport(locations.left), SideReport(locations.right))


def as_json(seconds: float, pairs: list[PairReport]) -> dict[str, Any]:
    """Return the object that `smtd sync --json` prints (docs/json.md)."""
    return {
        "ok": all(report.ok for report in pairs),
        "seconds": round(seconds, 3),
        "pairs": [_pair_json(report) for report in pairs],
    }


def _pair_json(report: PairReport) -> dict[str, Any]:
    named: dict[str, Any] = msgspec.to_builtins(report)
    order = ["projects", "in_sync", "left", "right", "conflicts", "held", "failed"]
    order += ["plan", "actions"] if report.plan else []
    return {"pair": report.pair, "ok": report.ok} | {name: named[name] for name in order}
