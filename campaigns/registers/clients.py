"""Clients that work on the same few records in every way that the server offers, and note what they see."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp

from campaigns.campaign import Tally
from campaigns.registers.history import Attempt, History
from campaigns.registers.operation import ANY, Effect, Value, none_of, one_of
from campaigns.serve.followers import Follower, Listener
from campaigns.serve.writers import NEVER, path
from smtd.records.record import Record
from tests.build import FINISHED, PROJECT
from tests.server import bulk
from tests.server.served import Client, Reply

#: What the status of an answer says of the record.
Answers = Mapping[int, Effect]
EXISTS, IS_ABSENT = none_of(None), one_of(None)
#: The most records of one request for many.
MOST = 3


class Unanswered(Exception):
    """The server does not say whether it has done what was asked."""


@dataclass
class Worker:
    """A client that sends one request after the other, each to any of the servers."""

    name: str
    history: History
    tally: Tally
    chance: Random
    #: What each record held when this client last heard of it: most times it is older than what is there.
    seen: dict[str, Value] = field(default_factory=dict)
    #: The operations of the last request.
    under_way: list[Attempt] = field(default_factory=list)

    @property
    def ways(self) -> list[Callable[[Client], Awaitable[None]]]:
        """What this client does, at random."""
        raise NotImplementedError

    async def work(self, client: Client) -> None:
        """Send one request; note nothing of it if it cannot have come to a server."""
        self.under_way = []
        try:
            await self.chance.choice(self.ways)(client)
        except aiohttp.ClientConnectorError:
            self.history.withdraw(self.under_way)
            raise
        finally:
            self.tally.counts["operations"] += sum(each.operation.is_certain for each in self.under_way)

    def _begin(self, label: str, what: str, effect: Effect) -> Attempt:
        attempt = self.history.begin(self.name, label, what, effect)
        self.under_way.append(attempt)
        return attempt

    def _learn(self, attempt: Attempt, value: Value, answer: str) -> None:
        """Note that the record held *value*."""
        self.seen[attempt.label] = value
        attempt.answered(Effect(one_of(value)), f"{answer}, {value}")

    def _label(self) -> str:
        return self.chance.choice(self.history.labels)

    def _condition(self, value: Value) -> str:
        """Return the ETag of a record with *value*; if there is none, one that no record has."""
        found = self.history.digest(value)
        return NEVER if found is None else f'"{found}"'

    def _expect(self, reply: Reply, *statuses: int) -> None:
        """Report any other status. Raises Unanswered for it."""
        if reply.status not in statuses:
            if reply.status != 503:
                what = self.under_way[0].what
                self.tally.differences.append(f"{self.name}: {what}: {reply.status}: {reply.body!r}")
            raise Unanswered

    def _check(self, label: str, document: Any, value: Value) -> None:
        """Report a record whose ETag is not that of its outcome."""
        if document["outcome"] != value:
            self.tally.differences.append(f"{label}: {document['outcome']} came with the digest of {value}")


@dataclass
class OldClient(Worker):
    """A client of `/records/`, with conditions and without."""

    @property
    def ways(self) -> list[Callable[[Client], Awaitable[None]]]:
        edits = [self.put, self.put_if_same, self.put_if_new, self.comment]
        return [*edits, *edits, self.delete, self.delete_if_same, self.read, self.read_again, self.list]

    async def put(self, client: Client) -> None:
        label = self._label()
        word, record = self.history.new(label)
        attempt = self._begin(label, "PUT", Effect(ANY, (word,)))
        answers = {200: Effect(EXISTS, (word,)), 201: Effect(IS_ABSENT, (word,))}
        self._wrote(attempt, word, await client.put(record), answers)

    async def put_if_same(self, client: Client) -> None:
        label = self._label()
        before = self.seen.get(label)
        word, record = self.history.new(label)
        done = Effect(one_of(before), (word,))
        answers = {412: Effect()} if before is None else {200: done, 412: Effect(none_of(before))}
        attempt = self._begin(label, "PUT with If-Match", done if before else Effect())
        self._wrote(attempt, word, await client.put(record, If_Match=self._condition(before)), answers)

    async def put_if_new(self, client: Client) -> None:
        label = self._label()
        word, record = self.history.new(label)
        done = Effect(IS_ABSENT, (word,))
        attempt = self._begin(label, "PUT with If-None-Match", done)
        reply = await client.put(record, If_None_Match="*")
        self._wrote(attempt, word, reply, {201: done, 412: Effect(EXISTS)})

    async def comment(self, client: Client) -> None:
        label = self._label()
        word, _ = self.history.new(label)
        done = Effect(EXISTS, (word,))
        attempt = self._begin(label, "PUT of annotations", done)
        body = {"reason": "a first look", "outcome": word, "tags": sorted(FINISHED)}
        reply = await client.ask("PUT", path(label), json.dumps(body).encode())
        self._wrote(attempt, word, reply, {200: done, 404: Effect(IS_ABSENT)})

    async def delete(self, client: Client) -> None:
        label, done = self._label(), Effect(EXISTS, (None,))
        attempt = self._begin(label, "DELETE", done)
        self._wrote(
            attempt, None, await client.ask("DELETE", path(label)), {204: done, 404: Effect(IS_ABSENT)}
        )

    async def delete_if_same(self, client: Client) -> None:
        label = self._label()
        before = self.seen.get(label)
        done = Effect(one_of(before), (None,))
        answers = {404: Effect(IS_ABSENT), 412: Effect(none_of(None, before))}
        attempt = self._begin(label, "DELETE with If-Match", done if before else Effect())
        reply = await client.ask("DELETE", path(label), If_Match=self._condition(before))
        self._wrote(attempt, None, reply, answers | ({} if before is None else {204: done}))

    async def read(self, client: Client) -> None:
        label = self._label()
        attempt = self._begin(label, "GET", Effect())
        self._read(attempt, await client.get(path(label)))

    async def read_again(self, client: Client) -> None:
        label = self._label()
        attempt = self._begin(label, "GET with If-None-Match", Effect())
        self._read(
            attempt, await client.get(path(label), If_None_Match=self._condition(self.seen.get(label)))
        )

    async def list(self, client: Client) -> None:
        attempts = [self._begin(label, "GET of the project", Effect()) for label in self.history.labels]
        reply = await client.get(f"records/{PROJECT}/")
        self._expect(reply, 200)
        listed = {url.rstrip("/").rpartition("/")[2] for url in reply.json["records"]}
        for each in attempts:
            is_there = each.label in listed
            each.answered(Effect(EXISTS if is_there else IS_ABSENT), "listed" if is_there else "not listed")

    def _read(self, attempt: Attempt, reply: Reply) -> None:
        self._expect(reply, 200, 304, 404)
        value = self.seen.get(attempt.label)
        if reply.status != 304:
            value = self.history.value(None if reply.status == 404 else reply.etag.strip('"'))
        if reply.status == 200:
            self._check(attempt.label, reply.json, value)
        self._learn(attempt, value, str(reply.status))

    def _wrote(self, attempt: Attempt, value: Value, reply: Reply, answers: Answers) -> None:
        """Note the answer to a request that was to write *value*."""
        self._expect(reply, *answers)
        effect = answers[reply.status]
        attempt.answered(effect, f"{reply.status}, {value}")
        if effect.writes:
            self.seen[attempt.label] = value
            if value is not None and self.history.value(reply.etag.strip('"')) != value:
                self.tally.differences.append(f"{attempt.label}: {value} was acknowledged as {reply.etag}")


@dataclass
class BulkClient(Worker):
    """A client of `records:get` and `records:write`, which repeats a request that got no answer."""

    #: What the last `records:write` was to do, while it has no answer: value and record by label.
    unanswered: dict[str, tuple[Value, Record | None]] = field(default_factory=dict)

    @property
    def ways(self) -> list[Callable[[Client], Awaitable[None]]]:
        return [self.repeat] if self.unanswered else [self.get, self.write, self.write]

    async def get(self, client: Client) -> None:
        attempts = [self._begin(label, "records:get", Effect()) for label in self._labels()]
        answers = await self._post(client, bulk.GET, [bulk.asked(each.label) for each in attempts])
        for each, answer in zip(attempts, answers, strict=True):
            value = self.history.value(answer["digest"])
            if answer["outcome"] == "found":
                self._check(each.label, answer["record"], value)
            elif answer["outcome"] != "absent":
                self.tally.differences.append(f"{each.label}: {answer}")
            self._learn(each, value, answer["outcome"])

    async def write(self, client: Client) -> None:
        for label in self._labels():
            word, record = self.history.new(label)
            is_deletion = self.seen.get(label) is not None and self.chance.random() < 0.3
            self.unanswered[label] = (None, None) if is_deletion else (word, record)
        await self._write(client, "records:write", is_repeated=False)

    async def repeat(self, client: Client) -> None:
        await self._write(client, "records:write again", is_repeated=True)

    async def _write(self, client: Client, what: str, *, is_repeated: bool) -> None:
        attempts, lines = [], []
        for label, (value, record) in self.unanswered.items():
            before = self.seen.get(label)
            attempts.append(self._begin(label, what, Effect(one_of(before), (value,))))
            lines.append(bulk.wanted(record, self.history.digest(before), label))
        answers = await self._post(client, bulk.WRITE, lines)
        for each, answer in zip(attempts, answers, strict=True):
            value, _ = self.unanswered.pop(each.label)
            before = self.seen.get(each.label)
            found = self.history.value(answer["digest"])
            if answer["outcome"] == "done" and found == value:
                held = (before, value) if is_repeated else (before,)
                each.answered(Effect(one_of(*held), (value,)), f"done, {value} in place of {before}")
                self.seen[each.label] = value
            else:
                if answer["outcome"] != "stale" or found == before:
                    self.tally.differences.append(f"{each.label}: {answer} for {value} in place of {before}")
                self._learn(each, found, f"{answer['outcome']} for {value} in place of {before}")

    async def _post(self, client: Client, where: str, lines: list[Any]) -> list[Any]:
        reply = await bulk.post(client, where, bulk.ndjson(*lines))
        self._expect(reply, 200)
        return bulk.answered(reply)

    def _labels(self) -> list[str]:
        return self.chance.sample(self.history.labels, self.chance.randint(1, MOST))


@dataclass
class Poller(Follower):
    """A follower of the feed that asks for changes: after each answer it knows what every record held."""

    history: History = field(kw_only=True)

    async def _turn(self, client: Client, wait: int) -> None:
        called = time.monotonic()
        await super()._turn(client, wait)
        for label in self.history.labels if self.cursor else ():
            self.history.saw(self.name, label, "feed", self.history.value(self.held.get(label)), called)


@dataclass
class Hearer(Listener):
    """A follower of the feed that listens: a record held what an event says at some time since it listens."""

    history: History = field(kw_only=True)
    since: float = 0.0

    async def _turn(self, client: Client, wait: int) -> None:
        self.since = time.monotonic()
        await super()._turn(client, wait)

    def _take_change(self, change: Any) -> None:
        super()._take_change(change)
        value = self.history.value(change["digest"])
        self.history.saw(self.name, change["label"], f"event {change['seq']}", value, self.since)
