"""The status of a pair, in the shape that `smtd status --json` prints."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from smtd.output.shapes import Shape

State: TypeAlias = Literal["starting", "idle", "scanning", "applying", "paused", "offline", "halted"]


class SideStatus(msgspec.Struct):
    """One side of a pair, and how many records it had at the last look (None: there was none)."""

    location: str
    records: int | None = None


class Proven(msgspec.Struct, frozen=True):
    """How many of the agreed records were verified, each at the time *since* or later."""

    records: int = 0
    of: int = 0
    since: str | None = None
    findings: int = 0


class PairStatus(msgspec.Struct):
    """The status of a pair: times are ISO 8601 in UTC; *problem* says what is wrong and how to repair it.

    *pending* of *total* steps of the running cycle are still to be done. For an offline pair, *pending* is
    the number of records that changed on the readable side (None: unknown). *failures* lists some of the
    *failed* records, with the reason, *findings* some of those that a scrub found. *waiting* says for some
    reasons how many records in conflict or held wait for each.
    """

    pair: str
    state: State
    left: SideStatus
    right: SideStatus
    mode: str = "two-way"
    in_sync: int = 0
    pending: int | None = 0
    total: int = 0
    conflicts: int = 0
    held: int = 0
    waiting: list[Shape] = []
    held_by_kind: dict[str, int] = {}
    failed: int = 0
    failures: list[Shape] = []
    lag_seconds: float = 0.0
    last_cycle: str | None = None
    next_cycle: str | None = None
    problem: str | None = None
    proven: Proven = Proven()
    findings: list[Shape] = []
