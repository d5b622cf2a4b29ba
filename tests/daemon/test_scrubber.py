"""One pair with its worker and its scrubber, without a process."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from anyio import to_thread

from smtd import pairing
from smtd.daemon import jobs, scrubber
from smtd.daemon.events import Events
from smtd.daemon.jobs import Exclusive, Preview, Sync, SyncOptions, Verification
from smtd.daemon.pair_verbs import verified
from smtd.daemon.scrubber import TRIES, Scrubber
from smtd.daemon.store_session import StoreSession
from smtd.daemon.worker import Worker
from smtd.engine.report import PairReport
from smtd.engine.scrub import slices, verify
from smtd.engine.scrub.findings import VerifyReport
from smtd.engine.scrub.verify import ScrubSession
from smtd.errors import StoreRefused, StoreUnreachable, UsageError
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.output import shapes
from smtd.output.english import sentence
from smtd.records import canonical
from smtd.records.record import Key
from smtd.stores.base import Change
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.watch import Watch
from tests.build import PROJECT, full
from tests.daemon.working import SETTINGS, two_files

LABELS = ["one", "three", "two"]


def whats(report: VerifyReport) -> list[str]:
    """Return the findings as a user reads them."""
    return [shapes.finding(each, report.pair)["what"] for each in report.findings]


class Kept:
    """A pair of two SQLite files with a worker and a scrubber; no watch notices changes of the files."""

    def __init__(self, locations: Both[Location], worker: Worker, scrubber: Scrubber, events: Events) -> None:
        self.locations = locations
        self.worker = worker
        self.scrubber = scrubber
        self._events = events

    async def sync(self) -> PairReport:
        """Run a cycle, as for a user."""
        return await self.worker.submit(Sync())

    async def verify(self, *, deep: bool = True) -> VerifyReport:
        """Verify the pair, as for a user."""
        job = Verification(deep)
        self.scrubber.submit_nowait(job)
        return await job.wait()

    def tamper(self, label: str = "one", **values: str) -> None:
        """Change a row of the right file without a trace."""
        with closing(sqlite3.connect(self.locations.right.path, isolation_level=None, timeout=30)) as db:
            for column, value in values.items():
                db.execute(f"UPDATE django_store_record SET {column} = ? WHERE label = ?", (value, label))

    def on_the_left(self, column: str) -> str:
        """Return the outcome of the record "one" in the left file."""
        with closing(sqlite3.connect(self.locations.left.path, isolation_level=None, timeout=30)) as db:
            query = f"SELECT {column} FROM django_store_record WHERE label = 'one'"
            return str(db.execute(query).fetchone()[0])

    async def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name so far."""
        return [one async for one in self._events.since(0, follow=False) if one["event"] == name]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until *is_so* returns true, calling it after each turn of the event loop."""
        with anyio.fail_after(20):
            while not is_so():  # noqa: ASYNC110 - nothing wakes a task for it
                await anyio.sleep(0.005)


@pytest.fixture
async def locations(tmp_path: Path) -> Both[Location]:
    """A file with three records, and one that does not exist yet."""
    return await two_files(tmp_path, *LABELS)


@asynccontextmanager
async def kept(locations: Both[Location], state: Path, within: float = 0.0) -> AsyncIterator[Kept]:
    """Keep the pair of *locations* in sync, as a new process would."""
    async with open_journal(state) as journal, anyio.create_task_group() as group:
        events = Events(journal.events)
        worker = Worker(replace(SETTINGS, prove_within=within), lambda: locations, journal, Watch(), events)
        made = Kept(locations, worker, Scrubber(worker, journal, events, anyio.Lock()), events)
        group.start_soon(worker.run)
        assert (await made.sync()).in_sync == 3
        group.start_soon(made.scrubber.run)
        yield made
        group.cancel_scope.cancel()


@pytest.fixture
async def pair(locations: Both[Location], tmp_path: Path) -> AsyncIterator[Kept]:
    """A pair in sync without background scrubs."""
    async with kept(locations, tmp_path / "state") as made:
        yield made


async def test_status_shows_findings_and_how_much_is_verified(pair: Kept) -> None:
    """A whole scrub counts for all records, from its beginning; findings disappear when they are over."""
    pair.worker.pause()
    pair.tamper(version="tampered")
    before = datetime.now(timezone.utc).replace(microsecond=0)

    await pair.verify()
    found = msgspec.to_builtins(pair.worker.status)
    pair.worker.resume()
    await pair.until(lambda: not pair.worker.status.proven.findings)

    assert datetime.fromisoformat(found["proven"].pop("since")) >= before
    assert found["proven"] == {"records": 3, "of": 3, "findings": 1}
    assert [(one["label"], one["side"]) for one in found["findings"]] == [("one", "right")]
    assert pair.worker.status.findings == []


async def test_unseen_edit_is_synced_before_it_can_be_a_finding(pair: Kept) -> None:
    """A running pair syncs what users do; a scrub that is quicker waits for that."""
    pair.tamper(outcome="as expected")

    report = await pair.verify()

    assert (report.equal, report.findings, report.explained) == (3, [], [])
    assert pair.worker.report is not None
    assert pair.worker.report.left.updated == 1


async def test_record_that_keeps_changing_is_no_finding(pair: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program edits it again after each cycle; the scrub cannot say that it is wrong."""
    sync, edits = pairing.sync, iter(range(1000))

    async def restless(*args: Any, **options: Any) -> Any:
        report = await sync(*args, **options)
        edit = f"edit {next(edits)}"
        await to_thread.run_sync(lambda: pair.tamper(outcome=edit))
        return report

    monkeypatch.setattr(pairing, "sync", restless)
    pair.tamper(outcome="an edit")

    report = await pair.verify()

    assert report.ok
    assert [sentence(each.why) for each in report.explained] == [
        "it is being changed; the next cycle will handle it"
    ]
    assert next(edits) == TRIES - 1


async def test_difference_that_no_cycle_can_sync_is_found(
    pair: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If every cycle fails, the wait for one explains nothing."""

    async def failing(*_args: Any, **_options: Any) -> Any:
        raise StoreRefused("no cycle today")

    monkeypatch.setattr(pairing, "sync", failing)
    pair.tamper(outcome="an edit")

    assert [finding.fields for finding in (await pair.verify()).findings] == [("outcome",)]


@pytest.mark.slow
async def test_background_scrub_continues_after_a_restart(
    locations: Both[Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record is verified once a round, in order, by whichever process."""
    monkeypatch.setattr(slices, "SMALLEST", 1)
    proven: list[Key] = []
    differing = verify.differing

    async def watched(look: ScrubSession, keys: Sequence[Key]) -> list[Key]:
        proven.extend(keys)
        return await differing(look, keys)

    monkeypatch.setattr(verify, "differing", watched)
    async with kept(locations, tmp_path, within=0.6) as first:
        await first.until(lambda: first.worker.status.proven.records == 1)
    async with kept(locations, tmp_path, within=1e6) as idle:
        await idle.until(lambda: idle.worker.status.proven.of == 3)
        remembered = idle.worker.status.proven
    async with kept(locations, tmp_path, within=0.6) as last:
        await last.until(lambda: last.worker.status.proven.records == 3)
        await last.until(lambda: len(proven) > 4)

    assert remembered.records == 1
    assert [each.label for each in proven[:4]] == ["one", "three", "two", "one"]


@pytest.fixture
async def blind(
    locations: Both[Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Kept]:
    """A pair whose stores, like a server, never report changes; scrubbed all the time."""

    async def is_unchanged(_session: StoreSession) -> bool:
        return True

    monkeypatch.setattr(StoreSession, "is_unchanged", is_unchanged)
    async with kept(locations, tmp_path / "state", within=0.2) as made:
        yield made


async def test_background_scrub_reports_changed_provenance(blind: Kept) -> None:
    """Users do not edit it.

    It is reported once, and synced only when a user asks; then the finding is gone.
    """
    blind.tamper(version="tampered")

    await blind.until(lambda: blind.worker.status.proven.findings == 1)
    left_alone = blind.on_the_left("version")
    await blind.sync()
    await blind.until(lambda: blind.worker.status.proven.findings == 0)

    assert left_alone == full().version
    assert blind.on_the_left("version") == "tampered"
    (event,) = await blind.events("finding")
    assert (event["label"], event["fields"], event["side"]) == ("one", ["version"], "right")


async def test_background_scrub_hands_ordinary_changes_to_a_cycle(blind: Kept) -> None:
    """An unseen edit or deletion of a user is for a cycle, and no alarm."""
    blind.tamper(outcome="as expected")
    async with open_store(blind.locations.right) as store:
        await store.write([Change(Key(PROJECT, "two"), None, canonical.digest(full("two")))])

    def carried() -> bool:
        return blind.on_the_left("outcome") == "as expected" and blind.worker.status.left.records == 2

    await blind.until(carried)

    assert blind.on_the_left("outcome") == "as expected"
    assert await blind.events("finding") == []


async def test_paused_pair_is_not_scrubbed_in_the_background(blind: Kept) -> None:
    """Edits pile up there, as the user wants."""
    blind.worker.pause()
    await blind.until(lambda: blind.worker.status.state == "paused")
    blind.tamper(outcome="as expected", version="tampered")

    assert await blind.scrubber._in_background() == float("inf")
    assert await blind.events("finding") == []


async def test_client_that_leaves_ends_its_verification(pair: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next client is answered."""
    run, begun = verify.run, anyio.Event()

    async def endless(*args: Any, **options: Any) -> Any:
        if not begun.is_set():
            begun.set()
            await anyio.sleep_forever()
        return await run(*args, **options)

    monkeypatch.setattr(verify, "run", endless)
    monkeypatch.setattr(jobs, "PROGRESS", 0.001)
    answers = verified([pair.scrubber], deep=True, progress=True)
    assert "progress" in await anext(answers)
    await begun.wait()

    await answers.aclose()
    with anyio.fail_after(10):
        assert (await pair.verify()).ok


async def test_no_cycle_runs_while_a_scrub_confirms_a_difference(
    pair: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the records are not in transit."""
    sync, begun = pairing.sync, anyio.Event()

    async def watched(*args: Any, **options: Any) -> Any:
        begun.set()
        return await sync(*args, **options)

    async def reading() -> bool:
        pair.worker.submit_nowait(job)
        await anyio.wait_all_tasks_blocked()
        return begun.is_set()

    monkeypatch.setattr(pairing, "sync", watched)
    job = Sync()
    begun_meanwhile = await pair.worker.submit(Exclusive(reading))
    await job.wait()

    assert (begun_meanwhile, begun.is_set()) == (False, True)


async def test_only_a_requested_cycle_reads_findings_again(
    pair: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finding on a server is not synced before a user asks."""
    doubted = []

    def watched(work: Any) -> Any:
        async def watch(*args: Any, **options: Any) -> Any:
            doubted.append(set(options["recheck"]))
            return await work(*args, **options)

        return watch

    for name in ("sync", "preview"):
        monkeypatch.setattr(pairing, name, watched(getattr(pairing, name)))
    monkeypatch.setattr(pair.worker, "proven", lambda *_: None)
    pair.worker.suspects = [Key(PROJECT, "one")]
    own = SyncOptions(force_retry=False, recheck=frozenset({Key(PROJECT, "two")}))
    await pair.worker.submit(Sync(own))
    await pair.worker.submit(Preview())
    await pair.sync()

    assert doubted == [{Key(PROJECT, "two")}, {Key(PROJECT, "one")}, {Key(PROJECT, "one")}]


async def test_waiting_client_gets_an_error_when_the_pair_stops(
    locations: Both[Location], tmp_path: Path
) -> None:
    """No request is left without an answer."""
    asked = Verification()
    async with kept(locations, tmp_path) as made:
        made.scrubber.submit_nowait(asked)

    assert isinstance(asked.outcome, StoreUnreachable)
    assert "the pair was stopped before its verification ended; run the command again" in str(asked.outcome)


async def test_pair_that_was_never_synced_cannot_be_verified(
    locations: Both[Location], tmp_path: Path
) -> None:
    """There are no baselines to compare with."""
    async with open_journal(tmp_path) as journal:
        with pytest.raises(UsageError, match="has not been synced yet"):
            await pairing.known(journal, "pair", locations)


async def test_pair_with_exchanged_sides_is_verified(locations: Both[Location], tmp_path: Path) -> None:
    """The sides have their current names."""
    async with kept(locations, tmp_path):
        pass
    async with kept(locations.swapped, tmp_path) as swapped:
        swapped.worker.pause()
        swapped.tamper(version="tampered")

        report = await swapped.verify()

    assert whats(report) == ["the right store differs from the last sync in version"]


async def test_only_some_of_many_findings_are_logged(
    pair: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is wrong as a whole floods neither the events nor the log; the report has all."""
    monkeypatch.setattr(scrubber, "MOST_REPORTED", 1)
    pair.worker.pause()
    for label in LABELS:
        pair.tamper(label, version="tampered")

    report = await pair.verify()

    assert len(report.findings) == 3
    assert len(await pair.events("finding")) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "pair pair: MyProject/one: the right store differs from the last sync in version",
        "pair pair: and 2 more",
    ]


async def test_bug_in_a_scrub_is_reported_to_its_client(pair: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next client is answered as usual."""

    async def broken(*_args: Any, **_options: Any) -> Any:
        raise ZeroDivisionError

    job = Verification()
    with monkeypatch.context() as patch:
        patch.setattr(verify, "run", broken)
        pair.scrubber.submit_nowait(job)
        await job.done.wait()

    assert "a bug in smtd (ZeroDivisionError); see its log" in str(job.outcome)
    assert (await pair.verify()).ok


@pytest.mark.parametrize(
    "error", [StoreUnreachable("it is away"), ZeroDivisionError()], ids=["away", "defect"]
)
async def test_failed_background_scrub_is_retried(
    error: Exception, locations: Both[Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes no finding, and the records are verified later."""
    differing, errors = verify.differing, [error]

    async def failing_once(look: ScrubSession, keys: Sequence[Key]) -> list[Key]:
        if errors:
            raise errors.pop()
        return await differing(look, keys)

    monkeypatch.setattr(verify, "differing", failing_once)
    monkeypatch.setattr(scrubber, "PAUSE", 0.01)
    async with kept(locations, tmp_path, within=0.2) as made:
        await made.until(lambda: made.worker.status.proven.records == 3)

        assert errors == []
        assert await made.events("finding") == []
