"""A side to which nobody has written since the last cycle holds what both sides agreed on then.

So a process that has just begun need not look at it. That is known only if the cycle left nothing open: what
is in conflict, held, unreadable, or on one side alone is not agreed.
"""

from __future__ import annotations

from typing import cast

import msgspec

from smtd.engine.pair import Pair
from smtd.engine.report import PairReport
from smtd.merge.sides import SIDES, Both, Side
from smtd.stores.base import ResumedStore, Scan, Token

#: No side is known to rest.
NEITHER: Both[Scan | None] = Both(None, None)


async def resting(pair: Pair) -> Both[Scan | None]:
    """Return the scans of the sides that are as the last cycle left them; ask before another one begins."""
    found = await pair.journal.quiet(pair.policy.fingerprint)
    if found is None:
        return NEITHER
    tokens, data = found
    report = msgspec.msgpack.decode(data, type=PairReport)
    if not report.ok:
        return NEITHER
    return Both(*[await _resting(pair, side, tokens[side], report) for side in SIDES])


async def _resting(pair: Pair, side: Side, token: Token, report: PairReport) -> Scan | None:
    store = pair.stores[side]
    if not store.capabilities.resumes or report.side(side).records != report.in_sync:
        return None
    if not await cast(ResumedStore, store).resume(token):
        return None
    agreed = await pair.journal.agreed(pair.policy.projects)
    if len(agreed) != report.in_sync:
        return None
    return Scan({key: digests[side] for key, digests in agreed.items()})
