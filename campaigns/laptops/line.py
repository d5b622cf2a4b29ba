"""The lines to a server: each delays, drops and repeats requests, and serves old answers, by chance.

What went over them is written down, for two moments that the protocol leaves open. A word that somebody
wrote on the server itself may be overwritten between smtd's look and its write: no laptop has the word. And
somebody may delete a record on the server while a laptop writes to it: the word is gone with the record.
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import aiohttp
import anyio
from aiohttp import web

_PASSED = ("Authorization", "Accept", "Content-Type")
#: Seconds for which an old answer is served, and for which a request is delayed, at the most.
OLD, LATE = 0.4, 0.1
#: Seconds in which smtd may not yet know what others wrote.
SOON = 1.0


class Answer(NamedTuple):
    """What the server said; *link* is where its API is, if it has one."""

    status: int
    body: bytes
    link: str = ""

    @property
    def response(self) -> web.Response:
        """The same for a client."""
        headers = {"Link": self.link} if self.link else {}
        return web.Response(
            status=self.status, body=self.body, content_type="application/json", headers=headers
        )


#: The method of an exchange that is no request: the answer to a bulk write, or a page of the feed, says what
#: a record holds now.
READ_BACK = "READ BACK"


class Exchange(NamedTuple):
    """One request of *who*, at a moment of the loop's clock; an *old* answer did not come from the server."""

    at: float
    who: str
    method: str
    path: str
    old: bool = False
    body: bytes = b""


@dataclass
class Lines:
    """All that goes to a server; *badness* is the share of requests that go wrong.

    *routes* has for everybody the roots to which the requests go: each to any of them, by chance.
    """

    routes: Mapping[str, Sequence[str]]
    client: aiohttp.ClientSession
    chance: Random
    badness: float
    counts: Counter[str]
    log: list[Exchange] = field(default_factory=list)
    #: Earlier answers by path, and what a cache on the way to someone still serves, until when.
    answers: defaultdict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    frozen: dict[tuple[str, str], tuple[float, Answer]] = field(default_factory=dict)

    async def ask(self, who: str, request: web.BaseRequest, body: bytes) -> Answer:
        """Pass a request on, and return the answer."""
        headers = {name: value for name, value in request.headers.items() if name in _PASSED}
        answer = await self.send(who, request.method, request.raw_path, body, headers)
        if request.method == "GET":
            self.answers[request.raw_path].append(answer)
        return answer

    async def send(self, who: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send a request to the server itself. Raises aiohttp.ClientError if no answer comes."""
        now, root = anyio.current_time(), self.chance.choice(self.routes[who])
        self.log += (Exchange(now, who, *each) for each in _requests(method, path, body))
        sent = len(self.log)
        async with self.client.request(
            method, f"{root}{path}", data=io.BytesIO(body), headers=headers, allow_redirects=False
        ) as response:
            answer = Answer(response.status, await response.read(), response.headers.get("Link", ""))
        if answer.status == 200:
            # A bulk write is conditional: what was done was done before any other change that was sent later.
            at = sent if path.endswith("records:write") else len(self.log)
            self.log[at:at] = [Exchange(now, who, READ_BACK, each) for each in _shown(path, answer.body)]
        return answer

    def overwritten(self, path: str, at: float) -> bool:
        """Say whether somebody wrote to *path* who had last looked, in truth, before the moment *at*."""
        seen: dict[str, float] = {}
        looked: dict[str, float] = {}
        for each in self.log:
            if each.path != path or each.method == READ_BACK:
                continue
            if each.method == "GET":
                looked[each.who] = each.at
                if not each.old:
                    seen[each.who] = each.at
            elif each.at > at and seen.get(each.who, 0.0) < at and each.at - looked.get(each.who, 0.0) < SOON:
                return True
        return False

    def deleted_unseen(self, word: str, who: str) -> bool:
        """Say whether *who* deleted a record in which another had *word*, and had not looked since.

        The other wrote it and read it back before the deletion, or the server did and answered so: nothing
        distinguishes that from any other deletion. Or *who* first saved an older state over it, without a
        condition, and deleted that before smtd could know of it.
        """
        for path in {each.path for each in self.log if word.encode() in each.body}:
            writer, has_read_back, overwritten = "", False, float("-inf")
            for each in (each for each in self.log if each.path == path and not each.old):
                if each.who == who:
                    if each.method == "DELETE" and (has_read_back or each.at - overwritten < SOON):
                        return True
                    if each.method == "PUT" and has_read_back:
                        overwritten = each.at
                    writer, has_read_back = "", False
                elif each.method == "PUT" and word.encode() in each.body:
                    writer, overwritten = each.who, float("-inf")
                elif each.method in ("GET", READ_BACK) and each.who == writer:
                    has_read_back = True
        return False


def _requests(method: str, path: str, body: bytes) -> Iterator[tuple[str, str, bool, bytes]]:
    """Yield the method, path and body of the requests that a bulk request stands for; else of itself."""
    verb = path.rpartition("records:")[2]
    if method != "POST" or verb not in ("get", "write"):
        yield method, path, False, body
        return
    for line in body.splitlines():
        said = json.loads(line)
        record = f"/records/{said['project']}/{said['label']}/"
        writes = "DELETE" if said.get("record") is None else "PUT"
        yield "GET" if verb == "get" else writes, record, False, line


def _shown(path: str, answer: bytes) -> Iterator[str]:
    """Yield the paths of the records whose state *answer* gives: to a bulk write, or a page of the feed."""
    if path.endswith("records:write"):
        said = [one for one in map(json.loads, answer.splitlines()) if one["outcome"] == "done"]
    elif "/changes?" in path:
        said = [one for one in json.loads(answer)["changes"] if one["digest"] is not None]
    else:
        said = []
    for one in said:
        yield f"/records/{one['project']}/{one['label']}/"


@dataclass
class Line:
    """The line of one laptop, called *who*."""

    lines: Lines
    who: str

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, or do what a bad line does; cut it if the server is killed, or not there."""
        body = await request.content.read()
        try:
            return await self._answered(request, body)
        except aiohttp.ClientError:
            self.lines.counts["requests without an answer"] += 1
            return _cut(request)

    async def _answered(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        lines = self.lines
        place = (self.who, request.raw_path)
        if request.method == "GET" and (old := self._frozen(place)) is not None:
            lines.log.append(Exchange(anyio.current_time(), self.who, "GET", request.raw_path, old=True))
            return old.response
        if lines.chance.random() >= lines.badness:
            return (await lines.ask(self.who, request, body)).response
        what = lines.chance.choice(("delay", "drop", "drop the answer", "repeat", "old answer"))
        if what == "old answer":
            earlier = lines.answers[request.raw_path][-4:]
            if request.method != "GET" or not earlier:
                return (await lines.ask(self.who, request, body)).response
            until = anyio.current_time() + lines.chance.uniform(0.0, OLD)
            lines.frozen[place] = (until, lines.chance.choice(earlier))
        lines.counts[what] += 1
        return await self._spoilt(what, request, body)

    async def _spoilt(self, what: str, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        lines = self.lines
        if what == "old answer":
            return lines.frozen[self.who, request.raw_path][1].response
        if what == "delay":
            await anyio.sleep(lines.chance.uniform(0.0, LATE))
        if what != "drop":
            answer = await lines.ask(self.who, request, body)
        if what == "repeat":
            answer = await lines.ask(self.who, request, body)
        if what in ("delay", "repeat"):
            return answer.response
        return _cut(request)

    def _frozen(self, place: tuple[str, str]) -> Answer | None:
        until, old = self.lines.frozen.get(place, (0.0, None))
        return old if anyio.current_time() < until else None


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """Cut the connection of *request*; no client gets what this returns."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@asynccontextmanager
async def laid(lines: Lines, names: list[str]) -> AsyncIterator[dict[str, str]]:
    """Lay a line for each of *names*; give the root at which each of them begins."""
    roots = {}
    async with AsyncExitStack() as stack:
        for who in names:
            runner = web.ServerRunner(web.Server(Line(lines, who).answer), shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            roots[who] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield roots
