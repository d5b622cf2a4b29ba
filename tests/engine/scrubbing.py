"""A scrub of a pair of memory stores, as the daemon runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smtd.engine.pair import Policy
from smtd.engine.scrub import verify
from smtd.engine.scrub.findings import VerifyReport
from smtd.engine.scrub.verify import ScrubSession, Verdict
from smtd.journal.journal import open_journal
from smtd.merge.reasons import Reason
from smtd.merge.sides import Both
from smtd.output import shapes
from smtd.records.record import Key
from tests.engine.world import World


async def prove(
    world: World,
    *,
    deep: bool = True,
    listed: Mapping[Key, Reason] | None = None,
    moving: bool = False,
    before_confirming: Callable[[], Any] = lambda: None,
    **policy: Any,
) -> VerifyReport:
    """Scrub the pair of *world*; *before_confirming* is called between the first look and the second."""

    async def confirm(keys: Sequence[Key]) -> Sequence[Verdict]:
        before_confirming()
        return await verify.classified(look, keys, listed or {}, moving=moving)

    async with open_journal(world.directory) as journal:
        known = await journal.known(world.left.location, world.right.location)
        assert known is not None, "it was synced"
        look = ScrubSession("pair", Both(world.left, world.right), known, Policy(**policy))
        return await verify.run(look, deep=deep, confirm=confirm)


def found(report: VerifyReport) -> dict[str, str]:
    """Return the findings, by label."""
    return {each["label"]: each["what"] for each in shapes.verify_report(report)["findings"]}


def explained(report: VerifyReport) -> dict[str, str]:
    """Return the explained differences, by label."""
    return {each["label"]: each["reason"] for each in shapes.verify_report(report)["explained"]}
