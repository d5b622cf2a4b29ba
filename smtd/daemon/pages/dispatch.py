"""Answer requests for the daemon's pages: who asks, which page a path means, and what goes wrong."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

from aiohttp import web
from anyio import to_thread

from smtd.daemon.pages import peer
from smtd.daemon.pages.access import LIFETIME, LinkAccess, PageSession
from smtd.daemon.pages.asking import page_error
from smtd.server.origins import Origins, WrongHost
from smtd.web import answers, forms
from smtd.web.answers import PageError
from smtd.web.forms import Form
from smtd.web.templates import ASSETS, Templates, Visit

#: Only this machine reaches the pages, so only names of this machine are names of them.
_ORIGINS = Origins("", (), is_local=True, has_tls=False)
#: The page of the menu to which another one belongs.
_MENU = {
    **dict.fromkeys(("/pair", "/plan"), "/"),
    **dict.fromkeys(("/decide/record", "/decide/review", "/decide/apply"), "/decide"),
    **dict.fromkeys(("/cycle", "/undo", "/restore"), "/history"),
    **dict.fromkeys(("/project", "/parameters", "/record", "/record/edit", "/compare"), "/projects"),
}


class LocalRequest(NamedTuple):
    """A request of a browser that has a session; *path* is the page that the menu highlights."""

    http: web.Request
    session: PageSession
    path: str

    @property
    def visit(self) -> Visit:
        """What the page shows of its visitor; takes the notice of the session."""
        return Visit(self.path, token=self.session.token, notice=self.session.take_notice())

    @property
    def quiet_visit(self) -> Visit:
        """What a part of a page needs of its visitor; the notice stays for the next page."""
        return Visit(self.path, token=self.session.token)

    @property
    def query(self) -> Form:
        """The query of the address. Raises PageError."""
        return forms.query(self.http)

    async def form(self) -> Form:
        """Return the form, which one of these pages has sent. Raises PageError."""
        return await forms.read(self.http, self.session.token)


Show: TypeAlias = Callable[[LocalRequest], Awaitable[web.StreamResponse]]


class LocalPages:
    """Answers requests by *shows*, for those whom *access* knows; *checks_user*: see `peer`."""

    def __init__(
        self,
        templates: Templates,
        access: LinkAccess,
        shows: Mapping[tuple[str, str], Show],
        port: int,
        *,
        checks_user: bool,
    ) -> None:
        self._templates = templates
        self._access = access
        self._shows = shows
        self._paths = {path for _, path in shows}
        #: Browsers send a cookie to all ports of a host: each daemon has its own name.
        self._cookie = f"smtd_{port}"
        self._checks_user = checks_user

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Return the answer to *request*; raises nothing but ConnectionError."""
        path = request.rel_url.raw_path
        return await answers.or_error(
            self._answer(request, path), self._templates, path, page_error, "daemon"
        )

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        await self._check_peer(request)
        method = "GET" if request.method == "HEAD" else request.method
        if path.startswith(ASSETS):
            return answers.asset(self._templates, path.removeprefix(ASSETS))
        if path == "/open":
            return self._open(request, method)
        session = self._access.session(request.cookies.get(self._cookie))
        if session is None:
            return self._closed(path)
        show = self._shows.get((method, path))
        if show is None and path in self._paths:
            raise PageError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not possible here.")
        if show is None:
            raise PageError(HTTPStatus.NOT_FOUND, "There is no such page.")
        return await show(LocalRequest(request, session, _MENU.get(path, path)))

    async def _check_peer(self, request: web.Request) -> None:
        """Raise PageError for a request of another user's process, or to another host than this machine."""
        try:
            _ORIGINS.of(request.remote or "", request.headers)
        except WrongHost:
            sentence = "These pages are for this machine only; open them as 127.0.0.1."
            raise PageError(HTTPStatus.BAD_REQUEST, sentence) from None
        transport = request.transport
        if not self._checks_user or transport is None:
            return
        ends = [transport.get_extra_info(name) for name in ("peername", "sockname")]
        found = await to_thread.run_sync(peer.peer_of, ends[0][:2], ends[1][:2])
        if not peer.is_welcome(found, os.getuid()):
            raise PageError(HTTPStatus.FORBIDDEN, "This daemon belongs to another user.")

    def _open(self, request: web.Request, method: str) -> web.Response:
        """Begin a session for the token of a link, and go to the first page."""
        if method != "GET" or request.method == "HEAD":
            raise PageError(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not possible here.")
        cookie = self._access.open(forms.query(request).one("token"))
        if cookie is None:
            if self._access.session(request.cookies.get(self._cookie)) is not None:
                return answers.see(self._templates.site.address("/"))
            return self._closed("/open", used=True)
        answer = answers.see(self._templates.site.address("/"))
        path = self._templates.site.prefix
        answer.set_cookie(
            self._cookie, cookie, max_age=int(LIFETIME), path=path, httponly=True, samesite="Strict"
        )
        return answer

    def _closed(self, path: str, *, used: bool = False) -> web.Response:
        return answers.page(
            self._templates, "closed.html", Visit(path), used=used, status=HTTPStatus.FORBIDDEN
        )
