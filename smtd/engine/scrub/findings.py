"""What a scrub found, as data."""

from __future__ import annotations

import msgspec

from smtd.engine.report import OfRecord, PairReport
from smtd.merge.reasons import Code, Reason, because
from smtd.records.record import Key


class Explained(OfRecord, frozen=True):
    """A record that differs between the stores for a known reason; *fields* are those that differ."""

    fields: tuple[str, ...]
    why: Reason


class Finding(OfRecord, frozen=True):
    """A record that a store does not hold as in the baseline, for no known reason.

    *what* names the side if only one is to blame; *fields* are those that differ, none if the record is
    missing or unreadable.
    """

    fields: tuple[str, ...]
    what: Reason


class VerifyReport(msgspec.Struct):
    """The result of one scrub of one pair: *compared* is the sum of equal, explained and found records."""

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
        """Whether both stores hold the baselines, or it is known why not."""
        return not self.findings


def listed(report: PairReport | None) -> dict[Key, Reason]:
    """Return why records are not in sync, according to the *report* of the last cycle."""
    reasons: dict[Key, Reason] = {}
    for conflict in report.conflicts if report else ():
        reasons[conflict.key] = because(Code.IN_CONFLICT)
    for held in report.held if report else ():
        reasons[held.key] = because(Code.HELD, cause=held.why)
    for failed in report.failed if report else ():
        reasons[failed.key] = because(Code.FAILED, cause=failed.why)
    return reasons
