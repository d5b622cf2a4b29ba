"""A proof of a pair of memory stores, as the daemon would ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smtd.engine import proof
from smtd.engine.findings import ProofReport
from smtd.engine.pair import Policy
from smtd.engine.proof import PairState, ProofSession, Verdict
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
) -> ProofReport:
    """Prove the pair of *world*; others call *before_confirming* between the first look and the second."""

    async def confirm(keys: Sequence[Key]) -> Sequence[Verdict]:
        before_confirming()
        return await proof.classified(look, keys, PairState(listed or {}, moving))

    async with open_journal(world.directory) as journal:
        known = await journal.known(world.left.location, world.right.location)
        assert known is not None, "it was synced"
        look = ProofSession("pair", Both(world.left, world.right), known, Policy(**policy))
        return await proof.run(look, deep=deep, confirm=confirm)


def found(report: ProofReport) -> dict[str, str]:
    """Return what was found, by label."""
    return {each["label"]: each["what"] for each in shapes.proof(report)["findings"]}


def explained(report: ProofReport) -> dict[str, str]:
    """Return what was explained, by label."""
    return {each["label"]: each["reason"] for each in shapes.proof(report)["explained"]}
