"""Verify that both stores of a pair hold the baselines: read them, compare, and change nothing.

The first comparison takes its time and blocks no cycle. A record that seems to differ in it may only have
been on its way; so it is read again in the pair's turn, while no cycle can run.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import anyio

from smtd.batches import batches
from smtd.engine.costly_reads import trusting_scan
from smtd.engine.pair import Policy
from smtd.engine.report import Progress, no_progress
from smtd.engine.scrub.classify import KeyContents, Rules, classify
from smtd.engine.scrub.findings import Explained, Finding, VerifyReport
from smtd.gather import gather
from smtd.journal.pair import PairJournal
from smtd.merge.reasons import Reason
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import Scan, Store

#: Records read at a time: a few hundredths of a second of work.
BATCH = 50

Baselines: TypeAlias = Mapping[Key, Both[Digest]]
Verdict: TypeAlias = Explained | Finding
#: Compares keys once more while no cycle of the pair runs; see `classified`.
Confirm: TypeAlias = Callable[[Sequence[Key]], Awaitable[Sequence[Verdict]]]


@dataclass(frozen=True, slots=True)
class ScrubSession:
    """The stores of a pair, opened for a scrub only, which trusts nothing that a cycle remembers."""

    name: str
    stores: Both[Store]
    journal: PairJournal
    policy: Policy

    async def baselines(self) -> Baselines:
        """Return the baselines of now."""
        return await self.journal.baselines(self.policy.projects)

    async def scan(self, trusted: Baselines) -> Both[Scan]:
        """Scan both sides; where each read costs a request, only check that the *trusted* records exist."""
        left, right = await gather([partial(self._scan, side, trusted) for side in SIDES])
        return Both(left, right)

    async def _scan(self, side: Side, trusted: Baselines) -> Scan:
        costly = self.stores[side].capabilities.costly_reads
        known = {key: both[side] for key, both in trusted.items()} if costly else {}
        return await trusting_scan(self.stores[side], self.policy.projects, known)

    async def read(self, keys: Collection[Key]) -> Both[dict[Key, Record]]:
        """Read *keys* on both sides at once."""
        left, right = await gather([partial(self.stores[side].read, keys) for side in SIDES])
        return Both(left, right)

    @property
    def is_dear(self) -> bool:
        """Whether reading a record costs a request on one of the sides."""
        return any(self.stores[side].capabilities.costly_reads for side in SIDES)

    def rules(self, listed: Mapping[Key, Reason], moving: bool) -> Rules:
        """Return what explains a difference; see `Rules`."""
        read_only = {side for side in SIDES if self.stores[side].capabilities.read_only}
        mode = self.policy.mode.sparing(read_only) or self.policy.mode
        return Rules(mode, self.policy.propagate_deletes, listed, moving)


async def run(
    session: ScrubSession,
    *,
    deep: bool,
    confirm: Confirm,
    recheck: Collection[Key] = (),
    progress: Progress = no_progress,
) -> VerifyReport:
    """Verify the whole pair; *deep*: by reading every record of both stores, field by field.

    Otherwise it compares the digests of a fresh scan. Where each read costs a request, that scan reads only
    new and *recheck* keys. Nothing is written to a store or to the journal. Raises StoreError if a store
    cannot be read whole.
    """
    progress("proving", 0, 0)
    baselines = await session.baselines()
    scans = await session.scan({key: baselines[key] for key in baselines.keys() - set(recheck)})
    there = [scans[side].digests.keys() | scans[side].unreadable.keys() for side in SIDES]
    keys = sorted(baselines.keys() | there[0] | there[1])
    if deep:
        suspects = await differing(session, keys, progress)
    else:
        now = scans.map(lambda scan: scan.digests)
        broken = scans.left.unreadable.keys() | scans.right.unreadable.keys()
        suspects = [key for key in keys if now.left.get(key) != now.right.get(key) or key in broken]
    report = VerifyReport(
        session.name, session.stores.left.location, session.stores.right.location, deep, compared=len(keys)
    )
    for batch in batches(suspects, BATCH):
        for verdict in await confirm(batch):
            if isinstance(verdict, Finding):
                report.findings.append(verdict)
            else:
                report.explained.append(verdict)
    report.equal = report.compared - len(report.explained) - len(report.findings)
    return report


async def differing(
    session: ScrubSession, keys: Sequence[Key], progress: Progress = no_progress
) -> list[Key]:
    """Read *keys* on both sides, and return those that differ, or that a side lacks.

    After each batch it pauses for as long as the batch took, so that stores and the event loop get half of
    the time.
    """
    found: list[Key] = []
    for number, batch in enumerate(batches(keys, BATCH)):
        progress("proving", number * BATCH, len(keys))
        began = time.monotonic()
        records = await session.read(batch)
        found += [key for key in batch if not _same(records.left.get(key), records.right.get(key))]
        await anyio.sleep(time.monotonic() - began)
    return found


def _same(left: Record | None, right: Record | None) -> bool:
    """Say whether both are equal, field by field; not if both are None, as they may be unreadable."""
    if left is None or right is None:
        return False
    return canonical.identical(left, right) or not canonical.differences(left, right)


async def classified(
    session: ScrubSession, keys: Sequence[Key], listed: Mapping[Key, Reason], *, moving: bool
) -> list[Verdict]:
    """Read *keys* once more, and classify their differences; call it while no cycle runs.

    *listed* and *moving* are what the daemon knows; see `Rules`.
    """
    baselines = await session.baselines()
    records = await session.read(keys)
    broken: Both[Mapping[Key, str]] = Both({}, {})
    if any(key not in records[side] for key in keys for side in SIDES):
        # Reading leaves out what is absent and what is unreadable; a scan tells one from the other.
        trusted = {key: baselines[key] for key in baselines.keys() - set(keys)}
        broken = (await session.scan(trusted)).map(lambda scan: scan.unreadable)
    rules = session.rules(listed, moving)
    verdicts = [classify(key, _sight(key, records, broken), baselines.get(key), rules) for key in keys]
    return [verdict for verdict in verdicts if verdict is not None]


def _sight(key: Key, records: Both[dict[Key, Record]], broken: Both[Mapping[Key, str]]) -> KeyContents:
    return KeyContents(records.map(lambda each: each.get(key)), broken.map(lambda why: why.get(key, "")))
