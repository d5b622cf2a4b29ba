"""The server behind HTTP: who may ask what, and an answer to everything, also to what nobody should send."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from smtd.errors import SmtdError, StoreError, StoreUnreachable
from smtd.records.record import Key
from smtd.server import targets
from smtd.server.access import Authenticating, Caller
from smtd.server.accounts.rights import Right, rights_of
from smtd.server.accounts.throttle import TooManyFailures
from smtd.server.answers import RequestRefused, challenge, found
from smtd.server.changes_api import ChangesApi
from smtd.server.database import ServedDatabase
from smtd.server.metrics import Metrics
from smtd.server.origins import Origin, Origins, WrongHost
from smtd.server.projects_api import ProjectsApi
from smtd.server.records_api import RecordsApi
from smtd.server.targets import BadTarget

log = logging.getLogger("smtd")

#: Where smtd's own API begins, below the root.
API = "/api/v1/"
#: What a body may be; a form of another site's page is none of these.
_JSON = ("application/json", "application/x-ndjson")
_GONE = (ConnectionError, TimeoutError)


class Application:
    """Answers all requests that *origins* let in; *anonymous*: what everybody may do in every project."""

    def __init__(
        self,
        database: ServedDatabase,
        projects: ProjectsApi,
        records: RecordsApi,
        changes: ChangesApi,
        authenticator: Authenticating,
        origins: Origins,
        anonymous: Right,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._projects = projects
        self._records = records
        self._changes = changes
        self._authenticator = authenticator
        self._origins = origins
        self._anonymous = anonymous
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Return the answer to *request*."""
        began = time.perf_counter()
        path = request.rel_url.raw_path
        answer: web.StreamResponse
        try:
            answer = await self._answer(request, path)
        except RequestRefused as refusal:
            answer = refusal.answer
        except Exception as exc:  # noqa: BLE001 - it is logged and answered, whatever it is
            answer = _failure(request, exc).answer
        if not answer.prepared and path.startswith(targets.RECORDS[:-1]):
            # So smtd's own client finds the API without a request of its own.
            answer.headers["Link"] = f'<{self._prefix}{API[1:]}>; rel="smtd"'
        self._metrics.answered(request.method, answer.status, time.perf_counter() - began)
        return answer

    @property
    def _prefix(self) -> str:
        """The path of the root, as clients see it."""
        return urlsplit(self._origins.url).path or "/"

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        if path == "/healthz":
            return found(b'{"ok":true}', "application/json")
        try:
            origin = self._origins.of(request.remote or "", request.headers)
            target = targets.parsed(path)
        except (WrongHost, BadTarget) as exc:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
        if path == "/metrics":
            return await self._show_metrics(request, origin)
        if target is None and path != f"{API}changes":
            raise RequestRefused(
                HTTPStatus.NOT_FOUND, f"there is nothing here; records are below {targets.RECORDS}"
            )
        _check_source(request)
        again = partial(self._caller, request, origin)
        caller = await again()
        if caller is None or (target and caller.user is None and request.method not in ("GET", "HEAD")):
            raise challenge()
        if target is None:
            return await self._changes.answer(request, caller, again)
        if target.label:
            key = Key(target.project, target.label)
            return await self._records.answer(request, key, caller, again)
        base = origin.root + targets.RECORDS[1:]
        return await self._projects.answer(request, target.project, caller, again, base)

    async def _caller(self, request: web.Request, origin: Origin) -> Caller | None:
        """Return who sends *request*; None if they have to log in. Raises RequestRefused (429)."""
        header = request.headers.get("Authorization")
        try:
            user = await self._authenticator.authenticate(header, origin.address)
        except TooManyFailures as exc:
            headers = {"Retry-After": str(exc.seconds)}
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, str(exc), headers) from exc
        if user is None and (header is not None or self._anonymous is Right.NONE):
            return None
        rows = () if user is None else self._database.rights.get(user.name, ())
        return Caller(user, origin.address, rights_of(user, rows, self._anonymous))

    async def _show_metrics(self, request: web.Request, origin: Origin) -> web.Response:
        """Return the figures to a program on this machine, or to an admin."""
        if not origin.is_here:
            caller = await self._caller(request, origin)
            if caller is None:
                raise challenge()
            if caller.user is None or not caller.user.admin:
                raise RequestRefused(HTTPStatus.FORBIDDEN, "only an admin may see the figures from elsewhere")
        return await self._metrics.answer(streams=self._changes.streams, head=self._database.head)


def _check_source(request: web.Request) -> None:
    """Refuse what a page of another site makes a browser send. Raises RequestRefused."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise RequestRefused(HTTPStatus.FORBIDDEN, "pages of other sites may not ask this server")
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_sumatra = kind.startswith("application/vnd.sumatra.") and kind.endswith("+json")
    if request.can_read_body and kind and kind not in _JSON and not is_sumatra:
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body is JSON, and says so in its Content-Type"
        )


def _failure(request: web.Request, exc: Exception) -> RequestRefused:
    """Return what to answer if *exc* kept a request from being answered."""
    if isinstance(exc, _GONE):
        return RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "the connection was lost", {"Connection": "close"})
    if isinstance(exc, StoreUnreachable):
        log.warning("the server cannot use its store: %s", exc)
        return RequestRefused(
            HTTPStatus.SERVICE_UNAVAILABLE, "the store cannot be used now; try again", {"Retry-After": "5"}
        )
    if isinstance(exc, StoreError):
        return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc))
    if not isinstance(exc, SmtdError):
        log.error("a request (%s) cannot be answered", request.method, exc_info=exc)
    return RequestRefused(HTTPStatus.INTERNAL_SERVER_ERROR, "the server has a defect; its log has more")


def application(handle: Callable[..., object]) -> web.Application:
    """Return what aiohttp serves: every path of every method goes to *handle*."""
    made = web.Application()
    made.router.add_route("*", "/{path:.*}", handle)  # type: ignore[arg-type]
    return made
