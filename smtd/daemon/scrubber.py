"""Verifies one pair: a slice at a time in the background, and the whole pair on request.

The worker syncs changes; the scrubber checks that the records of the baselines are still there. It opens its
own stores each time, and reads them beside the worker. Records that seem to differ it reads again in a job of
the worker, while no cycle runs. It writes to no store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from functools import partial
from typing import NamedTuple

import anyio

from smtd import pairing
from smtd.batches import batches
from smtd.daemon.events import Events
from smtd.daemon.jobs import Exclusive, Inbox, Sync, SyncOptions, Verification, caught
from smtd.daemon.status import Proven
from smtd.daemon.worker import Worker
from smtd.engine.pair import Policy
from smtd.engine.scrub import slices, verify
from smtd.engine.scrub.findings import Finding, VerifyReport, listed
from smtd.engine.scrub.verify import ScrubSession, Verdict
from smtd.errors import SmtdError, StoreUnreachable
from smtd.journal.journal import Journal
from smtd.journal.pair import PairJournal
from smtd.journal.scrub_log import ScrubProgress
from smtd.merge.fields import PROVENANCE
from smtd.merge.sides import Both
from smtd.output import shapes
from smtd.records.record import Key
from smtd.stores.location import Location

log = logging.getLogger("smtd")

#: How often a scrub is repeated because programs change the stores; then it leaves changes to the next cycle.
TRIES = 3
#: Seconds until a failed scrub is retried.
PAUSE = 300.0
#: After a slice, the scrubber pauses for this many times as long as it took: a twentieth of a core at most.
REST = 20.0
#: Seconds to wait after a cycle: other cycles that are due go first, and one slice follows many of them.
CALM = 1.0
#: Findings that are read again after a cycle.
MOST_AGAIN = 100
#: Findings that are logged one by one, if there are many at once.
MOST_REPORTED = 20


class _Place(NamedTuple):
    """Where the stores of the pair are, how it is synced, and what the journal has of these two stores."""

    locations: Both[Location]
    policy: Policy
    journal: PairJournal


class Scrubber:
    """Verifies the pair of *worker* while `run` runs; pairs take turns through *one_at_a_time*."""

    def __init__(self, worker: Worker, journal: Journal, events: Events, one_at_a_time: anyio.Lock) -> None:
        self.worker = worker
        #: How many records the requested scrub has compared, of how many.
        self._done, self._total = 0, 0
        self._journal = journal
        self._events = events
        self._one_at_a_time = one_at_a_time
        self._asked = anyio.Event()
        self._inbox = Inbox[Verification](lambda: self._asked.set(), "verification")
        self._round: ScrubProgress | None = None
        self._findings: dict[Key, Finding | None] = {}  # None: found before the start, to be read again

    def submit_nowait(self, job: Verification) -> None:
        """Verify the whole pair, also while it is paused; if the scrubber stops, *job* gets an error."""
        self._inbox.put(job)

    def progress(self, job: Verification) -> shapes.Shape:
        """Return the progress of *job*, with the keys of a pair's status."""
        return {
            "pair": self.worker.name,
            "state": "done" if job.done.is_set() else "proving",
            "pending": self._total - self._done,
            "total": self._total,
        }

    async def run(self) -> None:
        """Verify the pair until cancelled."""
        try:
            while True:
                cycled, self._asked = self.worker.cycle_done, anyio.Event()
                while (job := self._inbox.take()) is not None:
                    self._inbox.finish(await self._answer(job))
                wait = await self._in_background()
                with anyio.move_on_after(wait):
                    await _any(cycled, self._asked)
                    with anyio.move_on_after(CALM):
                        await self._asked.wait()
        finally:
            self._inbox.close()

    async def _answer(self, job: Verification) -> VerifyReport | SmtdError:
        """Return the outcome of *job*; stop if its client leaves."""
        with job.scope:
            return await caught(self.worker.name, partial(self._whole, deep=job.deep))
        return StoreUnreachable("the client that asked for this scrub has left")

    async def _whole(self, *, deep: bool) -> VerifyReport:
        """Verify the whole pair, and record the result."""
        began = time.time()
        place = await self._place()
        now, found = await self._recall(place)
        async with self._scrubbing(place) as session:
            report = await verify.run(
                session,
                deep=deep,
                confirm=partial(self._confirm, session),
                recheck=found.keys(),
                progress=self._progressed,
            )
            if deep or not session.is_dear:
                now = ScrubProgress(began, before=began)
            await self._note(place, now, {finding.key: finding for finding in report.findings})
        return report

    async def _in_background(self) -> float:
        """Verify what is due, and read the findings again; return the seconds until more is due."""
        if self.worker.status.state != "idle":
            return float("inf")  # this state ends with a good cycle, which wakes `run`
        try:
            async with self._one_at_a_time:
                began = time.monotonic()
                due = await self._slice()
                return max(due - time.time(), REST * (time.monotonic() - began))
        except SmtdError as exc:
            log.debug("pair %s cannot be verified now: %s", self.worker.name, exc)
        except Exception:
            log.exception("pair %s: a bug in smtd", self.worker.name)
        return PAUSE

    async def _slice(self) -> float:
        """Verify the next records if they are due; return when more are due, in seconds since 1970."""
        place, within = await self._place(), self.worker.settings.prove_within
        now, found = await self._recall(place)
        keys = list(found)[:MOST_AGAIN]
        total = await place.journal.baseline_count(place.policy.projects)
        if slices.next_slice(now, total, within) <= time.time():
            size = slices.slice_size(total)
            following = await place.journal.scrub_log.following(now.after, size, place.policy.projects)
            now = slices.advanced(now, following, size, time.time())
            keys += [key for key in following if key not in found]
        if keys:
            async with self._scrubbing(place) as session:
                left = {key: finding for key, finding in found.items() if key not in keys}
                await self._note(place, now, left | await self._found_in(session, keys))
        else:
            await self._note(place, now, found)
        return slices.next_slice(now, total, within)

    async def _found_in(self, session: ScrubSession, keys: Sequence[Key]) -> dict[Key, Finding]:
        """Verify *keys*; first let a cycle read those whose difference a user can have made."""
        suspects = await verify.differing(session, keys)
        found = await self._judged(session, suspects)
        handed = [
            key
            for key, finding in found.items()
            if key not in self._findings and not set(finding.fields) & set(PROVENANCE)
        ]
        if handed and not self.worker.paused:
            await self._cycle(handed)
            found = {key: one for key, one in found.items() if key not in handed}
            found |= await self._judged(session, handed)
        return found

    async def _judged(self, session: ScrubSession, keys: Sequence[Key]) -> dict[Key, Finding]:
        """Return the findings among *keys*, judged while no cycle runs."""
        found: dict[Key, Finding] = {}
        for batch in batches(keys, verify.BATCH):
            verdicts = await self._confirm(session, batch)
            found |= {verdict.key: verdict for verdict in verdicts if isinstance(verdict, Finding)}
        return found

    async def _confirm(self, session: ScrubSession, keys: Sequence[Key]) -> Sequence[Verdict]:
        """Judge *keys* while no cycle runs; if a program changed a store, let a cycle sync that first."""
        worker, carried, tries = self.worker, True, TRIES

        async def judge() -> Sequence[Verdict] | None:
            # A failed cycle does not sync a difference, which must then be reported.
            moving = carried and not worker.paused and not await worker.session.is_unchanged()
            return (
                None
                if moving and tries > 1
                else await verify.classified(session, keys, listed(worker.report), moving=moving)
            )

        while (verdicts := await worker.submit(Exclusive(judge))) is None:
            carried, tries = await self._cycle(), tries - 1
        return verdicts

    async def _cycle(self, recheck: Sequence[Key] = ()) -> bool:
        """Run a cycle, and say whether it succeeded."""
        try:
            await self.worker.submit(Sync(SyncOptions(force_retry=False, recheck=frozenset(recheck))))
        except SmtdError:
            return False
        return True

    async def _place(self) -> _Place:
        """Return where the stores are now. Raises UsageError if the two were never synced."""
        locations, settings = await self.worker.session.locate(), self.worker.settings
        known = await pairing.known(self._journal, settings.name, locations)
        return _Place(locations, settings.scoped(locations), known)

    @asynccontextmanager
    async def _scrubbing(self, place: _Place) -> AsyncIterator[ScrubSession]:
        name = self.worker.name
        async with pairing.scrubbing(self._journal, name, place.locations, place.policy) as session:
            yield session

    async def _recall(self, place: _Place) -> tuple[ScrubProgress, Mapping[Key, Finding | None]]:
        """Return the progress and the findings of the scrub, the first time from the journal."""
        if self._round is None:
            self._findings = dict.fromkeys(await place.journal.scrub_log.found())
            if (known := await place.journal.scrub_log.round()) is None:
                known = ScrubProgress(time.time())
                await place.journal.scrub_log.note(known, ())
            self._round = known
        return self._round, self._findings

    async def _note(self, place: _Place, now: ScrubProgress, found: Mapping[Key, Finding | None]) -> None:
        """Store the progress *now* and the findings *found*, and report new findings."""
        if (now, found) != (self._round, self._findings):
            await place.journal.scrub_log.note(now, found.keys())
        new = [finding for key, finding in sorted(found.items()) if finding and key not in self._findings]
        for finding in new[:MOST_REPORTED]:
            self._report(finding)
        if len(new) > MOST_REPORTED:
            log.warning("pair %s: and %d more", self.worker.name, len(new) - MOST_REPORTED)
        self._round, self._findings = now, dict(found)
        self._show(now, await place.journal.baseline_count(place.policy.projects))

    def _report(self, finding: Finding) -> None:
        name = self.worker.name
        facts = shapes.finding(finding, name)
        log.warning("pair %s: %s/%s: %s", name, finding.project, finding.label, facts["what"])
        self._events.add("finding", pair=name, problem=facts.pop("what"), **facts)

    def _show(self, now: ScrubProgress, total: int) -> None:
        """Show the progress of the scrub of *total* records in the status."""
        whole = now.before is not None
        since = now.before if whole else now.began if now.counted else None
        self.worker.proven(
            Proven(
                total if whole else min(now.counted, total),
                total,
                None if since is None else _iso(since),
                len(self._findings),
            ),
            [finding for finding in self._findings.values() if finding is not None],
        )

    def _progressed(self, phase: str, done: int, total: int) -> None:
        self._done, self._total = done, total


async def _any(*events: anyio.Event) -> None:
    """Wait for the first of *events*."""
    async with anyio.create_task_group() as group:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        for event in events:
            group.start_soon(wait, event)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")
