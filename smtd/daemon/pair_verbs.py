"""The requests of the control socket about the daemon and its pairs, as in docs/reference/control.md."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from smtd import __version__
from smtd.config import check_pair, misnamed
from smtd.control import fields
from smtd.daemon.daemon import Daemon
from smtd.daemon.jobs import Job, Preview, Sync, SyncOptions, Verification, followed
from smtd.daemon.record_verbs import Answers, Asked, RecordVerbs, statuses
from smtd.daemon.scrubber import Scrubber
from smtd.daemon.worker import Worker
from smtd.engine.report import PairReport
from smtd.errors import SmtdError, StoreUnreachable, UsageError
from smtd.merge.sides import Both
from smtd.output import shapes
from smtd.spelling import did_you_mean

if TYPE_CHECKING:
    from smtd.daemon.pages.page_server import PageServer

T = TypeVar("T")


class Verbs:
    """Answers requests to *daemon*."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._pages: PageServer | None = None
        self._verbs: dict[str, Callable[[Asked], Answers]] = {
            "status": self._status,
            "sync now": self._sync_now,
            "sync plan": partial(self._synced, Preview),
            "verify": self._verify,
            "pair of": self._pair_of,
            "pause": partial(self._switched, Worker.pause),
            "resume": partial(self._switched, Worker.resume),
            "pair add": self._pair_add,
            "pair remove": self._pair_remove,
            "pair list": self._pair_list,
            "remembered": self._remembered,
            "forget": self._forget,
            "conflicts": self._conflicts,
            "holds": self._holds,
            "events": self._events,
            "figures": self._figures,
            "web": self._web,
            "backup": self._backup,
            "reload": self._reload,
            "stop": self._stop,
        }
        self._verbs |= RecordVerbs(daemon, self._pair_named).verbs

    @property
    def names(self) -> list[str]:
        """The verbs, as requests name them."""
        return list(self._verbs)

    def __call__(self, asked: Asked) -> Answers:
        name = asked["verb"]
        if (verb := self._verbs.get(name)) is None:
            hint = did_you_mean(name, self._verbs)
            raise UsageError(f"this daemon (smtd {__version__}) does not know the verb {name!r}{hint}")
        return verb(asked)

    async def _status(self, asked: Asked) -> Answers:
        yield {
            "version": __version__,
            "uptime_seconds": round(anyio.current_time() - self._daemon.began, 1),
            "pairs": statuses(self._chosen(asked)),
        }

    async def _sync_now(self, asked: Asked) -> Answers:
        unfinished, only = fields.flag(asked, "include_unfinished"), fields.optional_text(asked, "plan")
        if only is not None and len(self._chosen(asked)) > 1:
            raise UsageError("a plan belongs to one pair; name that pair")

        options = SyncOptions(include_unfinished=unfinished, expected_plan=only)
        async for answer in self._synced(lambda: Sync(options), asked):
            yield answer

    async def _synced(self, make: Callable[[], Job[PairReport]], asked: Asked) -> Answers:
        """Submit a job for each pair, yield progress if the client asks for it, and finally the results."""
        timeout, progress = fields.seconds(asked, "timeout"), fields.flag(asked, "progress")
        began = anyio.current_time()
        end = began + (float("inf") if timeout is None else timeout)
        workers = self._chosen(asked)
        jobs = [make() for _ in workers]
        for worker, job in zip(workers, jobs, strict=True):
            worker.submit_nowait(job)
        async for answer in followed(jobs, partial(statuses, workers), progress=progress, end=end):
            yield answer
        seconds, mirrored = anyio.current_time() - began, fields.flag(asked, "mirrored")
        reports, errors = _outcomes(seconds, workers, jobs)
        found = shapes.sync(seconds, [shapes.pair(report, mirrored=mirrored) for report in reports])
        yield {**found, "ok": found["ok"] and not errors, "errors": errors}

    async def _verify(self, asked: Asked) -> Answers:
        scrubbers = [self._daemon.scrubber(worker.name) for worker in self._chosen(asked)]
        deep, progress = fields.flag(asked, "deep"), fields.flag(asked, "progress")
        async for answer in verified(scrubbers, deep=deep, progress=progress):
            yield answer

    async def _pair_of(self, asked: Asked) -> Answers:
        """Return which pair has two given stores, for a command that would otherwise sync them itself."""
        stores = asked.get("stores")
        if asked.get("state") not in (None, str(self._daemon.state)):
            stores = None
        for worker in self._daemon.workers:
            known = list(worker.session.identities)
            if known and known in (stores, stores[::-1] if isinstance(stores, list) else None):
                projects = worker.session.projects
                yield {
                    "pair": worker.name,
                    "swapped": known != stores,
                    "projects": None if projects is None else sorted(projects),
                }
                return
        yield {"pair": None}

    async def _switched(self, switch: Callable[[Worker], bool], asked: Asked) -> Answers:
        chosen = self._chosen(asked, must_name=True)
        changed = [worker.name for worker in chosen if switch(worker)]
        yield {"pairs": [worker.name for worker in chosen], "changed": changed}

    async def _pair_add(self, asked: Asked) -> Answers:
        name = fields.text(asked, "name")
        if why := misnamed(name):
            raise UsageError(f"{name!r} cannot be the name of a pair: {why}")
        pair = check_pair(name, asked.get("pair"))
        for word in (pair.left, pair.right):
            if "@" in word.partition("://")[2].partition("/")[0]:
                raise UsageError(
                    "smtd does not save passwords; define the store in the configuration and use its name"
                )
        await self._daemon.add(name, pair)
        yield {}

    async def _pair_remove(self, asked: Asked) -> Answers:
        await self._daemon.remove(fields.text(asked, "name"))
        yield {}

    async def _pair_list(self, asked: Asked) -> Answers:
        yield {
            "pairs": [
                {
                    "pair": worker.name,
                    "left": worker.status.left.location,
                    "right": worker.status.right.location,
                    "mode": worker.settings.policy.mode.value,
                    "added": worker.name in self._daemon.added,
                }
                for worker in self._daemon.workers
            ]
        }

    async def _remembered(self, asked: Asked) -> Answers:
        """Return what the journal in a state directory remembers; nothing if the daemon has another one."""
        if asked.get("state") not in (None, str(self._daemon.state)):
            yield {"pairs": None}
            return
        found = await self._daemon.remembered()
        yield {"pairs": [shapes.remembered(each, synced=synced) for each, synced in found]}

    async def _forget(self, asked: Asked) -> Answers:
        stores = asked.get("stores")
        if not isinstance(stores, list) or [type(each) for each in stores] != [str, str]:
            raise UsageError("stores must be a list of the two stores of a pair, as remembered returns it")
        await self._daemon.forget(Both(*stores))
        yield {}

    async def _conflicts(self, asked: Asked) -> Answers:
        found = [(one.pair, each) for one in self._reports(asked) for each in one.conflicts]
        yield {"conflicts": [{"pair": pair, **shapes.conflict(each)} for pair, each in found]}

    async def _holds(self, asked: Asked) -> Answers:
        found = [(one.pair, each) for one in self._reports(asked) for each in one.held]
        yield {"holds": [{"pair": pair, **shapes.held(each)} for pair, each in found]}

    def _reports(self, asked: Asked) -> list[PairReport]:
        """Return the last reports of the pairs that the request names."""
        return [worker.report for worker in self._chosen(asked) if worker.report is not None]

    async def _events(self, asked: Asked) -> Answers:
        since, follow = fields.whole(asked, "since", 0), fields.flag(asked, "follow")
        if (last := fields.optional_whole(asked, "last")) is not None:
            since = max(since, await self._daemon.events.number_before(last))
        async for event in self._daemon.events.since(since, follow=follow):
            yield event

    async def _figures(self, asked: Asked) -> Answers:
        yield {
            "pairs": [
                {"pair": worker.name, **await self._daemon.figures.shape(worker.session.identities)}
                for worker in self._chosen(asked)
            ]
        }

    async def _web(self, asked: Asked) -> Answers:
        if self._pages is None:
            from smtd.daemon.pages.page_server import PageServer  # here: most daemons show no pages

            self._pages = PageServer(self, self._daemon.pair_access(), self._daemon.start)
        yield await self._pages.link()

    async def _backup(self, asked: Asked) -> Answers:
        file = asked.get("file")
        if not isinstance(file, str) or not Path(file).is_absolute() or "\0" in file:
            raise UsageError("give the full path of the new file")
        yield {"file": file, "bytes": await self._daemon.journal.copy(Path(file))}

    async def _reload(self, asked: Asked) -> Answers:
        yield await self._daemon.reload()

    async def _stop(self, asked: Asked) -> Answers:
        yield {"only_serves": self._daemon.only_serves}
        self._daemon.stop()

    def _pair_named(self, asked: Asked) -> Worker:
        """Return the worker of the one pair that the request names."""
        name = fields.text(asked, "pair")
        for worker in self._daemon.workers:
            if worker.name == name:
                return worker
        raise self._daemon.no_pair(name)

    def _chosen(self, asked: Asked, *, must_name: bool = False) -> list[Worker]:
        """Return the workers of the pairs that the request names, or all; names may be globs."""
        names = fields.texts(asked, "pairs") or ([] if must_name else ["*"])
        if not names:
            raise UsageError("name the pairs; '*' means all")
        chosen: dict[str, Worker] = {}
        for name in names:
            workers = self._daemon.workers
            found = {one.name: one for one in workers if one.name == name} or {
                one.name: one for one in workers if fnmatchcase(one.name, name)
            }
            if not found and name != "*":
                raise self._daemon.no_pair(name)
            chosen |= found
        return list(chosen.values())


async def verified(
    scrubbers: Sequence[Scrubber], *, deep: bool, progress: bool
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the *progress* of the scrubs, if asked for, and finally their results.

    If the client leaves before the end, the scrubs are cancelled.
    """
    began = anyio.current_time()
    scrubs = [(scrubber, Verification(deep)) for scrubber in scrubbers]
    for scrubber, job in scrubs:
        scrubber.submit_nowait(job)
    jobs = [job for _, job in scrubs]
    try:
        async for answer in followed(
            jobs, lambda: [scrubber.progress(job) for scrubber, job in scrubs], progress=progress
        ):
            yield answer
    finally:
        for job in jobs:
            job.scope.cancel()
    seconds = anyio.current_time() - began
    yield shapes.verify(seconds, *_outcomes(seconds, [scrubber.worker for scrubber in scrubbers], jobs))


def _outcomes(
    seconds: float, workers: Sequence[Worker], jobs: Sequence[Job[T]]
) -> tuple[list[T], list[shapes.Shape]]:
    """Return the results of the *jobs* of *workers*, and the errors of those that failed or still run."""
    results, errors = list[T](), list[shapes.Shape]()
    for worker, job in zip(workers, jobs, strict=True):
        outcome = job.outcome or StoreUnreachable(
            f"there is no result after {seconds:.0f} s; the cycle continues (see smtd status)"
        )
        if isinstance(outcome, SmtdError):
            errors.append({"pair": worker.name, "error": str(outcome), "code": outcome.exit_code})
        else:
            results.append(outcome)
    return results, errors
