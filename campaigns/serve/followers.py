"""Clients that follow the feed, and go on from their cursor when the server is back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from campaigns.serve.ledger import Ledger
from tests.server.served import Client, Reply
from tests.server.streams import streaming

#: Seconds that a client asks an answer to wait for news.
WAIT = 5


@dataclass
class Follower:
    """What one client has by the feed; *with_records* if it asks for records, too."""

    name: str
    ledger: Ledger
    with_records: bool
    cursor: int = 0
    #: By label the digest.
    held: dict[str, str] = field(default_factory=dict)

    async def follow(self, client: Client) -> None:
        """Take in what is new until the line is cut."""
        while True:
            await self._turn(client, WAIT)

    async def catch_up(self, client: Client, head: int) -> None:
        """Take in all changes up to *head*, and more."""
        while self.cursor < head:
            await self._turn(client, 0)

    async def _turn(self, client: Client, wait: int) -> None:
        """Ask once."""
        more = {"include": "records"} if self.with_records else {}
        self.take(await client.changes(self.cursor, wait=wait, **more))

    def take(self, reply: Reply) -> None:
        """Take in an answer of the feed. Raises Stuck for one that nobody can go on from."""
        if self._goes_on(reply.status):
            page = reply.json
            for change in page["changes"]:
                self._told(change)
            self._reached(page["next"])

    def _goes_on(self, status: int) -> bool:
        """Say whether there are changes after the cursor; if it is too old, begin anew."""
        if status == 410:
            self.cursor = 0
            self.held.clear()
            self.ledger.tally.befell["followers that had to begin anew"] += 1
        elif status != 200:
            raise Stuck(f"{self.name}: {status} for its cursor {self.cursor}")
        return status == 200

    def _told(self, change: Any) -> None:
        self.ledger.numbered(change)
        label, digest = change["label"], change["digest"]
        if change["seq"] <= self.cursor:
            self.ledger.differs(f"{self.name}: {change['seq']} was told after {self.cursor}")
        if self.with_records and digest and change.get("record", {}).get("label") != label:
            self.ledger.differs(f"{self.name}: {label} was told without its record")
        if digest:
            self.held[label] = digest
        else:
            self.held.pop(label, None)
        self.cursor = change["seq"]

    def _reached(self, number: int) -> None:
        if number < self.cursor:
            self.ledger.differs(f"{self.name}: the feed went back from {self.cursor} to {number}")
        self.cursor = number


class Stuck(Exception):
    """A client cannot go on."""


class Listener(Follower):
    """A client that listens to a stream."""

    async def _turn(self, client: Client, wait: int) -> None:
        """Listen until the stream ends, or without *wait* until it has told what there was at its start."""
        more = "&include=records" if self.with_records else ""
        async with streaming(client, f"since={self.cursor}{more}") as stream:
            if not self._goes_on(stream.answer.status):
                return
            while (event := await stream.block()) is not None:
                if event.data is not None:
                    self._told(event.data)
                elif event.id is not None:
                    self._reached(event.id)
                    if not wait:
                        return
