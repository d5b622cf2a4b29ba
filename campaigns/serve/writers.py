"""Clients that write, and know what the server must answer to each request."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from campaigns.serve.ledger import Held, Ledger
from tests.build import FINISHED, PROJECT, record
from tests.server.served import Client, Reply
from tests.stores.places import DjangoPlace

#: An ETag that no record has.
NEVER = '"1-00000000000000000000000000000000"'


class Operation(NamedTuple):
    """A request of an owner for a label: the status to expect if it has a record, and if it has none."""

    there: int
    absent: int
    #: The headers to send, given what the label holds.
    conditions: Callable[[Held], Mapping[str, str]] = lambda _: {}


def _matching(held: Held) -> Mapping[str, str]:
    return {"If_Match": held.etag or "*"}


OPERATIONS = {
    "put": Operation(200, 201),
    "make": Operation(412, 201, lambda _: {"If_None_Match": "*"}),
    "edit": Operation(200, 412, _matching),
    "edit of a deleted record": Operation(412, 412, lambda _: {"If_Match": NEVER}),
    "comment": Operation(200, 404),
    "delete": Operation(204, 404, lambda held: _matching(held) if held.etag else {}),
    "read": Operation(200, 404),
    "read again": Operation(304, 404, lambda held: {"If_None_Match": held.etag or NEVER}),
}
_CHOSEN = [*OPERATIONS, "put", "edit", "comment"]
#: Statuses of the answers to requests that changed something.
_DONE = (200, 201, 204)


def new_words() -> Iterator[str]:
    """Return an endless iterator of different words."""
    return (f"word{number}x" for number in itertools.count())


def path(label: str) -> str:
    """Return the path of the record *label*, below the root."""
    return f"records/{PROJECT}/{label}/"


@dataclass
class Owner:
    """The only client that writes to *labels*."""

    labels: list[str]
    ledger: Ledger
    chance: Random
    words: Iterator[str]

    async def write(self, client: Client) -> None:
        """Send one request after the other until the connection is cut."""
        while True:
            await self._do(client, self.chance.choice(_CHOSEN), self.chance.choice(self.labels))

    async def _do(self, client: Client, name: str, label: str) -> None:
        operation, before = OPERATIONS[name], self.ledger.holds(label)
        word = next(self.words)
        headers = dict(operation.conditions(before))
        if name.startswith("read"):
            reply = await client.get(path(label), **headers)
            self._read(label, before, reply)
        else:
            self.ledger.wants(label, None if name == "delete" else word)
            reply = await self._send(client, name, label, word, headers)
            if reply.status in _DONE:
                self.ledger.acknowledged(label, reply.headers.get("ETag"))
            else:
                self.ledger.refused(label)
        expected = operation.absent if before.outcome is None else operation.there
        if reply.status != expected:
            self.ledger.differs(f"{name} {label}: {reply.status} instead of {expected}: {reply.body!r}")
        self.ledger.tally.counts["answers to writers"] += 1

    async def _send(
        self, client: Client, name: str, label: str, word: str, headers: Mapping[str, str]
    ) -> Reply:
        if name == "delete":
            return await client.ask("DELETE", path(label), None, **headers)
        if name == "comment":
            body = {"reason": "", "outcome": word, "tags": sorted(FINISHED)}
            return await client.ask("PUT", path(label), json.dumps(body).encode(), **headers)
        return await client.put(record(label, outcome=word), **headers)

    def _read(self, label: str, before: Held, reply: Reply) -> None:
        """Compare the record in *reply* with what was acknowledged last."""
        if reply.status == 200 and Held(reply.json["outcome"], reply.etag) != before:
            self.ledger.tally.losses.append(f"{label}: {reply.json['outcome']} instead of {before.outcome}")


@dataclass
class Sharer:
    """One of several clients that append to the same *labels*, each only to the version that it has read."""

    labels: list[str]
    ledger: Ledger
    chance: Random
    words: Iterator[str]

    async def write(self, client: Client) -> None:
        """Append one word after the other until the connection is cut."""
        while True:
            label = self.chance.choice(self.labels)
            seen = await client.get(path(label))
            if seen.status not in (200, 404):
                self.ledger.differs(f"read {label}: {seen.status}: {seen.body!r}")
                continue
            await self._append(client, label, seen)

    async def _append(self, client: Client, label: str, seen: Reply) -> None:
        word = next(self.words)
        is_there = seen.status == 200
        before = seen.json["outcome"] if is_there else ""
        condition = {"If_Match": seen.etag} if is_there else {"If_None_Match": "*"}
        self.ledger.appends(label, word)
        lines = "\n".join(filter(None, [before, word]))
        reply = await client.put(record(label, outcome=lines), **condition)
        done = reply.status == (200 if is_there else 201)
        self.ledger.appended(label, word, done=done)
        if not done and reply.status != 412:
            self.ledger.differs(f"append to {label}: {reply.status}: {reply.body!r}")
        self.ledger.tally.counts["answers to writers"] += 1
        self.ledger.tally.counts["appends that came too late"] += not done


@dataclass
class Neighbour:
    """A program on the machine of the server that writes to *labels* directly in the server's file."""

    labels: list[str]
    place: DjangoPlace
    ledger: Ledger
    chance: Random
    words: Iterator[str]
    is_over: Callable[[], bool] = lambda: False

    async def write(self, _client: Client) -> None:
        """Write or remove one record after the other until it *is_over*, or until cancelled."""
        while not self.is_over():
            label, word = self.chance.choice(self.labels), next(self.words)
            if self.ledger.holds(label).outcome is not None and self.chance.random() < 0.25:
                self.ledger.wants(label, None)
                await self.place.remove(label)
            else:
                self.ledger.wants(label, word)
                await self.place.put(record(label, outcome=word))
            self.ledger.acknowledged(label, None)
            self.ledger.tally.counts["writes past the server"] += 1
