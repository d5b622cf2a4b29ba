"""What a proof found, in the shape that `smtd-ctl verify --json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from smtd.engine.report import PairReport
from smtd.records.record import Key


class Explained(msgspec.Struct, frozen=True):
    """A record that the stores keep differently, as is known; *reason* says why."""

    project: str
    label: str
    fields: tuple[str, ...]
    reason: str


class Finding(msgspec.Struct, frozen=True):
    """A record that a store does not hold as was agreed, and nothing explains it.

    *side* is where, if only one is to blame; *fields* are those that differ, none if it is missing or
    unreadable. *next* says what to do.
    """

    project: str
    label: str
    side: str | None
    fields: tuple[str, ...]
    what: str
    next: str

    @property
    def key(self) -> Key:
        """The key of the record."""
        return Key(self.project, self.label)


class ProofReport(msgspec.Struct):
    """The result of one proof of one pair: *compared* is the sum of what is equal, explained and found."""

    pair: str
    left: str
    right: str
    deep: bool
    compared: int = 0
    equal: int = 0
    explained: list[Explained] = []
    findings: list[Finding] = []

    @property
    def ok(self) -> bool:
        """Both stores hold what was agreed, or it is known why not."""
        return not self.findings


def listed(report: PairReport | None) -> dict[Key, str]:
    """Return why records are not in sync, as far as the last cycle told."""
    reasons: dict[Key, str] = {}
    for conflict in report.conflicts if report else ():
        reasons[Key(conflict.project, conflict.label)] = "in conflict"
    for held in report.held if report else ():
        reasons[Key(held.project, held.label)] = f"held: {held.reason}"
    for failure in report.failed if report else ():
        reasons[Key(failure.project, failure.label)] = f"failed: {failure.error}"
    return reasons


def as_json(seconds: float, reports: list[ProofReport], errors: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the object that `smtd-ctl verify --json` prints (docs/json.md)."""
    return {
        "ok": all(report.ok for report in reports) and not errors,
        "seconds": round(seconds, 3),
        "pairs": [{"ok": report.ok, **msgspec.to_builtins(report)} for report in reports],
        "errors": errors,
    }
