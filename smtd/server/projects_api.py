"""`/records/` and `/records/PROJECT/`: the project requests of Sumatra's own clients (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from smtd.records.record import Key
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
from smtd.server.body import SMALL, Bodies
from smtd.server.caller import Caller, Reauthenticate
from smtd.server.database import ServedDatabase
from smtd.server.listings import Listings
from smtd.server.memory import ProjectInfo
from smtd.server.record_form import BadDocument
from smtd.server.records_api import DELETE_BATCH
from smtd.server.transaction import WriteTransaction
from smtd.server.validators import etag, project_validator
from smtd.server.writer import Writer

#: The most characters in the name of a project.
LONGEST_NAME = 200
#: The most tags by which a listing is filtered; the server ignores further ones.
_MOST_TAGS = 500


@dataclass(frozen=True, slots=True)
class ProjectsApi:
    """Answers requests for projects."""

    _database: ServedDatabase
    _writer: Writer
    _listings: Listings
    _bodies: Bodies

    async def answer(
        self, request: web.Request, project: str, caller: Caller, reauthenticate: Reauthenticate, base: str
    ) -> web.StreamResponse:
        """Return the answer to *request*, which is about *project*, or about all projects if that is empty.

        *base* is the address of `/records/`; *reauthenticate* returns the caller with their current rights.
        Raises RequestRefused.
        """
        if not project:
            return await answer_by_method(request, {"GET": partial(self._list, request, caller, base)})
        return await answer_by_method(
            request,
            {
                "GET": partial(self._get, request, project, caller, base),
                "PUT": partial(self._put, request, project, reauthenticate, base),
                "DELETE": partial(self._delete, request, project, caller, base),
            },
        )

    async def _list(self, request: web.Request, caller: Caller, base: str) -> web.Response:
        totals = await self._database.totals()
        projects = [
            {
                "id": name,
                "name": info.name or name,
                "description": info.description,
                "uri": base + targets.path(name),
                "last_updated": totals[name].newest if name in totals else "",
            }
            for name, info in sorted(self._database.projects.items())
            if caller.may(Right.READ, name)
        ]
        kind = media_type(request.headers.get("Accept", ""), "project-list")
        return found(record_form.encoded(projects), kind)

    async def _get(self, request: web.Request, project: str, caller: Caller, base: str) -> web.Response:
        info = await require_right(self._database, caller, Right.READ, project)
        kind = media_type(request.headers.get("Accept", ""), "project")
        tags = [tag for tag in request.query.get("tags", "").split(",") if tag][:_MOST_TAGS]
        listing = await self._listings.of(project)
        validator = _validator(listing.seq, info, base, tags, caller)
        if (unchanged := not_modified(request.headers, validator, f"project {project}")) is not None:
            return unchanged
        paths = listing.paths(set(await self._database.tagged_labels(project, tags)) if tags else None)
        fields = {
            "id": project,
            "name": info.name,
            "description": info.description,
            "tags": tags,
            "user": caller.name,
            "records": [],
        }
        return found(
            _with_records(fields, base + targets.path(project), paths), kind, {"ETag": etag(validator)}
        )

    async def _put(
        self, request: web.Request, project: str, reauthenticate: Reauthenticate, base: str
    ) -> web.Response:
        async with self._bodies.read(request, SMALL) as body:
            given = _parsed_info(body)
        caller = await current_caller(reauthenticate)
        may_create = caller.rights.may_create or caller.may(Right.WRITE, project)
        if project not in self._database.projects and not may_create:
            raise RequestRefused(HTTPStatus.FORBIDDEN, f"{caller.name} has no right to create projects")

        async def put(transaction: WriteTransaction) -> HTTPStatus:
            before = await transaction.project(project)
            if before is not None:
                await check_right(transaction, caller, Right.WRITE, project)
            info = ProjectInfo(**{"name": "", "description": ""} | _fields(before) | given)
            if info == before:
                return HTTPStatus.OK
            await _check_write(transaction, request.headers, project, base, caller)
            if before is None:
                await transaction.delete_stale_rights()
                transaction.after_commit.append(partial(self._database.remove_project, project))
            await transaction.put_project(project, info)
            transaction.after_commit.append(partial(self._database.store_project, project, info))
            if before is not None:
                return HTTPStatus.OK
            await transaction.set_right(project, caller.username, Right.OWNER)
            transaction.after_commit.append(partial(self._database.store_owner, project, caller.username))
            return HTTPStatus.CREATED

        return empty(await self._writer.submit(put))

    async def _delete(self, request: web.Request, project: str, caller: Caller, base: str) -> web.Response:
        await require_right(self._database, caller, Right.OWNER, project)
        has_begun = False

        def begin() -> None:
            nonlocal has_begun
            has_begun = True

        async def delete(transaction: WriteTransaction) -> bool:
            """Delete some of the records; if none are left, the project. Say whether it is deleted."""
            await check_right(transaction, caller, Right.OWNER, project)
            if not has_begun:
                await _check_write(transaction, request.headers, project, base, caller)
                transaction.after_commit.append(begin)
            labels = await transaction.labels(project, DELETE_BATCH)
            for label in labels:
                await transaction.delete(await transaction.current(Key(project, label)))
            if labels:
                return False
            await transaction.delete_project(project)
            transaction.after_commit.append(partial(self._database.remove_project, project))
            return True

        await self._writer.submit(delete, until=bool)
        return empty(HTTPStatus.NO_CONTENT)


def _with_records(fields: Mapping[str, Any], address: str, paths: Collection[str]) -> bytes:
    """Return *fields* as JSON, and fill the empty list at its end with *address* plus each of *paths*."""
    whole = record_form.encoded(fields)
    if not paths:
        return whole
    start = record_form.encoded(address)[1:-1].decode()
    listed = f'"{start}' + f'","{start}'.join(paths) + '"'
    return whole.removesuffix(b"]}") + listed.encode() + b"]}"


def _validator(number: int, info: ProjectInfo, base: str, tags: Sequence[str], caller: Caller) -> str:
    """Return a text that changes whenever the server would show the project differently to *caller*.

    *number* is the number of the last change in the project.
    """
    return project_validator(number, info.name, info.description, base, tags, caller.name)


async def _check_write(
    transaction: WriteTransaction, headers: Mapping[str, str], project: str, base: str, caller: Caller
) -> None:
    """Raise RequestRefused (412) if the conditions in *headers* do not hold now, in the transaction."""
    info, validator = await transaction.project(project), None
    if info is not None:
        validator = _validator(await transaction.last_number(project), info, base, [], caller)
    check_conditions(headers, validator, f"project {project}")


def _parsed_info(body: bytes) -> dict[str, str]:
    """Return the name and description in a *body*, each if it has one. Raises RequestRefused."""
    try:
        document = record_form.parsed(body) if body.strip() else {}
    except BadDocument as exc:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
    given = {name: document[name] for name in ("name", "description") if document.get(name) is not None}
    for name, text in given.items():
        if not isinstance(text, str) or not _is_unicode(text):
            raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the {name} of a project must be a string")
    if len(given.get("name", "")) > LONGEST_NAME:
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST, f"the name of a project must have at most {LONGEST_NAME} characters"
        )
    return given


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fields(info: ProjectInfo | None) -> dict[str, str]:
    return {} if info is None else {"name": info.name, "description": info.description}
