"""`/records/PROJECT/LABEL/`: the record requests of Sumatra's own clients (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

import anyio
from aiohttp import web
from anyio import to_thread

from smtd.errors import RecordUnusable
from smtd.records.record import Key, Record
from smtd.server import record_form, targets
from smtd.server.accounts.rights import Right
from smtd.server.answers import (
    RequestRefused,
    answer_by_method,
    check_conditions,
    empty,
    found,
    media_type,
    not_modified,
)
from smtd.server.authorization import check_right, current_caller, require_right
from smtd.server.body import LARGEST, Bodies
from smtd.server.caller import Caller, Reauthenticate
from smtd.server.change_log import Content
from smtd.server.database import ServedDatabase
from smtd.server.listings import Listings
from smtd.server.record_form import BadDocument
from smtd.server.record_update import Annotations, updated
from smtd.server.transaction import Current, WriteTransaction, columns
from smtd.server.validators import etag
from smtd.server.writer import Writer

#: A body with more bytes is parsed in a thread, and a record with more characters encoded in one.
LARGE = 256 * 2**10
#: Records that one transaction deletes: other jobs wait for it.
DELETE_BATCH = 50
#: Records that are read for an answer at the same time: each may be as large as a body.
CONCURRENT_READS = 4


@dataclass(frozen=True, slots=True)
class RecordsApi:
    """Answers requests for records."""

    _database: ServedDatabase
    _writer: Writer
    _listings: Listings
    _bodies: Bodies
    _reading: anyio.Semaphore = field(default_factory=partial(anyio.Semaphore, CONCURRENT_READS))

    async def answer(
        self, request: web.Request, key: Key, caller: Caller, reauthenticate: Reauthenticate
    ) -> web.StreamResponse:
        """Return the answer to *request*, which is about the record *key*.

        *reauthenticate* returns the caller with their current rights, as a body may take hours to arrive.
        Raises RequestRefused.
        """
        return await answer_by_method(
            request,
            {
                "GET": partial(self._get, request, key, caller),
                "PUT": partial(self._put, request, key, caller, reauthenticate),
                "DELETE": partial(self._delete, request, key, caller),
            },
        )

    async def _get(self, request: web.Request, key: Key, caller: Caller) -> web.Response:
        await require_right(self._database, caller, Right.READ, key.project)
        kind = media_type(request.headers.get("Accept", ""), "record")
        row, is_certain = await self._database.last_change(key)
        known = row.content.digest if row is not None and is_certain else None
        if known is not None:
            unchanged = not_modified(request.headers, known, f"record {key}")
            if unchanged is not None:
                return unchanged
        async with self._reading:
            key, current = await self._current(key)
            validator, record = current.content.digest, None if current.content.problem else current.record
            if record is None or validator is None:
                raise _unavailable(key, current.content.problem)
            unchanged = not_modified(request.headers, validator, f"record {key}")
            if unchanged is not None:
                return unchanged
            return found(await _encoded(record, key), kind, {"ETag": etag(validator)})

    async def _current(self, key: Key) -> tuple[Key, Current]:
        """Return *key* and its record; for the label `last`, if no record has it, those of the newest."""
        current = (await self._database.current_records([key]))[key]
        if not current.content.has_record and key.label == targets.LAST:
            newest = (await self._listings.of(key.project)).newest
            if newest is not None:
                key = Key(key.project, newest)
                current = (await self._database.current_records([key]))[key]
        return key, current

    async def _put(
        self, request: web.Request, key: Key, caller: Caller, reauthenticate: Reauthenticate
    ) -> web.Response:
        await require_right(self._database, caller, Right.WRITE, key.project)
        async with self._bodies.read(request, LARGEST) as body:
            parse = partial(_parsed, body, key)
            sent = await to_thread.run_sync(parse) if len(body) > LARGE else parse()
            put = partial(_put, key, sent, request.headers, await current_caller(reauthenticate))
            status, content = await self._writer.submit(put)
        return empty(status, {"ETag": etag(content.validator or "")})

    async def _delete(self, request: web.Request, key: Key, caller: Caller) -> web.Response:
        await require_right(self._database, caller, Right.WRITE, key.project)
        headers = request.headers

        async def delete(transaction: WriteTransaction) -> None:
            await check_right(transaction, caller, Right.WRITE, key.project)
            current = await transaction.current(key)
            if not current.content.has_record:
                raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no record {key}")
            check_conditions(headers, current.content.validator, f"record {key}")
            await transaction.delete(current)

        count = 0

        async def delete_tagged(transaction: WriteTransaction) -> bool:
            """Delete some of the records that have the tag; say whether none were left."""
            await check_right(transaction, caller, Right.WRITE, key.project)
            tag = key.label.removeprefix(targets.TAG)
            labels = (await transaction.tagged_labels(key.project, [tag]))[:DELETE_BATCH]
            for label in labels:
                await transaction.delete(await transaction.current(Key(key.project, label)))
            transaction.after_commit.append(lambda: add(len(labels)))
            return not labels

        def add(some: int) -> None:
            nonlocal count
            count += some

        try:
            await self._writer.submit(delete)
        except RequestRefused as exc:
            if exc.status != HTTPStatus.NOT_FOUND or not key.label.startswith(targets.TAG):
                raise
        else:
            return empty(HTTPStatus.NO_CONTENT)
        await self._writer.submit(delete_tagged, until=bool)
        return found(b"%d" % count, "application/json")


async def _put(
    key: Key,
    sent: Record | Annotations,
    headers: Mapping[str, str],
    caller: Caller,
    transaction: WriteTransaction,
) -> tuple[HTTPStatus, Content]:
    """Store under *key* what the client *sent*; return the status, and the content that is then there."""
    if await transaction.project(key.project) is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no project {key.project}; create it first")
    await check_right(transaction, caller, Right.WRITE, key.project)
    current = await transaction.current(key)
    check_conditions(headers, current.content.validator, f"record {key}")
    if current.content.problem:
        raise RequestRefused(
            HTTPStatus.CONFLICT, f"record {key} cannot be read; delete it, and send it again"
        )
    before = current.record
    if before is None:
        if isinstance(sent, Annotations):
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no record {key}; send the whole record")
        return HTTPStatus.CREATED, await transaction.put(current, sent)
    after = updated(before, sent)
    if after is before:
        return HTTPStatus.OK, current.content
    return HTTPStatus.OK, await transaction.put(current, after)


def _parsed(body: bytes, key: Key) -> Record | Annotations:
    """Return what the client sent in a PUT on *key*.

    Raises RequestRefused for a malformed body, or a record that Sumatra could not read back.
    """
    try:
        sent = record_form.parsed_put(body, key)
        if isinstance(sent, Record):
            columns(sent)
    except BadDocument as exc:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
    except RecordUnusable as exc:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"the record cannot be stored: {exc}") from exc
    return sent


def _unavailable(key: Key, problem: str) -> RequestRefused:
    if problem:
        what = f"record {key} cannot be shown ({problem}); delete it, or correct it in the database"
        return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, what)
    return RequestRefused(HTTPStatus.NOT_FOUND, f"there is no record {key}")


async def _encoded(record: Record, key: Key) -> bytes:
    def write() -> bytes:
        return record_form.encoded(record_form.document(record, key.project))

    size = len(record.stdout_stderr or "") + len(record.diff or "")
    try:
        return await to_thread.run_sync(write) if size > LARGE else write()
    except RecordUnusable as exc:
        raise _unavailable(key, str(exc)) from exc
