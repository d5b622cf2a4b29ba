"""How a pair is, in the shape that `smtd-ctl status --json` prints."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from smtd.output.shapes import Shape

State: TypeAlias = Literal["starting", "idle", "scanning", "applying", "paused", "offline", "halted"]


class SideStatus(msgspec.Struct):
    """One side of a pair, and how many records it held when it was last looked at."""

    location: str
    records: int | None = None


class Proven(msgspec.Struct, frozen=True):
    """How many of the records that are agreed on were verified, each *since* then or later."""

    records: int = 0
    of: int = 0
    since: str | None = None
    findings: int = 0


class PairStatus(msgspec.Struct):
    """A pair: times are ISO 8601 in UTC; *problem* says what is wrong and what would mend it.

    *pending* of *total* steps of the cycle that is running are still to be done; of a pair that is offline,
    *pending* is the number of records that changed on the side that can be read (None: unknown). *failures*
    names some of the *failed* records, with the reason, *findings* some of those that a scrub found.
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
    failed: int = 0
    failures: list[Shape] = []
    lag_seconds: float = 0.0
    last_cycle: str | None = None
    next_cycle: str | None = None
    problem: str | None = None
    proven: Proven = Proven()
    findings: list[Shape] = []
