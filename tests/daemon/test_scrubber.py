"""One pair, its worker and its scrubber, without a process around them."""

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
from smtd.daemon import scrubber
from smtd.daemon.events import Events
from smtd.daemon.jobs import Exclusive, Preview, Sync, SyncOptions, Verification
from smtd.daemon.scrubber import TRIES, Scrubber
from smtd.daemon.store_session import StoreSession
from smtd.daemon.verify import verified
from smtd.daemon.worker import Worker
from smtd.engine.report import PairReport
from smtd.engine.scrub import pace, verify
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
    """Return what was found, as a person reads it."""
    return [shapes.finding(each, report.pair)["what"] for each in report.findings]


class Kept:
    """A pair of two SQLite files that a worker and a scrubber look after; nobody watches the files."""

    def __init__(self, locations: Both[Location], worker: Worker, scrubber: Scrubber, events: Events) -> None:
        self.locations = locations
        self.worker = worker
        self.scrubber = scrubber
        self._events = events

    async def sync(self) -> PairReport:
        """Have a cycle run, as a person would."""
        return await self.worker.submit(Sync())

    async def verify(self, *, deep: bool = True) -> VerifyReport:
        """Have the pair proven, as a person would."""
        job = Verification(deep)
        self.scrubber.submit_nowait(job)
        return await job.wait()

    def tamper(self, label: str = "one", **values: str) -> None:
        """Change a row of the right file behind everybody's back."""
        with closing(sqlite3.connect(self.locations.right.path, isolation_level=None, timeout=30)) as db:
            for column, value in values.items():
                db.execute(f"UPDATE django_store_record SET {column} = ? WHERE label = ?", (value, label))

    def on_the_left(self, column: str) -> str:
        """Return what the left file says of the record "one"."""
        with closing(sqlite3.connect(self.locations.left.path, isolation_level=None, timeout=30)) as db:
            query = f"SELECT {column} FROM django_store_record WHERE label = 'one'"
            return str(db.execute(query).fetchone()[0])

    async def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name so far."""
        return [one async for one in self._events.since(0, follow=False) if one["event"] == name]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until *is_so*, asking after each turn of the loop."""
        with anyio.fail_after(20):
            while not is_so():  # noqa: ASYNC110 - nobody is woken for it
                await anyio.sleep(0.005)


@pytest.fixture
async def locations(tmp_path: Path) -> Both[Location]:
    """A file with three records, and one that is not there yet."""
    return await two_files(tmp_path, *LABELS)


@asynccontextmanager
async def kept(locations: Both[Location], state: Path, within: float = 0.0) -> AsyncIterator[Kept]:
    """Look after the pair of *locations*, as a new process would."""
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
    """A pair in step, which nothing proves but who asks for it."""
    async with kept(locations, tmp_path / "state") as made:
        yield made


async def test_status_tells_what_was_found_and_how_much_is_proven(pair: Kept) -> None:
    """A whole scrub counts for all records, from when it began; findings go when they are no more."""
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


async def test_edit_that_no_cycle_has_seen_is_carried_before_anything_is_said_of_it(pair: Kept) -> None:
    """A pair that is running carries what people do; a scrub that is quicker waits for that."""
    pair.tamper(outcome="as expected")

    report = await pair.verify()

    assert (report.equal, report.findings, report.explained) == (3, [], [])
    assert pair.worker.report is not None
    assert pair.worker.report.left.updated == 1


async def test_record_that_never_comes_to_rest_is_no_finding(
    pair: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody edits it again after each cycle; nobody can say that it is wrong."""
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


async def test_difference_that_no_cycle_can_carry_is_found(
    pair: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a cycle that fails is not explained by waiting."""

    async def failing(*_args: Any, **_options: Any) -> Any:
        raise StoreRefused("no cycle today")

    monkeypatch.setattr(pairing, "sync", failing)
    pair.tamper(outcome="an edit")

    assert [finding.fields for finding in (await pair.verify()).findings] == [("outcome",)]


async def test_background_scrub_grows_and_goes_on_after_a_restart(
    locations: Both[Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record is proven once a round, in order, whichever process does it."""
    monkeypatch.setattr(pace, "SMALLEST", 1)
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
    """A pair whose stores never tell that they were changed, as a server does not; proven all the time."""

    async def is_settled(_session: StoreSession) -> bool:
        return True

    monkeypatch.setattr(StoreSession, "is_settled", is_settled)
    async with kept(locations, tmp_path / "state", within=0.2) as made:
        yield made


async def test_background_scrub_finds_provenance_that_nobody_edits(blind: Kept) -> None:
    """It is told once, and carried only when a person says so; then it is no finding any more."""
    blind.tamper(version="tampered")

    await blind.until(lambda: blind.worker.status.proven.findings == 1)
    left_alone = blind.on_the_left("version")
    await blind.sync()
    await blind.until(lambda: blind.worker.status.proven.findings == 0)

    assert left_alone == full().version
    assert blind.on_the_left("version") == "tampered"
    (event,) = await blind.events("finding")
    assert (event["label"], event["fields"], event["side"]) == ("one", ["version"], "right")


async def test_background_scrub_hands_over_what_a_person_can_have_done(blind: Kept) -> None:
    """An edit that was not seen yet, and a deletion, are for a cycle, and no alarm."""
    blind.tamper(outcome="as expected")
    async with open_store(blind.locations.right) as store:
        await store.write([Change(Key(PROJECT, "two"), None, canonical.digest(full("two")))])

    def carried() -> bool:
        return blind.on_the_left("outcome") == "as expected" and blind.worker.status.left.records == 2

    await blind.until(carried)

    assert blind.on_the_left("outcome") == "as expected"
    assert await blind.events("finding") == []


async def test_paused_pair_is_not_proven_in_the_background(blind: Kept) -> None:
    """Edits pile up there, and that is what the person wanted."""
    blind.worker.pause()
    await blind.until(lambda: blind.worker.status.state == "paused")
    blind.tamper(outcome="as expected", version="tampered")

    assert await blind.scrubber._in_background() == float("inf")
    assert await blind.events("finding") == []


async def test_who_no_longer_waits_ends_the_verification(pair: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one who asks is answered."""
    run, begun = verify.run, anyio.Event()

    async def endless(*args: Any, **options: Any) -> Any:
        if not begun.is_set():
            begun.set()
            await anyio.sleep_forever()
        return await run(*args, **options)

    monkeypatch.setattr(verify, "run", endless)
    answers = verified([pair.scrubber], deep=True, progress=0.001)
    assert "progress" in await anext(answers)
    await begun.wait()

    await answers.aclose()
    with anyio.fail_after(10):
        assert (await pair.verify()).ok


async def test_no_cycle_runs_while_a_scrub_reads_again(pair: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read again is not being carried meanwhile."""
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


async def test_only_a_persons_cycle_looks_at_what_was_found(
    pair: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a scrub found in a server is not carried before somebody has said so."""
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


async def test_who_waits_when_the_pair_is_stopped_is_told(locations: Both[Location], tmp_path: Path) -> None:
    """No request is left without an answer."""
    asked = Verification()
    async with kept(locations, tmp_path) as made:
        made.scrubber.submit_nowait(asked)

    assert isinstance(asked.outcome, StoreUnreachable)
    assert "the pair was stopped before its verification ended; run the command again" in str(asked.outcome)


async def test_pair_that_was_never_synced_cannot_be_proven(locations: Both[Location], tmp_path: Path) -> None:
    """There is nothing that it could be compared with."""
    async with open_journal(tmp_path) as journal:
        with pytest.raises(UsageError, match="has not been synced yet"):
            await pairing.known(journal, "pair", locations)


async def test_pair_that_is_known_the_other_way_round_is_proven(
    locations: Both[Location], tmp_path: Path
) -> None:
    """The sides are named as they are now."""
    async with kept(locations, tmp_path):
        pass
    async with kept(locations.swapped, tmp_path) as swapped:
        swapped.worker.pause()
        swapped.tamper(version="tampered")

        report = await swapped.verify()

    assert whats(report) == ["the right store differs from the last sync in version"]


async def test_of_many_findings_only_some_are_told_one_by_one(
    pair: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that went wrong as a whole floods neither the events nor the log; the report has all."""
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


async def test_defect_of_smtd_is_told_to_whoever_asked(pair: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one is answered as ever."""

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
async def test_background_scrub_that_fails_is_tried_again(
    error: Exception, locations: Both[Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No finding comes of it, and what was due is proven later."""
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
