"""`POST /api/v1/records:get` and `records:write`: many records in one request, a line for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TypeAlias, TypeVar

import anyio
from aiohttp import web
from anyio import to_thread

from smtd.errors import RecordUnusable
from smtd.gather import gather
from smtd.records.record import Key
from smtd.server import bulk_lines
from smtd.server.accounts.rights import Right
from smtd.server.answers import RequestRefused, challenge, found
from smtd.server.authorization import check_right, current_caller, no_project
from smtd.server.body import Bodies
from smtd.server.bulk_lines import NDJSON, RecordLine
from smtd.server.caller import Caller, Reauthenticate
from smtd.server.change_log import NOTHING
from smtd.server.changes_api import VIEWS
from smtd.server.database import ServedDatabase
from smtd.server.memory import SeenView
from smtd.server.records_api import LARGE
from smtd.server.transaction import Current, Put, WriteTransaction, current_of
from smtd.server.writer import Writer
from smtd.stores.django.shared_rows import RowNotStored

T = TypeVar("T")
#: The most bytes of a request, and of an answer, unless its first record is larger.
LARGEST = 16 * 2**20
#: Lines that are looked up, or wait for the writer, at the same time.
AT_ONCE = 100
#: About the most characters of records that are read together, unless the first is larger.
READ_TOGETHER = 2**20
#: Requests of each kind that are carried out at the same time, with their records in memory.
REQUESTS = 4
#: An outcome of a write, and the digest of what its key then holds.
_Done: TypeAlias = tuple[str, str | None]
#: What a job raises of a record that the database does not keep.
_NOT_KEPT = (RecordUnusable, RowNotStored)


@dataclass(frozen=True, slots=True)
class BulkApi:
    """Answers requests for many records."""

    _database: ServedDatabase
    _writer: Writer
    _bodies: Bodies
    # Two, so that readers do not wait behind writers, which may wait for a lock of another program.
    _reading: anyio.Semaphore = field(default_factory=partial(anyio.Semaphore, REQUESTS))
    _writing: anyio.Semaphore = field(default_factory=partial(anyio.Semaphore, REQUESTS))

    async def get(
        self, request: web.Request, caller: Caller, reauthenticate: Reauthenticate
    ) -> web.StreamResponse:
        """Return what the keys hold that the lines of *request* name. Raises RequestRefused."""
        async with self._bodies.read(request, LARGEST) as body, self._reading:
            keys = await _understood(bulk_lines.keys, body)
            now = await reauthenticate()
            if now is None:
                raise challenge()
            answer = _Answer()
            for start in range(0, len(keys), AT_ONCE):
                await self._add(answer, keys[start : start + AT_ONCE], now)
        return found(b"".join(answer.lines), NDJSON)

    async def _add(self, answer: _Answer, keys: Sequence[Key], caller: Caller) -> None:
        """Add a line for each of *keys* to *answer*."""
        hidden = {key.project for key in keys if not caller.may(Right.READ, key.project)}
        forbidden = await self._database.existing(hidden)
        sizes = await self._database.measured([key for key in keys if key.project not in hidden])
        for some in _together(keys, sizes):
            wanted = answer.wanted([key for key in some if key.project not in hidden], sizes)
            shown = await self._database.current_records(wanted)
            # A hidden project has no records if it does not exist; else they are denied.
            shown |= {key: current_of(key, ()) for key in some if key.project in hidden}
            denied = {
                key: f"{caller.name} has no right to read project {key.project}"
                for key in some
                if key.project in forbidden
            }
            await to_thread.run_sync(partial(answer.add, some, shown, denied))

    async def write(
        self, request: web.Request, caller: Caller, reauthenticate: Reauthenticate
    ) -> web.StreamResponse:
        """Carry out the lines of *request*, one after the other, and return the outcome of each.

        Each is done whole or not at all, also if the client disconnects. Raises RequestRefused.
        """
        if caller.user is None:
            raise challenge()
        lines: list[bytes] = []
        async with self._bodies.read(request, LARGEST) as body, self._writing:
            writes = await _understood(bulk_lines.writes, body)
            now: Caller | None = await current_caller(reauthenticate)
            for some in _portions(writes):
                if now is None:
                    why = f"{caller.name} may not log in any more"
                    lines += [bulk_lines.denied(write.key, "forbidden", why) for write in some]
                    continue
                lines += await self._carry_out(some, now)
                now = await _now(reauthenticate)
        view = (now or caller).view().fingerprint
        seen = self._database.views.get(caller.username, {}).get(view, SeenView(0))
        number = self._database.head * VIEWS + seen.number % VIEWS
        return found(b"".join(lines), NDJSON, {"Smtd-Number": str(number)})

    async def _carry_out(self, writes: Sequence[RecordLine], caller: Caller) -> list[bytes]:
        """Carry out *writes*, which have different keys; return the line of each.

        Raises StoreError; then some may be done.
        """
        refused = {
            write.key: bulk_lines.denied(write.key, "refused", write.refusal)
            for write in writes
            if write.refusal
        }
        left = [write for write in writes if not write.refusal]
        try:
            done = await self._writer.submit(partial(_write_all, left, caller), size=len(left))
        except (RequestRefused, *_NOT_KEPT):
            # Each is a job of its own, so that the writer takes back alone what fails.
            alone = await gather([partial(self._line, write, caller) for write in left])
            lines = {write.key: line for write, line in zip(left, alone, strict=True)}
        else:
            lines = {
                key: bulk_lines.answer(key, outcome, digest=digest) for key, (outcome, digest) in done.items()
            }
        lines |= refused
        return [lines[write.key] for write in writes]

    async def _line(self, write: RecordLine, caller: Caller) -> bytes:
        """Carry out *write*; return its line of the answer."""
        try:
            done = await self._writer.submit(partial(_write_all, [write], caller))
        except RequestRefused as exc:
            outcome = "forbidden" if exc.status == HTTPStatus.FORBIDDEN else "refused"
            return bulk_lines.denied(write.key, outcome, str(exc))
        except _NOT_KEPT as exc:
            return bulk_lines.denied(write.key, "refused", f"the record cannot be kept: {exc}")
        outcome, digest = done[write.key]
        return bulk_lines.answer(write.key, outcome, digest=digest)


async def _write_all(
    writes: Sequence[RecordLine], caller: Caller, transaction: WriteTransaction
) -> dict[Key, _Done]:
    """Carry out *writes*, all or none; return the outcome of each, and the digest of what is then there.

    What was written is read back for that. Raises RequestRefused, and _NOT_KEPT.
    """
    for project in {write.key.project for write in writes}:
        if await transaction.project(project) is None:
            raise no_project(project)
        await check_right(transaction, caller, Right.WRITE, project)
    current = await transaction.all_current([write.key for write in writes])
    done: dict[Key, _Done] = {}
    puts: list[Put] = []
    for write in writes:
        there = current[write.key]
        if (without := _without_writing(write, there.content.validator)) is not None:
            done[write.key] = without
        elif write.record is None or write.columns is None or write.digest is None:
            await transaction.delete(there)
            done[write.key] = ("done", None)
        else:
            if there.content.problem:
                await transaction.delete(there)
                there = Current(write.key, (), NOTHING)
            puts.append(Put(there, write.record, write.columns, write.digest))
    if puts:
        back = await transaction.put_all(puts)
        done |= {key: ("done", content.validator) for key, content in back.items()}
    return done


def _without_writing(write: RecordLine, there: str | None) -> _Done | None:
    """Return the outcome of *write* if the key, which holds *there*, is not to be changed."""
    # Not so a deletion: what is absent is not what was expected, and the client should know.
    if there == write.digest and (write.record is not None or write.expect is None):
        return "done", there
    return ("stale", there) if there != write.expect else None


class _Answer:
    """The lines of an answer to `get`; their records have a bound together, but the first is always given."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._left = LARGEST
        self._has_record = False

    def wanted(self, keys: Sequence[Key], sizes: Mapping[Key, int]) -> set[Key]:
        """Return those of *keys* whose records fit as far as their *sizes* say: the others are not read."""
        chosen: set[Key] = set()
        left, is_first = self._left, not self._has_record
        for key in keys:
            size = sizes.get(key, 0)
            if not size or size <= left or is_first:
                chosen.add(key)
                left -= size
                is_first = is_first and not size
        return chosen

    def add(self, keys: Sequence[Key], shown: Mapping[Key, Current], denied: Mapping[Key, str]) -> None:
        """Add a line for each of *keys*: what it holds, or why it is not *shown*. Blocks."""
        for key in keys:
            if key in denied:
                line = bulk_lines.denied(key, "forbidden", denied[key])
            else:
                line = self._line(key, shown.get(key))
            self.lines.append(line)
            self._left -= len(line)

    def _line(self, key: Key, held: Current | None) -> bytes:
        later = bulk_lines.answer(key, "later")
        if held is None:
            return later
        line = bulk_lines.shown(key, held)
        if held.content.digest is None:
            return line
        if self._has_record and len(line) > self._left:
            return later
        self._has_record = True
        return line


async def _understood(parse: Callable[[bytes], T], body: bytes) -> T:
    """Return what *parse* returns for *body*, which may take a while. Raises RequestRefused."""
    return await to_thread.run_sync(parse, body) if len(body) > LARGE else parse(body)


async def _now(reauthenticate: Reauthenticate) -> Caller | None:
    """Return the caller with their current rights; None if they may not log in any more.

    Raises RequestRefused if that cannot be said now, for example after too many failed logins.
    """
    try:
        return await current_caller(reauthenticate)
    except RequestRefused as exc:
        if exc.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return None
        raise


def _together(keys: Sequence[Key], sizes: Mapping[Key, int]) -> Iterator[list[Key]]:
    """Yield *keys* in parts that have about READ_TOGETHER characters by their *sizes*."""
    some: list[Key] = []
    size = 0
    for key in keys:
        size += sizes.get(key, 0)
        if some and size > READ_TOGETHER:
            yield some
            some, size = [], sizes.get(key, 0)
        some.append(key)
    if some:
        yield some


def _portions(writes: Sequence[RecordLine]) -> Iterator[list[RecordLine]]:
    """Yield *writes* in parts of up to AT_ONCE, none of which has a key twice: those go in order."""
    some: dict[Key, RecordLine] = {}
    for write in writes:
        if write.key in some or len(some) == AT_ONCE:
            yield list(some.values())
            some = {}
        some[write.key] = write
    if some:
        yield list(some.values())
