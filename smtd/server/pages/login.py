"""Log in and out by a page; who sent a request, by its cookie."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.rights import User
from smtd.server.accounts.sessions import LIFETIME
from smtd.server.accounts.throttle import TooManyFailures
from smtd.server.origins import Origin
from smtd.web import answers, forms
from smtd.web.answers import PageError
from smtd.web.templates import Templates, Visit

_COOKIE = "smtd_session"
#: The login form has no session yet; what it does harms nobody if another site sends it (and none can).
_NO_TOKEN = ""


class Logins:
    """Shows the login form, and keeps sessions in cookies that only pages use."""

    def __init__(self, templates: Templates, authenticator: Authenticator) -> None:
        self._templates = templates
        self._authenticator = authenticator

    async def session(self, request: web.Request) -> tuple[User, str] | None:
        """Return the user of *request*, and the token of their forms; None if nobody is logged in."""
        cookie = request.cookies.get(_COOKIE)
        return None if cookie is None else await self._authenticator.session(cookie)

    async def answer(self, request: web.Request, method: str, origin: Origin) -> web.Response:
        """Show the form, or log in the person who sent it. Raises PageError."""
        if method == "GET":
            return self._form(forms.query(request).one("next", "/"))
        if method != "POST":
            raise PageError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not possible here.")
        form = await forms.read(request, _NO_TOKEN, most=forms.SMALL)
        name, wanted = form.one("name"), form.one("next", "/")
        try:
            cookie = await self._authenticator.log_in(name, form.one("password"), origin.address)
        except TooManyFailures as exc:
            return self._form(wanted, name, f"{exc}.", HTTPStatus.TOO_MANY_REQUESTS)
        if cookie is None:
            problem = "The name or the password is wrong."
            return self._form(wanted, name, problem, HTTPStatus.UNAUTHORIZED)
        answer = answers.see(self._templates.site.address(_local(wanted)))
        self._set_cookie(answer, cookie, LIFETIME, origin)
        return answer

    async def log_out(self, request: web.Request, origin: Origin) -> web.Response:
        """End the session. Raises PageError."""
        if request.method != "POST":
            raise PageError(HTTPStatus.METHOD_NOT_ALLOWED, "Log out by the button of a page.")
        found = await self.session(request)
        token = _NO_TOKEN if found is None else found[1]
        await forms.read(request, token, most=forms.SMALL)
        answer = answers.see(self._templates.site.address("/login"))
        self._set_cookie(answer, "", 0, origin)
        return answer

    def _form(
        self, wanted: str, name: str = "", problem: str = "", status: HTTPStatus = HTTPStatus.OK
    ) -> web.Response:
        values = {"next": _local(wanted), "name": name, "problem": problem}
        return answers.page(self._templates, "login.html", Visit("/login"), **values, status=status)

    def _set_cookie(self, answer: web.Response, value: str, seconds: int, origin: Origin) -> None:
        answer.set_cookie(
            _COOKIE,
            value,
            max_age=seconds,
            path=self._templates.site.prefix,
            secure=origin.root.startswith("https:"),
            httponly=True,
            samesite="Strict",
        )


def _local(address: str) -> str:
    """Return *address* if it is a path on this server, else the first page."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if is_local else "/"
