"""A side to which nobody has written since the last cycle holds what both sides agreed on then.

So a process that has just begun need not look at it. That is known only if the cycle left nothing open: what
is in conflict, held, unreadable, or on one side alone is not agreed.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import msgspec

from smtd.engine.pair import Pair
from smtd.engine.report import PairReport
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import BAD_BYTES
from smtd.stores.base import ResumedStore, Scan, Token

#: No side is known to be untouched.
NEITHER: Both[Scan | None] = Both(None, None)


class End(NamedTuple):
    """How the last cycle left both stores."""

    tokens: Both[Token]
    report: PairReport


async def ended(pair: Pair) -> End | None:
    """Return how the last cycle ended, if it was under the same policy and another has not begun since.

    A report that cannot be read back tells nothing: then both sides are looked at.
    """
    found = await pair.journal.quiet(pair.policy.fingerprint)
    try:
        return None if found is None else End(found[0], msgspec.msgpack.decode(found[1], type=PairReport))
    except BAD_BYTES:
        return None


async def untouched(pair: Pair) -> Both[Scan | None]:
    """Return the scans of the sides that are as the last cycle left them; ask before another one begins."""
    end = await ended(pair)
    if end is None or not end.report.ok:
        return NEITHER
    return Both(*[await _untouched(pair, side, end) for side in SIDES])


async def _untouched(pair: Pair, side: Side, end: End) -> Scan | None:
    store, count = pair.stores[side], end.report.in_sync
    if not store.capabilities.resumes or end.report.side(side).records != count:
        return None
    if not await cast(ResumedStore, store).resume(end.tokens[side]):
        return None
    agreed = await pair.journal.agreed(pair.policy.projects)
    return Scan({key: digests[side] for key, digests in agreed.items()}) if len(agreed) == count else None
