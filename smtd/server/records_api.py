"""`/records/`: what Sumatra's own clients ask for (docs/formats.md), each request one function."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web
from anyio import to_thread

from smtd.errors import RecordUnusable
from smtd.records.record import Key, Record
from smtd.server import record_form, targets
from smtd.server.accepting import Annotations, accepted
from smtd.server.access import Again, Caller
from smtd.server.accounts.rights import Right
from smtd.server.answers import RequestRefused, challenge, empty, found, media_type
from smtd.server.body import LARGEST, SMALL, Bodies
from smtd.server.change_log import Content
from smtd.server.database import ServedDatabase, Shown
from smtd.server.listings import Listings
from smtd.server.record_form import BadDocument
from smtd.server.targets import Target
from smtd.server.transaction import ProjectInfo, WriteTransaction, columns
from smtd.server.validators import Precondition, etag, judged, project_validator
from smtd.server.writer import Writer

#: Bytes of a body, or characters of a record, from which on it is understood in a thread.
LARGE = 256 * 2**10
#: Records that are deleted in one transaction: others wait for it.
AT_ONCE = 50
#: Characters of the name of a project.
_LONGEST_NAME = 200
#: Tags by which a listing is chosen: others are left out.
_MOST_TAGS = 500
_STALE = "it is not what the request expects; read it again"


class RecordsApi:
    """Answers requests below `/records/` from *database*; what changes anything is done by *writer*."""

    def __init__(self, database: ServedDatabase, writer: Writer, listings: Listings, bodies: Bodies) -> None:
        self._database = database
        self._writer = writer
        self._listings = listings
        self._bodies = bodies

    async def answer(
        self, request: web.Request, target: Target, caller: Caller, again: Again, base: str
    ) -> web.StreamResponse:
        """Return the answer to *request*, which is about *target*; *base* is the address of `/records/`.

        *again* tells what the caller may do by now: a body may take hours. Raises RequestRefused.
        """
        methods: Mapping[str, Any]
        if not target.project:
            methods = {"GET": partial(self._list_projects, request, caller, base)}
        elif not target.label:
            methods = {
                "GET": partial(self._get_project, request, target.project, caller, base),
                "PUT": partial(self._put_project, request, target.project, caller, again),
                "DELETE": partial(self._delete_project, target.project, caller),
            }
        else:
            key = Key(target.project, target.label)
            methods = {
                "GET": partial(self._get, request, key, caller),
                "PUT": partial(self._put, request, key, caller, again),
                "DELETE": partial(self._delete, request, key, caller),
            }
        method = methods.get("GET" if request.method == "HEAD" else request.method)
        if method is None:
            allowed = {"Allow": ", ".join([*methods, "HEAD"])}
            raise RequestRefused(
                HTTPStatus.METHOD_NOT_ALLOWED, f"nothing here can be {request.method}", allowed
            )
        answer: web.StreamResponse = await method()
        return answer

    def _need(self, caller: Caller, right: Right, project: str) -> ProjectInfo:
        """Return the *project*, in which the *caller* has that *right*. Raises RequestRefused (403, 404)."""
        info = self._database.projects.get(project)
        if info is None:
            raise _no_project(project)
        if not caller.may(right, project):
            raise _forbidden(caller, right, project)
        return info

    # Projects

    async def _list_projects(self, request: web.Request, caller: Caller, base: str) -> web.Response:
        newest = await self._database.newest()
        shown = [
            {
                "id": name,
                "name": info.name or name,
                "description": info.description,
                "uri": base + targets.path(name),
                "last_updated": newest.get(name, ""),
            }
            for name, info in sorted(self._database.projects.items())
            if caller.may(Right.READ, name)
        ]
        kind = media_type(request.headers.get("Accept", ""), "project-list")
        return found(record_form.encoded(shown), kind)

    async def _get_project(
        self, request: web.Request, project: str, caller: Caller, base: str
    ) -> web.Response:
        info = self._need(caller, Right.READ, project)
        kind = media_type(request.headers.get("Accept", ""), "project")
        tags = [tag for tag in request.query.get("tags", "").split(",") if tag][:_MOST_TAGS]
        listing = await self._listings.of(project)
        validator = project_validator(listing.seq, *(info.name, info.description), base, tags, caller.name)
        headers = {"ETag": etag(validator)}
        verdict = judged(request.headers, validator, reads=True)
        if verdict is Precondition.NOT_MODIFIED:
            return empty(HTTPStatus.NOT_MODIFIED, headers)
        if verdict is Precondition.FAILED:
            raise RequestRefused(HTTPStatus.PRECONDITION_FAILED, f"project {project}: {_STALE}")
        ends = listing.addresses
        if tags:
            tagged = set(await self._database.tagged(project, tags))
            ends = {label: end for label, end in ends.items() if label in tagged}
        shown = {
            "id": project,
            "name": info.name,
            "description": info.description,
            "tags": tags,
            "user": caller.name,
            "records": [],
        }
        return found(_listed(shown, base + targets.path(project), ends.values()), kind, headers)

    async def _put_project(
        self, request: web.Request, project: str, caller: Caller, again: Again
    ) -> web.Response:
        with await self._bodies.read(request, SMALL) as body:
            said = _said(body)
        caller = await _still(again)
        may_make = caller.rights.may_create or caller.may(Right.WRITE, project)
        if project not in self._database.projects and not may_make:
            raise RequestRefused(HTTPStatus.FORBIDDEN, f"{caller.name} has no right to make projects")

        async def put(transaction: WriteTransaction) -> HTTPStatus:
            before = await transaction.project(project)
            if before is not None:
                await _check_right(transaction, caller, Right.WRITE, project)
            info = ProjectInfo(**{"name": "", "description": ""} | _fields(before) | said)
            if info == before:
                return HTTPStatus.OK
            if before is None:
                await transaction.forget_stale_rights()
                transaction.committed.append(partial(self._database.lacks_project, project))
            await transaction.put_project(project, info)
            transaction.committed.append(partial(self._database.has_project, project, info))
            if before is not None:
                return HTTPStatus.OK
            await transaction.set_right(project, caller.account, Right.OWNER)
            transaction.committed.append(partial(self._database.has_owner, project, caller.account))
            return HTTPStatus.CREATED

        return empty(await self._writer.submit(put))

    async def _delete_project(self, project: str, caller: Caller) -> web.Response:
        self._need(caller, Right.OWNER, project)

        async def delete(transaction: WriteTransaction) -> bool:
            """Delete some of what is left, and at last the project; say whether that is done."""
            await _check_right(transaction, caller, Right.OWNER, project)
            labels = await transaction.labels(project, AT_ONCE)
            for label in labels:
                await transaction.delete(await transaction.current(Key(project, label)))
            if labels:
                return False
            await transaction.delete_project(project)
            transaction.committed.append(partial(self._database.lacks_project, project))
            return True

        while not await self._writer.submit(delete):
            pass  # others are served in between
        return empty(HTTPStatus.NO_CONTENT)

    # Records

    async def _get(self, request: web.Request, key: Key, caller: Caller) -> web.Response:
        self._need(caller, Right.READ, key.project)
        kind = media_type(request.headers.get("Accept", ""), "record")
        row, is_certain = await self._database.known(key)
        if row is not None and is_certain and row.content.digest is not None:
            self._check(request, key, row.content.digest)
            if judged(request.headers, row.content.digest, reads=True) is Precondition.NOT_MODIFIED:
                return empty(HTTPStatus.NOT_MODIFIED, {"ETag": etag(row.content.digest)})
        key, shown = await self._shown(key)
        if shown.record is None or shown.validator is None:
            raise _not_shown(key, shown)
        self._check(request, key, shown.validator)
        headers = {"ETag": etag(shown.validator)}
        if judged(request.headers, shown.validator, reads=True) is Precondition.NOT_MODIFIED:
            return empty(HTTPStatus.NOT_MODIFIED, headers)
        return found(await _in_words(shown.record, key), kind, headers)

    async def _shown(self, key: Key) -> tuple[Key, Shown]:
        """Return what is there under *key*, or under the one that it stands for."""
        shown = (await self._database.show([key]))[key]
        if shown == Shown() and key.label == targets.LAST:
            newest = (await self._listings.of(key.project)).newest
            if newest is not None:
                key = Key(key.project, newest)
                shown = (await self._database.show([key]))[key]
        return key, shown

    def _check(self, request: web.Request, key: Key, validator: str) -> None:
        """Raise RequestRefused (412) if the conditions of a *request* to read do not hold."""
        if judged(request.headers, validator, reads=True) is Precondition.FAILED:
            raise RequestRefused(HTTPStatus.PRECONDITION_FAILED, f"record {key}: {_STALE}")

    async def _put(self, request: web.Request, key: Key, caller: Caller, again: Again) -> web.Response:
        self._need(caller, Right.WRITE, key.project)
        with await self._bodies.read(request, LARGEST) as body:
            understand = partial(_understood, body, key)
            sent = await to_thread.run_sync(understand) if len(body) > LARGE else understand()
            put = partial(_put, key, sent, request.headers, await _still(again))
            status, content = await self._writer.submit(put)
        return empty(status, {"ETag": etag(content.validator or "")})

    async def _delete(self, request: web.Request, key: Key, caller: Caller) -> web.Response:
        self._need(caller, Right.WRITE, key.project)
        headers = request.headers

        async def delete(transaction: WriteTransaction) -> None:
            await _check_right(transaction, caller, Right.WRITE, key.project)
            current = await transaction.current(key)
            if not current.content.is_there:
                raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no record {key}")
            _check_write(headers, key, current.content)
            await transaction.delete(current)

        async def delete_tagged(transaction: WriteTransaction) -> int:
            """Delete some of the records that have the tag, and return how many."""
            await _check_right(transaction, caller, Right.WRITE, key.project)
            tag = key.label.removeprefix(targets.TAG)
            labels = (await transaction.tagged(key.project, [tag]))[:AT_ONCE]
            for label in labels:
                await transaction.delete(await transaction.current(Key(key.project, label)))
            return len(labels)

        try:
            await self._writer.submit(delete)
        except RequestRefused as exc:
            if exc.status != HTTPStatus.NOT_FOUND or not key.label.startswith(targets.TAG):
                raise
        else:
            return empty(HTTPStatus.NO_CONTENT)
        count = 0
        while some := await self._writer.submit(delete_tagged):
            count += some
        return found(b"%d" % count, "application/json")


def _listed(shown: Mapping[str, Any], address: str, ends: Collection[str]) -> bytes:
    """Return *shown*, which ends in an empty list, with addresses in it: *address*, and each of *ends*."""
    whole = record_form.encoded(shown)
    if not ends:
        return whole
    start = record_form.encoded(address)[1:-1].decode()
    listed = f'"{start}' + f'","{start}'.join(ends) + '"'
    return whole.removesuffix(b"]}") + listed.encode() + b"]}"


_DEEDS = {Right.READ: "read project", Right.WRITE: "change project", Right.OWNER: "delete project"}


async def _still(again: Again) -> Caller:
    """Return who asks, and what they may do by now. Raises RequestRefused (401)."""
    caller = await again()
    if caller is None or caller.user is None:
        raise challenge()
    return caller


async def _check_right(transaction: WriteTransaction, caller: Caller, right: Right, project: str) -> None:
    """Raise RequestRefused (403, 404) if the *caller* has no such *right* in this moment of a transaction.

    Others may have taken it, or deleted the *project* and made it anew, since the request began.
    """
    if caller.rights.everywhere < right and await transaction.right(project, caller.account) < right:
        if await transaction.project(project) is None:
            raise _no_project(project)
        raise _forbidden(caller, right, project)


def _no_project(project: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.NOT_FOUND, f"there is no project {project}")


def _forbidden(caller: Caller, right: Right, project: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.FORBIDDEN, f"{caller.name} has no right to {_DEEDS[right]} {project}")


async def _put(
    key: Key,
    sent: Record | Annotations,
    headers: Mapping[str, str],
    caller: Caller,
    transaction: WriteTransaction,
) -> tuple[HTTPStatus, Content]:
    """Put what was *sent* under *key*; return the status, and what is there then."""
    if await transaction.project(key.project) is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no project {key.project}; make it first")
    await _check_right(transaction, caller, Right.WRITE, key.project)
    current = await transaction.current(key)
    _check_write(headers, key, current.content)
    if current.content.problem:
        raise RequestRefused(
            HTTPStatus.CONFLICT, f"record {key} cannot be read; delete it, and send it again"
        )
    before = current.record
    if before is None:
        if isinstance(sent, Annotations):
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no record {key}; send all of it")
        return HTTPStatus.CREATED, await transaction.put(current, sent)
    after = accepted(before, sent)
    if after is before:
        return HTTPStatus.OK, current.content
    return HTTPStatus.OK, await transaction.put(current, after)


def _check_write(headers: Mapping[str, str], key: Key, content: Content) -> None:
    if judged(headers, content.validator, reads=False) is Precondition.FAILED:
        raise RequestRefused(HTTPStatus.PRECONDITION_FAILED, f"record {key}: {_STALE}")


def _understood(body: bytes, key: Key) -> Record | Annotations:
    """Return what a PUT on *key* says. Raises RequestRefused for what no Sumatra could read back."""
    try:
        sent = record_form.sent(body, key)
        if isinstance(sent, Record):
            columns(sent)
    except BadDocument as exc:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
    except RecordUnusable as exc:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"the record cannot be kept: {exc}") from exc
    return sent


def _not_shown(key: Key, shown: Shown) -> RequestRefused:
    if shown.problem:
        what = f"record {key} cannot be shown ({shown.problem}); delete it, or correct it in the database"
        return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, what)
    return RequestRefused(HTTPStatus.NOT_FOUND, f"there is no record {key}")


async def _in_words(record: Record, key: Key) -> bytes:
    def write() -> bytes:
        return record_form.encoded(record_form.document(record, key.project))

    size = len(record.stdout_stderr or "") + len(record.diff or "")
    try:
        return await to_thread.run_sync(write) if size > LARGE else write()
    except RecordUnusable as exc:
        raise _not_shown(key, Shown(problem=str(exc))) from exc


def _said(body: bytes) -> dict[str, str]:
    """Return what a body says of a project. Raises RequestRefused."""
    try:
        document = record_form.parsed(body) if body.strip() else {}
    except BadDocument as exc:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
    said = {name: document[name] for name in ("name", "description") if document.get(name) is not None}
    for name, text in said.items():
        if not isinstance(text, str) or not _is_unicode(text):
            raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the {name} of a project is a text")
    if len(said.get("name", "")) > _LONGEST_NAME:
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST, f"the name of a project has up to {_LONGEST_NAME} characters"
        )
    return said


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fields(info: ProjectInfo | None) -> dict[str, str]:
    return {} if info is None else {"name": info.name, "description": info.description}
