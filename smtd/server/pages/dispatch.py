"""The pages of the server: which page a path means, who asks, and the answer whatever goes wrong."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import web
from anyio import to_thread

from smtd.errors import RecordUnusable, StoreError
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.rights import Right, User
from smtd.server.answers import RequestRefused
from smtd.server.authorization import caller_of
from smtd.server.caller import Caller
from smtd.server.database import ServedDatabase
from smtd.server.origins import Origin
from smtd.server.pages.login import Logins
from smtd.web import answers, forms, templates
from smtd.web.answers import PageError, as_sentence
from smtd.web.records.table_pages import CHOSEN
from smtd.web.templates import ASSETS, Templates, Visit

log = logging.getLogger("smtd")

_MENU = (("/", "Projects"), ("/data", "Data"))
#: The page of the menu to which another one belongs.
_MENU_OF = {
    **dict.fromkeys(("/project", "/project/edit", "/parameters", "/compare"), "/"),
    **dict.fromkeys(("/record", "/record/edit", "/record/delete"), "/"),
}
_LOGIN = "/login"
#: What was just done, by the word that the address of the next page has for it.
_NOTICES = {
    "saved": "The record is saved.",
    "merged": "The record is saved, together with what somebody else changed meanwhile.",
    "same": "Nothing was changed, so nothing is saved.",
    "deleted": "The record is deleted.",
    "gone": "The record was deleted already.",
    "project": "The project is saved.",
    "columns": CHOSEN,
}


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for a page, of a *caller* who may read something; *visit* is what its page shows of them."""

    http: web.Request
    caller: Caller
    visit: Visit
    #: Returns the caller with the rights they have by now; None: they have to log in.
    caller_now: Callable[[], Awaitable[Caller | None]]


Show: TypeAlias = Callable[[PageRequest], Awaitable[web.StreamResponse]]


async def load_templates(prefix: str) -> Templates:
    """Return the templates of a server whose pages begin at *prefix*."""
    return await to_thread.run_sync(partial(templates.load, prefix, _MENU, login=_LOGIN))


class Pages:
    """Answers requests for pages of *database*.

    *shows* has what answers GET and POST for each path, for those who are logged in, or for everybody if
    *anonymous* is at least READ.
    """

    def __init__(
        self,
        database: ServedDatabase,
        templates: Templates,
        authenticator: Authenticator,
        anonymous: Right,
        shows: Mapping[tuple[str, str], Show],
    ) -> None:
        self._database = database
        self._templates = templates
        self._anonymous = anonymous
        self._authenticator = authenticator
        self._logins = Logins(templates, authenticator)
        self._shows = shows
        self._paths = {path for _, path in shows} | {_LOGIN, "/logout"}

    def has(self, path: str) -> bool:
        """Say whether *path* means a page or a file of the pages."""
        return path in self._paths or path.startswith(ASSETS)

    async def answer(self, request: web.Request, path: str, origin: Origin) -> web.StreamResponse:
        """Return the answer to *request* for *path*; raises nothing but ConnectionError."""
        explain = partial(_explained, request.method)
        answer = self._answer(request, path, origin)
        return await answers.or_error(answer, self._templates, path, explain, "server")

    async def _answer(self, request: web.Request, path: str, origin: Origin) -> web.StreamResponse:
        method = "GET" if request.method == "HEAD" else request.method
        if path.startswith(ASSETS):
            return answers.asset(self._templates, path.removeprefix(ASSETS))
        if path == _LOGIN:
            return await self._logins.answer(request, method, origin)
        if path == "/logout":
            return await self._logins.log_out(request, origin)
        show = self._shows.get((method, path))
        if show is None:
            raise PageError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not possible here.")
        session = await self._logins.session(request)
        caller = await self._caller(session, origin)
        if caller is None:
            return answers.see(self._login_address(request, method))
        token = "" if session is None else session[1]
        notice = _NOTICES.get(forms.query(request).one("done"), "")
        visit = Visit(_MENU_OF.get(path, path), caller.username, token, notice)
        return await show(PageRequest(request, caller, visit, partial(self._caller_now, request, origin)))

    async def _caller_now(self, request: web.Request, origin: Origin) -> Caller | None:
        return await self._caller(await self._logins.session(request), origin)

    async def _caller(self, session: tuple[User, str] | None, origin: Origin) -> Caller | None:
        """Return the user of *session* with their rights; None if they have to log in."""
        user = None if session is None else session[0]
        if user is None and self._anonymous is Right.NONE:
            return None
        return await caller_of(self._database, user, origin.address, self._anonymous)

    def _login_address(self, request: web.Request, method: str) -> str:
        wanted = request.rel_url.raw_path_qs if method == "GET" else "/"
        return self._templates.site.address(_LOGIN, next=wanted)


def _explained(method: str, exc: Exception) -> PageError | None:
    """Return what a page says of *exc*, which a request with *method* raised; None: it is a bug."""
    if isinstance(exc, RequestRefused):
        return PageError(exc.status, as_sentence(exc))
    if isinstance(exc, RecordUnusable):
        can_be_changed = f"This cannot be done: {exc}. Go back, and change it."
        sentence = can_be_changed if method == "POST" else f"This cannot be shown: {exc}."
        return PageError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence)
    if isinstance(exc, StoreError):
        log.warning("the server cannot show a page: %s", exc)
        sentence = "The store cannot be read now. Try again in a moment; the log of the server says more."
        return PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
    if isinstance(exc, sqlite3.Error):
        log.warning("the search index of the pages cannot be read: %s", exc)
        sentence = "The search index cannot be read now; the server makes it again. Try again in a moment."
        return PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
    return None
