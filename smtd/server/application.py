"""The server's handling of HTTP requests: find the caller, and answer every request, even an invalid one."""

from __future__ import annotations

import logging
import time
from functools import partial
from http import HTTPStatus

from aiohttp import web

from smtd.errors import RecordUnusable, SmtdError, StoreError, StoreUnreachable
from smtd.records.record import Key
from smtd.server import api_document, targets
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.rights import Right
from smtd.server.accounts.throttle import TooManyFailures
from smtd.server.answers import RequestRefused, answer_by_method, challenge, found
from smtd.server.authorization import caller_of
from smtd.server.bulk_api import BulkApi
from smtd.server.caller import Caller
from smtd.server.changes_api import ChangesApi
from smtd.server.database import ServedDatabase
from smtd.server.metrics import Metrics
from smtd.server.origins import Origin, Origins, WrongHost
from smtd.server.pages.dispatch import Pages
from smtd.server.projects_api import ProjectsApi
from smtd.server.records_api import RecordsApi
from smtd.server.targets import API, DOCUMENT, BadTarget

log = logging.getLogger("smtd")

#: The paths that the server has, beside those below `/records/`: the document describes each.
PATHS = frozenset(
    ("/healthz", "/metrics", API, DOCUMENT, f"{API}changes", f"{API}records:get", f"{API}records:write")
)
#: Media types of a body, besides those of Sumatra. A form in a page of another site can send none of them.
_JSON = ("application/json", "application/x-ndjson")
_GONE = (ConnectionError, TimeoutError)


class Application:
    """Answers all requests.

    *origins* finds where a request comes from, and rejects one for another host. *anonymous*: the right that
    everyone has in every project, also without a login.
    """

    def __init__(
        self,
        database: ServedDatabase,
        projects: ProjectsApi,
        records: RecordsApi,
        changes: ChangesApi,
        bulk: BulkApi,
        authenticator: Authenticator,
        origins: Origins,
        anonymous: Right,
        metrics: Metrics,
        pages: Pages,
    ) -> None:
        self._database = database
        self._projects = projects
        self._records = records
        self._changes = changes
        #: The method of each path of smtd's own API, and what answers it.
        self._own = {
            f"{API}changes": ("GET", changes.answer),
            f"{API}records:get": ("POST", bulk.get),
            f"{API}records:write": ("POST", bulk.write),
        }
        self._authenticator = authenticator
        self._origins = origins
        self._anonymous = anonymous
        self._metrics = metrics
        self._pages = pages

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Return the answer to *request*."""
        began = time.perf_counter()
        path = request.rel_url.raw_path
        answer: web.StreamResponse
        try:
            answer = await self._answer(request, path)
        except RequestRefused as refusal:
            answer = refusal.answer
        except Exception as exc:  # noqa: BLE001 - every request gets an answer, whatever the error
            answer = _failure(request, exc).answer
        if not answer.prepared and path.startswith(targets.RECORDS[:-1]):
            # With this header smtd's own client finds the API without an extra request.
            answer.headers["Link"] = f'<{self._origins.prefix}{API[1:]}>; rel="smtd"'
        self._metrics.answered(request.method, answer.status, time.perf_counter() - began)
        return answer

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        if self._pages.has(path) and _wants_page(request):
            return await self._pages.answer(request, path, self._origin(request))
        if path not in PATHS and not f"{path}/".startswith(targets.RECORDS):
            records = f"{self._origin(request).root}{targets.RECORDS[1:]}"
            raise RequestRefused(
                HTTPStatus.NOT_FOUND,
                f"there is nothing here; records are below {targets.RECORDS}; {DOCUMENT} describes the API",
                {"Link": f'<{records}>; rel="{targets.RECORDS_RELATION}"'},
            )
        if path == "/healthz":
            return await answer_by_method(request, {"GET": _health})
        origin = self._origin(request)
        try:
            target = targets.parsed(path)
        except BadTarget as exc:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
        if path == "/metrics":
            return await answer_by_method(request, {"GET": partial(self._show_metrics, request, origin)})
        _check_source(request)
        if path == API:
            return await api_document.root(request, self._origins.prefix)
        if path == DOCUMENT:
            return await api_document.answer(request)
        reauthenticate = partial(self._caller, request, origin)
        caller = await reauthenticate()
        if caller is None or (target and caller.user is None and request.method not in ("GET", "HEAD")):
            raise challenge()
        if target is None:
            method, answer = self._own[path]
            return await answer_by_method(request, {method: partial(answer, request, caller, reauthenticate)})
        if target.label:
            key = Key(target.project, target.label)
            return await self._records.answer(request, key, caller, reauthenticate)
        base = origin.root + targets.RECORDS[1:]
        return await self._projects.answer(request, target.project, caller, reauthenticate, base)

    def _origin(self, request: web.Request) -> Origin:
        """Return where *request* comes from. Raises RequestRefused (400) if it is for another host."""
        try:
            return self._origins.of(request.remote or "", request.headers)
        except WrongHost as exc:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from exc

    async def _caller(self, request: web.Request, origin: Origin) -> Caller | None:
        """Return the caller of *request*; None if they have to log in. Raises RequestRefused (429)."""
        header = request.headers.get("Authorization")
        try:
            user = await self._authenticator.authenticate(header, origin.address)
        except TooManyFailures as exc:
            headers = {"Retry-After": str(exc.seconds)}
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, str(exc), headers) from exc
        if user is None and (header is not None or self._anonymous is Right.NONE):
            return None
        return await caller_of(self._database, user, origin.address, self._anonymous)

    async def _show_metrics(self, request: web.Request, origin: Origin) -> web.Response:
        """Return the metrics if the client is on this machine, or an admin. Raises RequestRefused."""
        if not origin.is_here:
            caller = await self._caller(request, origin)
            if caller is None:
                raise challenge()
            if caller.user is None or not caller.user.admin:
                raise RequestRefused(
                    HTTPStatus.FORBIDDEN, "only an admin may see the metrics from another machine"
                )
        return await self._metrics.answer(streams=self._changes.streams, head=self._database.head)


def _wants_page(request: web.Request) -> bool:
    """Say whether *request* may be a browser's: clients of records ask for JSON."""
    return "json" not in request.headers.get("Accept", "")


async def _health() -> web.Response:
    return found(b'{"ok":true}', "application/json")


def _check_source(request: web.Request) -> None:
    """Raise RequestRefused for a request that a page of another site may have made a browser send."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise RequestRefused(HTTPStatus.FORBIDDEN, "requests from pages of other sites are refused")
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_sumatra = kind.startswith("application/vnd.sumatra.") and kind.endswith("+json")
    if request.can_read_body and kind and kind not in _JSON and not is_sumatra:
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be JSON, with a JSON Content-Type"
        )


def _failure(request: web.Request, exc: Exception) -> RequestRefused:
    """Return the refusal of a request that failed with *exc*; log faults of the server and its store."""
    if isinstance(exc, _GONE):
        return RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "the connection was lost", {"Connection": "close"})
    if isinstance(exc, StoreUnreachable):
        log.warning("the server cannot use its store: %s", exc)
        return RequestRefused(
            HTTPStatus.SERVICE_UNAVAILABLE, "the store cannot be used now; try again", {"Retry-After": "5"}
        )
    if isinstance(exc, RecordUnusable):
        return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc))
    if isinstance(exc, StoreError):
        log.warning("the server cannot use its store: %s", exc)
        return RequestRefused(  # not 4xx: the request is fine, and the client must not give up its record
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the server's store cannot be used; see the server's log",
            {"Retry-After": "60"},
        )
    if isinstance(exc, SmtdError):
        log.error("a request (%s) cannot be answered: %s", request.method, exc)
    else:
        log.error("a request (%s) cannot be answered", request.method, exc_info=exc)
    return RequestRefused(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; see the server's log")
