"""The requests of the control socket about records and cycles, as in docs/reference/control.md."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any, TypeAlias, TypeVar

import msgspec

from smtd.control import fields
from smtd.daemon.daemon import Daemon
from smtd.daemon.jobs import Query, Sync, SyncOptions, Work, followed
from smtd.daemon.worker import Worker
from smtd.engine.edit import Edit, edit, restore
from smtd.engine.explain import explain, show
from smtd.engine.resolve import OF_CONFLICTS, OF_DELETIONS, Resolution, foresee
from smtd.engine.undo import undo
from smtd.errors import UsageError
from smtd.journal.decisions import Choice
from smtd.output import shapes
from smtd.records.record import Key

Answers: TypeAlias = AsyncIterator[dict[str, Any]]
Asked: TypeAlias = dict[str, Any]
T = TypeVar("T")
#: Entries of the history that are returned by default.
LIMIT = 100
#: The most cycles that are returned at once.
MOST_CYCLES = 500
#: Name and orientation of a pair that the journal no longer knows.
_UNKNOWN = ("", False)


class RecordVerbs:
    """Answers requests about single records of *daemon*'s pairs, and about their history."""

    def __init__(self, daemon: Daemon, pair_named: Callable[[Asked], Worker]) -> None:
        self._daemon = daemon
        self._pair_named = pair_named

    @property
    def verbs(self) -> dict[str, Callable[[Asked], Answers]]:
        """The verbs, as requests name them."""
        return {
            "resolve": self._resolve,
            "deletes approve": partial(self._deletes, Choice.APPROVE),
            "deletes reject": partial(self._deletes, Choice.REJECT),
            "explain": self._explain,
            "show": self._show,
            "history": self._history,
            "history check": self._check,
            "history cycles": self._history_cycles,
            "undo": self._undo,
            "restore": self._restore,
            "edit": self._edit,
        }

    async def _resolve(self, asked: Asked) -> Answers:
        take, of_all = fields.optional_text(asked, "take"), fields.flag(asked, "all")
        labels = fields.texts(asked, "labels")
        choice = next((each for each in OF_CONFLICTS if each.value == take), None)
        if choice is None:
            raise UsageError("choose what to take: left, right or both")
        keys = fields.keys(asked, "records")
        if keys:
            wish = Resolution(choice, keys=keys)
        elif of_all:
            project = fields.optional_text(asked, "project") or "*"
            wish = Resolution(choice, project, labels or (fields.optional_text(asked, "label") or "*",))
        else:
            project = fields.text(asked, "project")
            labels = labels or [fields.text(asked, "label")]
            wish = Resolution(choice, _literally(project), tuple(map(_literally, labels)))
        async for answer in self._decided(asked, wish):
            yield answer

    async def _deletes(self, choice: Choice, asked: Asked) -> Answers:
        assert choice in OF_DELETIONS
        labels = fields.texts(asked, "labels") or ["*"]
        project = fields.optional_text(asked, "project")
        wanted = "*" if project is None else _literally(project)
        wish = Resolution(choice, wanted, tuple(labels), keys=fields.keys(asked, "records"))
        async for answer in self._decided(asked, wish):
            yield answer

    async def _decided(self, asked: Asked, wish: Resolution) -> Answers:
        """Store *wish*, run a cycle, yield its progress if the client asks for it, and finally its report.

        With `dry_run`, yield what *wish* would do by itself.
        """
        worker = self._pair_named(asked)
        if fields.flag(asked, "dry_run"):
            listed = worker.listed
            report = await worker.submit(Query(lambda pair: foresee(pair, wish, listed), only_reads=True))
            yield shapes.sync(0.0, [shapes.pair(report)])
            return
        job = Sync(SyncOptions(resolution=replace(wish, expected_plan=fields.optional_text(asked, "plan"))))
        worker.submit_nowait(job)
        status = partial(statuses, [worker])
        async for answer in followed([job], status, progress=fields.flag(asked, "progress")):
            yield answer
        yield shapes.sync(0.0, [shapes.pair(await job.wait())])

    async def _explain(self, asked: Asked) -> Answers:
        key = _key(asked)
        yield shapes.explanation(await self._read_only(asked, lambda pair: explain(pair, key)))

    async def _show(self, asked: Asked) -> Answers:
        key = _key(asked)
        yield shapes.shown(await self._read_only(asked, lambda pair: show(pair, key)))

    async def _history(self, asked: Asked) -> Answers:
        limit, cycle = fields.whole(asked, "limit", LIMIT), fields.optional_whole(asked, "cycle")
        label, before = fields.optional_text(asked, "label"), fields.optional_whole(asked, "before")
        names = await self._names()
        pair = self._number(asked, names)
        history = self._daemon.journal.history
        entries = await history.of(pair).entries(cycle=cycle, label=label, before=before, limit=limit)
        forgotten = {number: await history.of(number).forgotten() for number in names}
        yield {
            "history": [
                shapes.entry(entry, name, mirrored=mirrored)
                for entry in entries
                for name, mirrored in [names.get(entry.pair, _UNKNOWN)]
            ],
            "forgotten": {
                names[number][0]: found.at
                for number, found in forgotten.items()
                if found is not None and pair in (None, number)
            },
        }

    async def _history_cycles(self, asked: Asked) -> Answers:
        limit, before = fields.whole(asked, "limit", LIMIT), fields.optional_whole(asked, "before")
        names = await self._names()
        number = self._number(asked, names)
        limit = max(1, min(limit, MOST_CYCLES))
        found, rest = await self._daemon.journal.history.of(number).cycles(before=before, limit=limit)
        cycles = [
            shapes.past_cycle(each, name, mirrored=mirrored)
            for each in found
            for name, mirrored in [names.get(each.pair, _UNKNOWN)]
        ]
        yield {"cycles": cycles, "before": rest}

    def _number(self, asked: Asked, names: Mapping[int, tuple[str, bool]]) -> int | None:
        """Return the number of the pair that the request names (None: it names none)."""
        if asked.get("pair") is None:
            return None
        worker = self._pair_named(asked)
        return next((number for number, (name, _) in names.items() if name == worker.name), -1)

    async def _check(self, asked: Asked) -> Answers:
        seal = await self._daemon.journal.history.check()
        yield {"entries": seal.entries, "head": seal.head}

    async def _undo(self, asked: Asked) -> Answers:
        cycle, dry_run = fields.whole(asked, "cycle"), fields.flag(asked, "dry_run")
        names = await self._names()
        number = await self._daemon.journal.history.pair_of(cycle)
        name = "" if number is None else names.get(number, _UNKNOWN)[0]
        worker = next((one for one in self._daemon.workers if one.name == name), None)
        if worker is None:
            raise UsageError(
                f"cycle {cycle} wrote nothing to any pair of this daemon; smtd history lists the cycles"
                " that did"
            )
        plan = fields.optional_text(asked, "plan")
        found = await worker.submit(
            Query(lambda pair: undo(pair, cycle, dry_run=dry_run, expected_plan=plan))
        )
        yield {"pair": name, **shapes.undone(found)}

    async def _restore(self, asked: Asked) -> Answers:
        key, at = _key(asked), _moment(fields.text(asked, "at"))
        dry_run, plan = fields.flag(asked, "dry_run"), fields.optional_text(asked, "plan")
        found = await self._worked(
            asked, lambda pair: restore(pair, key, at, dry_run=dry_run, expected_plan=plan)
        )
        yield shapes.pair(found)

    async def _edit(self, asked: Asked) -> Answers:
        key, expect = _key(asked), fields.text(asked, "expect")
        tags = None if asked.get("tags") is None else frozenset(fields.texts(asked, "tags"))
        reason, outcome = [fields.long_text(asked, name) for name in ("reason", "outcome")]
        wanted = Edit(reason, outcome, tags)
        yield shapes.pair(await self._worked(asked, lambda pair: edit(pair, key, wanted, expect)))

    async def _worked(self, asked: Asked, work: Work[T]) -> T:
        return await self._pair_named(asked).submit(Query(work))

    async def _read_only(self, asked: Asked, work: Work[T]) -> T:
        """Return the result of *work*, which writes to no store: no cycle has to follow."""
        return await self._pair_named(asked).submit(Query(work, only_reads=True))

    async def _names(self) -> Mapping[int, tuple[str, bool]]:
        """Return the name of each pair in the journal, and whether it names the sides the other way round."""
        known = {worker.session.identities: worker.name for worker in self._daemon.workers}
        names = {}
        for number, (left, right) in (await self._daemon.journal.pairs()).items():
            straight = known.get((left, right))
            turned = known.get((right, left))
            names[number] = (straight or turned or f"{left} {right}", straight is None and turned is not None)
        return names


def _key(asked: Asked) -> Key:
    return Key(fields.text(asked, "project"), fields.text(asked, "label"))


def _moment(text: str) -> datetime:
    """Return a time in UTC, which is also the default time zone. Raises UsageError."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except ValueError:
        raise UsageError("write a time as 2026-11-25T13:00:00+00:00") from None
    except OverflowError:
        raise UsageError(f"{text} is out of range; give a time between the years 1 and 9999") from None


def _literally(name: str) -> str:
    """Return a pattern that matches only *name*."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def statuses(workers: Sequence[Worker]) -> list[shapes.Shape]:
    """Return the statuses of *workers*, as the control socket gives them."""
    return [msgspec.to_builtins(worker.status) for worker in workers]
