"""One story: laptops that meet at a server, people at each of them, and others at the server itself."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import aiohttp
import anyio
from yarl import URL

from campaigns.campaign import Tally
from campaigns.comparing import differing
from campaigns.laptops.laptop import Laptop
from campaigns.laptops.line import Answer, Lines, laid
from campaigns.laptops.server import Server
from smtd.output.english import sentence
from smtd.records.record import Key, Record
from smtd.stores.access import Access
from smtd.stores.http import form
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import commented, record, tagged
from tests.peers.server import PASSWORD, USERS
from tests.stories.words import words

SEED = 20261128
#: Cycles of every laptop at the end, at the most: after them all is at rest.
QUIET = 6
#: Up to so many records: with few of them, everybody is at the same ones.
FEW = 4
#: Statuses that leave open whether a request was carried out: no answer, and 503.
UNANSWERED = (0, 503)
_LOGIN = b64encode(f"{USERS[0]}:{PASSWORD}".encode()).decode()
_HEADERS = {
    "Authorization": f"Basic {_LOGIN}",
    "Accept": "application/json",
    "Content-Type": "application/json",
}


@dataclass
class Story:
    """One story, with the same draws for each *number*, in a project of its own on *server*."""

    directory: Path
    number: int
    server: Server
    tally: Tally
    #: Every word that was written, by whom; those that a person took away; and those that came to the server.
    written: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    #: What happened, in order: the evidence of a fault.
    log: list[str] = field(default_factory=list)
    #: Where and when each word was written on the server itself.
    there: dict[str, tuple[str, float]] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.chance = Random(SEED + self.number)
        self.project = f"story{self.number}"
        self.access = Access(username=USERS[0], password=PASSWORD)
        names = [f"laptop {letter}" for letter in "abcde"[: self.chance.choice((3, 3, 4, 5))]]
        self.draws = {name: Random(self.chance.random()) for name in [*names, "server", "kills"]}
        self.names = names

    async def run(self) -> None:
        """Let everything happen at once; then let all come to rest, and look at what is there."""
        async with aiohttp.ClientSession() as client:
            client._retry_connection = False  # otherwise aiohttp may send a request twice
            badness = self.chance.choice((0.0, 0.05, 0.15))
            lines = Lines(self._routes(), client, self.chance, badness, self.tally.counts)
            async with laid(lines, self.names) as roots:
                self.laptops = [self._laptop(name, root) for name, root in roots.items()]
                self._share()
                try:
                    async with anyio.create_task_group() as group:
                        for laptop in self.laptops:
                            group.start_soon(self._live, laptop)
                        group.start_soon(self._others, lines)
                        group.start_soon(self.server.disturb, self.draws["kills"], self.tally)
                    lines.badness = 0.0
                    lines.frozen.clear()
                    await self._rest()
                    await self._look(lines)
                finally:
                    for laptop in self.laptops:
                        await laptop.close()

    def _routes(self) -> dict[str, Sequence[str]]:
        """Draw who has a server of their own, and who meets another one with each request."""
        roots = self.server.roots
        return {name: self.chance.choice((*([root] for root in roots), roots)) for name in self.draws}

    def _laptop(self, name: str, root: str) -> Laptop:
        server = Location(HTTP, Path(), None, self.access, f"{root}{URL(self.server.urls[0]).path}")
        return Laptop(name, self.directory / name, server, frozenset({self.project}))

    def _share(self) -> None:
        """Give every laptop a copy of the same project, or an empty one."""
        for number in range(self.chance.choice((0, 2, 4))):
            shared = record(f"shared-{number}", outcome=self._new("all"))
            for laptop in self.laptops:
                laptop.store.put(self.project, shared)

    async def _live(self, laptop: Laptop) -> None:
        """Work at *laptop*, which syncs now and then, sleeps, and is killed."""
        chance = self.draws[laptop.name]
        for _ in range(chance.randint(4, 8)):
            what = chance.choice(("work", "work", "cycle", "cycle", "nap", "kill"))
            if what == "work":
                self._work(laptop, chance)
            elif what == "nap":
                await anyio.sleep(chance.uniform(0.0, 0.2))
            else:
                within = chance.uniform(0.0, 0.3) if what == "kill" else None
                await laptop.cycle(within, thorough=chance.random() < 0.2)
                self.tally.counts["cycles" if what == "cycle" else "kills"] += 1
                self._note(laptop.name, what)

    def _work(self, laptop: Laptop, chance: Random) -> None:
        """Let a person do something to one record of *laptop*."""
        records = laptop.store.records
        what = chance.choice(("comment", "comment", "tag", "tag", "delete", *["run"] * (len(records) < FEW)))
        if what == "run" or not records:
            word = self._new(laptop.name)
            laptop.store.put(self.project, record(f"run-{word}", reason=word))
            self._note(laptop.name, f"run-{word}")
            self.tally.counts["run"] += 1
            return
        key = chance.choice(sorted(records))
        self.tally.counts[what] += 1
        if what == "delete":
            self.removed |= words([records[key]])
            laptop.store.remove(*key)
            self._note(laptop.name, f"delete {key.label}")
            return
        word = self._new(laptop.name)
        edit = commented if what == "comment" else tagged
        laptop.store.put(self.project, edit(records[key], word))
        self._note(laptop.name, f"{what} {key.label} {word}")

    async def _others(self, lines: Lines) -> None:
        """Let others edit on the server itself, by the requests of Sumatra's own client."""
        chance = self.draws["server"]
        for _ in range(chance.randint(0, 8)):
            await anyio.sleep(chance.uniform(0.0, 1.0))
            listing = await self._ask(lines, "GET", f"/records/{self.project}/")
            if listing.status == 200 and (addresses := json.loads(listing.body)["records"]):
                await self._edit(lines, URL(chance.choice(sorted(addresses))).path, chance)

    async def _edit(self, lines: Lines, path: str, chance: Random) -> None:
        """Edit one record on the server: read it, and save all of it, as `smt comment` does."""
        found = await self._ask(lines, "GET", path)
        if found.status != 200:
            return
        before = form.read(found.body, Key(self.project, path.rstrip("/").rpartition("/")[2]))
        what = chance.choice(("comment", "tag", "delete"))
        word = self._new("server")
        edit: Callable[[Record, str], Record] = commented if what == "comment" else tagged
        body = b"" if what == "delete" else form.body(edit(before, word))
        at = anyio.current_time()
        done = await self._ask(lines, "DELETE" if what == "delete" else "PUT", path, body)
        self.tally.counts[f"{what} on the server"] += 1
        self._note("server", f"{what} {before.label} {word}: {done.status}")
        if what == "delete":
            del self.written[word]
            if done.status == 204 or done.status in UNANSWERED:
                self.removed |= words([before])
        elif done.status in UNANSWERED:
            self.tally.counts["edits on the server without an answer"] += 1
            del self.written[word]
        else:
            self.there[word] = (path, at)

    async def _ask(self, lines: Lines, method: str, path: str, body: bytes = b"") -> Answer:
        """Send a request of others; the status is 0 if no answer comes."""
        try:
            return await lines.send("server", method, path, body, _HEADERS)
        except aiohttp.ClientError:
            return Answer(0, b"")

    async def _held(self, url: str) -> tuple[dict[Key, Record], set[Key]]:
        """Return the records at *url*, and the keys of those that cannot be read."""
        async with open_store(Location(HTTP, Path(), None, self.access, url)) as store:
            scan = await store.scan([self.project])
            return await store.read(sorted(scan.digests)), set(scan.unreadable)

    async def _rest(self) -> None:
        """Run cycles until none writes any more."""
        for _ in range(QUIET):
            moved = False
            for laptop in self.laptops:
                report = await laptop.cycle(thorough=True)
                moved |= report is None or report.wrote
            if not moved:
                return
        self._wrong("differences", f"it does not come to rest: {[each.errors[-1:] for each in self.laptops]}")

    async def _look(self, lines: Lines) -> None:
        """Compare what everybody has, and look for every word."""
        doubled = self.server.run(
            "SELECT label FROM django_store_record WHERE project_id = ? GROUP BY label HAVING count(*) > 1",
            self.project,
        )
        if doubled:
            self._wrong("doubles", ", ".join(label for (label,) in doubled))
        held, unreadable = await self._held(self.server.urls[0])
        for url in self.server.urls[1:]:
            if differ := differing(held, (await self._held(url))[0]):
                self._wrong("differences", f"{url} differs in {_labels(differ)}")
        stores = {"server": held} | {each.name: each.store.records for each in self.laptops}
        for laptop in self.laptops:
            differ = differing(held, laptop.store.records) | unreadable
            if unlisted := differ - laptop.listed.keys():
                self._wrong("differences", f"{laptop.name} differs in {_labels(unlisted)}")
            failed = [] if laptop.report is None else laptop.report.failed
            if failed and not doubled:
                self._wrong(
                    "differences", f"{laptop.name}: {failed[0].label} failed: {sentence(failed[0].why)}"
                )
            self.tally.counts["left to a person"] += len(laptop.listed)
        self._search(stores, lines)

    def _search(self, stores: dict[str, dict[Key, Record]], lines: Lines) -> None:
        held = words(each for records in stores.values() for each in records.values())
        history = words(each for laptop in self.laptops for each in laptop.history())
        for word in sorted(self.written.keys() - held - self.removed):
            if word in self.there and lines.overwritten(*self.there[word]):
                self.tally.counts["words of others overwritten between a look and a write"] += 1
                continue
            if lines.deleted_unseen(word, "server"):
                self.tally.counts["words deleted on the server by clients that had not seen them"] += 1
                continue
            where = "it is in a history" if word in history else "it is in no history"
            self._wrong("losses", f"{word} of {self.written[word]} ({where})")

    def _new(self, who: str) -> str:
        word = f"word{next(self._numbers)}x"
        self.written[word] = who
        return word

    def _note(self, who: str, what: str) -> None:
        self.log.append(f"{anyio.current_time() % 1000:.3f} {who}: {what}")

    def _wrong(self, kind: str, what: str) -> None:
        getattr(self.tally, kind).append(f"story {self.number}: {what} after {'; '.join(self.log)}")


def _labels(keys: Iterable[Key]) -> str:
    return ", ".join(sorted(key.label for key in keys))
