"""Clients that follow the feed, and continue from their cursor when the server is back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from campaigns.serve.ledger import Ledger
from smtd.server.changes_api import VIEWS
from tests.server.served import Client, Reply
from tests.server.streams import streaming

#: Seconds for which a client asks the server to wait for changes before it answers.
WAIT = 5


@dataclass
class Follower:
    """A client, and what it has learned from the feed; *with_records* if it asks for records, too."""

    name: str
    ledger: Ledger
    with_records: bool
    cursor: int = 0
    #: The digests by label.
    held: dict[str, str] = field(default_factory=dict)

    async def follow(self, client: Client) -> None:
        """Read new changes until the connection is cut."""
        while True:
            await self._turn(client, WAIT)

    async def catch_up(self, client: Client, head: int) -> None:
        """Read changes until the cursor is at *head*, or beyond."""
        # Users have numbers of their own: the rest of the division tells what they may see.
        while self.cursor // VIEWS < head // VIEWS:
            await self._turn(client, 0)

    async def _turn(self, client: Client, wait: int) -> None:
        """Send one request, and take its answer."""
        more = {"include": "records"} if self.with_records else {}
        self.take(await client.changes(self.cursor, wait=wait, **more))

    def take(self, reply: Reply) -> None:
        """Take an answer of the feed. Raises Stuck if its status lets no client continue."""
        if self._goes_on(reply.status):
            page = reply.json
            for change in page["changes"]:
                self._take_change(change)
            self._reached(page["next"])

    def _goes_on(self, status: int) -> bool:
        """Say whether the answer goes on from the cursor; if that is too old (410), start again from 0.

        Raises Stuck for any other status.
        """
        if status == 410:
            self.cursor = 0
            self.held.clear()
            self.ledger.tally.counts["followers that had to start again"] += 1
        elif status != 200:
            raise Stuck(f"{self.name}: {status} for its cursor {self.cursor}")
        return status == 200

    def _take_change(self, change: Any) -> None:
        self.ledger.numbered(change)
        label, digest = change["label"], change["digest"]
        if change["seq"] <= self.cursor:
            self.ledger.differs(f"{self.name}: the feed gave number {change['seq']} after {self.cursor}")
        # Another program may have deleted its record by now; the change that says so follows.
        may_be_gone = label in self.ledger.elsewhere and "record" not in change
        is_other = change.get("record", {}).get("label") != label
        if self.with_records and digest and is_other and not may_be_gone:
            self.ledger.differs(f"{self.name}: the feed gave {label} without its record")
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
    """A client cannot continue."""


class Listener(Follower):
    """A client that reads the feed as a stream."""

    async def _turn(self, client: Client, wait: int) -> None:
        """Read the stream until it ends; without *wait*, only the changes that exist at its start."""
        more = "&include=records" if self.with_records else ""
        async with streaming(client, f"since={self.cursor}{more}") as stream:
            if not self._goes_on(stream.answer.status):
                return
            while (event := await stream.block()) is not None:
                if event.data is not None:
                    self._take_change(event.data)
                elif event.id is not None:
                    self._reached(event.id)
                    if not wait:
                        return
