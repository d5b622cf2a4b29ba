"""Which server a pair waits for, in English. No slow imports: `smtd-ctl` must start quickly."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from smtd.output.counts import duration


def waited_for(pair: Mapping[str, Any]) -> str:
    """Return which server has not answered the pair with this status yet, and for how long (empty: none)."""
    if not (asked := pair.get("unanswered")):
        return ""
    waits = (datetime.now(timezone.utc) - datetime.fromisoformat(asked["since"])).total_seconds()
    return f"waiting for {pair[asked['side']]['location']} to answer, for {duration(waits)}"
