"""How a pair is, in the shape that `smtd-ctl status --json` prints."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["starting", "idle", "scanning", "applying", "paused", "offline", "halted"]


class SideStatus(msgspec.Struct):
    """One side of a pair, and how many records it held when it was last looked at."""

    location: str
    records: int | None = None


class PairStatus(msgspec.Struct):
    """A pair: times are ISO 8601 in UTC; *problem* says what is wrong and what would mend it."""

    pair: str
    state: State
    left: SideStatus
    right: SideStatus
    in_sync: int = 0
    pending: int = 0
    conflicts: int = 0
    held: int = 0
    failed: int = 0
    lag_seconds: float = 0.0
    last_cycle: str | None = None
    next_cycle: str | None = None
    problem: str | None = None
