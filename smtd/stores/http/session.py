"""Send requests to one server: authentication, timeouts, and retries of what is safe to repeat.

Every request carries the credentials from the start, and goes only to the server of the location: a redirect
is never followed. Of requests and answers only the address, the status and the reason are ever shown. If a
server says when to come back, no request is sent until then. A silent server is asked once more.
"""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import math
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from math import ceil
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import aiohttp
import anyio
from yarl import URL

from smtd import http_body, regular
from smtd.backoff import pauses, retry_after
from smtd.errors import LoginRefused, StoreBusy, StoreElsewhere, StoreRefused, StoreUnreachable
from smtd.http_body import SLOWEST, Slow
from smtd.stores.http import address
from smtd.stores.http import answer as answers
from smtd.stores.http.answer import DOCUMENT, LISTING, TooLarge
from smtd.stores.http.concurrency import AT_ONCE, Concurrency
from smtd.stores.http.condition import NO_CONDITION, RequestCondition
from smtd.stores.tls import certificate_error, is_without_tls, unusable, why_not_connected

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds: to connect; without data; for an answer, after which the server counts as slow. A request to a
#: silent server is repeated once: so one lost packet does not fail a cycle, and a dead server costs two
#: minutes, or 20 s if smtd cannot connect to it.
CONNECT, SILENCE, SLOW = 10.0, 60.0, 5.0
#: The most attempts for a request that is safe to repeat, and the first and the longest pause in seconds:
#: enough for a server to restart. If a server asks for a longer pause, the caller gets the error.
ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE = 4, 0.5, 30.0
#: The size in bytes from which a body is parsed in a thread, one at a time.
LARGE = 2**18

#: What a failed login means if there was none.
_NO_LOGIN = "it needs a user and a password; set username and password_command in the configuration"
_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
_BUSY = frozenset((429, 502, 503, 504))


class NotSent(StoreBusy):
    """A change was not even sent, since the server had asked to wait."""


class NoResponse(StoreBusy):
    """The server did not answer: it may have done what was requested, or may still do it."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password, which are never shown. *mistake*: what a failed login means."""

    username: str
    password: str = field(repr=False)
    mistake: ClassVar[str] = "wrong user name or password; set them in the configuration"

    @property
    def header(self) -> dict[str, str]:
        """The header of Basic authentication."""
        words = f"{self.username}:{self.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(words).decode()}"}


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token, which also identifies its user; see Login."""

    token: str = field(repr=False)
    mistake: ClassVar[str] = "the token is wrong, revoked or expired; get a new one (smtd user token)"

    @property
    def header(self) -> dict[str, str]:
        """The header of RFC 6750."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Trust:
    """Which certificates to accept: by this machine's authorities, by those in *ca_file*, or any."""

    ca_file: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Return the settings of TLS. Blocks. Raises StoreRefused for a *ca_file* that cannot be used."""
        try:
            regular.check([] if self.ca_file is None else [Path(self.ca_file)])
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as exc:
            raise StoreRefused(f"the certificates in {self.ca_file} cannot be used: {unusable(exc)}") from exc
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered; *link*, *number* and *etag* are its `Link`, `Smtd-Number` and `ETag`."""

    status: int
    body: bytes
    link: str = ""
    number: str = ""
    etag: str = ""


class _Request(NamedTuple):
    """A request; its answer may have *most* bytes; the message on a redirection names *path*.

    *condition*: the header that makes it conditional, if any.
    """

    method: str
    url: URL
    most: int
    body: bytes | None = None
    content_type: str = "application/json"
    path: tuple[str, ...] = ()
    condition: RequestCondition = NO_CONDITION


class Session:
    """Sends requests to the server at *base*, which ends in a slash, a few at a time."""

    def __init__(
        self, base: URL, session: aiohttp.ClientSession, login: Login | Bearer | None, proxy: URL | None
    ) -> None:
        self.base = str(base)
        #: What distinguishes it from sessions with other servers, and of other users. Never shown.
        self.identity = self.base, "" if login is None else login.header["Authorization"]
        self._mistake = _NO_LOGIN if login is None else login.mistake
        self._session = session
        # Not headers of the aiohttp session, which would be sent to a proxy, too.
        self._headers = {"Accept": "application/json"} | ({} if login is None else login.header)
        self._proxy = proxy
        self._concurrency = Concurrency()
        self._one_at_a_time = anyio.CapacityLimiter(1)
        #: Whether the last request got no answer.
        self._silent = False
        #: The time at which the server accepts requests again, on anyio's clock.
        self._throttled_until = 0.0

    async def get(self, *path: str) -> Answer:
        """Return the answer to a GET, repeated while the server is busy or cannot be reached.

        Raises StoreBusy for a server that asks for more than the longest pause, else StoreUnreachable.
        """
        return await self._repeated(self._of_records("GET", path, None))

    async def get_at(self, url: URL, most: int) -> Answer:
        """Return the answer to a GET of *url*, which is on the same server, repeated as `get` does."""
        return await self._repeated(_Request("GET", url, most))

    async def post(self, url: URL, lines: bytes, most: int, *, is_safe: bool) -> Answer:
        """Return the answer to a POST of NDJSON *lines*; one that *is_safe* is repeated as a GET is."""
        request = _Request("POST", url, most, lines, "application/x-ndjson")
        return await (self._repeated(request) if is_safe else self._once(request))

    @asynccontextmanager
    async def stream(self, url: URL, silence: float) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Open a stream of events at *url*; yield the status of the answer, and its lines as they arrive.

        It ends after *silence* seconds without a byte. Raises StoreError, also if an error occurs while the
        lines are read.
        """
        headers = self._headers | {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=silence)
        try:
            async with self._session.get(
                url, headers=headers, proxy=self._proxy, allow_redirects=False, timeout=timeout
            ) as response:
                self._check(response.status, (), response.headers.get("Location"), "")
                yield response.status, aiter(response.content)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError) as exc:
            raise _unreachable(self.base, exc) from exc

    async def _repeated(self, request: _Request) -> Answer:
        # Also between the attempts, so that a repeated request does not wait for all others each time.
        async with self._concurrency.room:
            for pause in islice(pauses(FIRST_PAUSE, LONGEST_PAUSE), ATTEMPTS - 1):
                try:
                    return await self._send_when_allowed(request)
                except StoreBusy as exc:
                    if (exc.retry_after or 0.0) > LONGEST_PAUSE:
                        raise
                    await anyio.sleep(pause)
            try:
                return await self._send_when_allowed(request)
            except StoreBusy as exc:
                raise StoreUnreachable(str(exc)) from exc  # enough attempts for now

    async def understood(self, understand: Callable[[bytes], T], body: bytes) -> T:
        """Parse *body* with *understand*: a large one in a thread, so that other tasks can go on."""
        if len(body) < LARGE:
            return understand(body)
        return await anyio.to_thread.run_sync(understand, body, limiter=self._one_at_a_time)

    async def put(self, body: bytes, *path: str, condition: RequestCondition = NO_CONDITION) -> Answer:
        """Return the answer to a PUT, which is sent once: if it is lost, the caller must check the outcome.

        A server that knows no *condition* (see `if_match`) ignores it. Raises NotSent, at once, if the server
        has asked to wait.
        """
        return await self._once(self._of_records("PUT", path, body, condition))

    async def rehearse(self, project: str) -> Answer:
        """Return the answer to a PUT that changes nothing in *project*, and does not create it.

        Only smtd's own server obeys the condition; do not ask another one.
        """
        return await self._once(self._of_records("PUT", (project,), b"{}", {"If-Match": "*"}))

    async def delete(self, *path: str, condition: RequestCondition = NO_CONDITION) -> Answer:
        """Return the answer to a DELETE, which is sent once, or not at all, like a PUT."""
        return await self._once(self._of_records("DELETE", path, None, condition))

    def _of_records(
        self,
        method: str,
        path: tuple[str, ...],
        body: bytes | None,
        condition: RequestCondition = NO_CONDITION,
    ) -> _Request:
        url = URL(f"{self.base}{address.path(*path)}", encoded=True)
        most = DOCUMENT if len(path) > 1 else LISTING
        return _Request(method, url, most, body, path=path, condition=condition)

    async def _once(self, request: _Request) -> Answer:
        async with self._concurrency.room:
            wait = self._throttled_until - anyio.current_time()
            if wait > 0:
                raise NotSent(_when(f"{self.base} is busy", wait), wait)
            return await self._send(request)

    async def _send_when_allowed(self, request: _Request) -> Answer:
        """Send a GET once the server accepts requests. Raises StoreBusy if that is too long to wait."""
        wait = self._throttled_until - anyio.current_time()
        if wait > LONGEST_PAUSE:
            raise StoreBusy(_when(f"{self.base} is busy", wait), wait)
        if wait > 0:
            await anyio.sleep(wait)
        return await self._send(request)

    async def _send(self, request: _Request) -> Answer:
        """Send one request. Raises StoreBusy if another try may help."""
        began, was_silent = anyio.current_time(), self._silent
        try:
            answer, headers = await self._answer(request)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
            self._concurrency.slow_down()
            self._silent = isinstance(exc, (asyncio.TimeoutError, TimeoutError))
            if was_silent and self._silent:
                raise StoreUnreachable(_no_response(self.base, exc)) from exc
            raise _unreachable(self.base, exc) from exc
        asked, place = headers.get("Retry-After"), headers.get("Location")
        self._silent = False
        if anyio.current_time() - began > SLOW:
            self._concurrency.slow_down()
        if answer.status in _BUSY:
            self._concurrency.slow_down()
            raise self._busy(answer.status, retry_after(asked))
        self._check(answer.status, request.path, place, answer.link)
        self._concurrency.answered()
        return answer

    async def _answer(self, request: _Request) -> tuple[Answer, Mapping[str, str]]:
        """Send one request; return answer and headers. Raises TooLarge, Slow, and what aiohttp raises."""
        body, content = request.body, {"Content-Type": request.content_type}
        # Sending a body takes time, too. Headers that come byte by byte may take some, but not for ever.
        with anyio.move_on_after(CONNECT + SILENCE + len(body or b"") / SLOWEST) as scope:
            async with self._session.request(
                request.method,
                request.url,
                data=None if body is None else io.BytesIO(body),
                headers={**self._headers, **({} if body is None else content), **request.condition},
                proxy=self._proxy,
                allow_redirects=False,
            ) as response:
                scope.deadline = math.inf
                try:
                    found, headers = await answers.body(response, request.most), response.headers
                    more = [headers.get(name, "") for name in ("Link", "Smtd-Number", "ETag")]
                    return Answer(response.status, found, *more), headers
                except TooLarge as exc:
                    raise TooLarge(f"{self.base} {exc}") from None
        raise Slow

    def _busy(self, status: int, retry_after: float | None) -> StoreBusy:
        what = f"{self.base} is busy ({_reason(status)})"
        if retry_after is None:
            return StoreBusy(_later(what))
        self._throttled_until = max(self._throttled_until, anyio.current_time() + retry_after)
        return StoreBusy(_when(what, retry_after), retry_after)

    def _check(self, status: int, path: tuple[str, ...], place: str | None, link: str) -> None:
        if status == HTTPStatus.NOT_FOUND and (found := address.elsewhere(self.base, link)):
            raise StoreElsewhere(
                f"{self.base} is a server of smtd with its records at {found}; name that location instead",
                found,
            )
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise _by_proxy(self.base, status)
        if status == HTTPStatus.UNAUTHORIZED:
            raise LoginRefused(f"login to {self.base} failed: {self._mistake}")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise StoreRefused(f"{self.base} {address.redirection(self.base, path, place or '')}")


def _later(what: str) -> str:
    return f"{what}; a later try may succeed"


def _when(what: str, seconds: float) -> str:
    """Return the message on a server that asks to wait for *seconds*."""
    if seconds <= LONGEST_PAUSE:
        return _later(what)
    unit, length = next((unit, length) for unit, length in _UNITS if seconds >= 2 * length)
    return f"{what} and asks to wait {ceil(seconds / length)} {unit}; smtd tries again then"


@asynccontextmanager
async def connect(
    base: str, login: Login | Bearer | None, trust: Trust, proxy: str | None = None
) -> AsyncIterator[Session]:
    """Open a session with the server at *base*, through *proxy* if any, for the length of a `with` block."""
    url = URL(base if base.endswith("/") else f"{base}/")
    context = await anyio.to_thread.run_sync(trust.context)
    if url.scheme == "https" and not trust.verify:
        log.warning(
            "the certificate of %s is not checked (verify_tls = false): others could read the password", url
        )
    timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=CONNECT, sock_read=SILENCE)
    async with aiohttp.ClientSession(
        headers={"Accept-Encoding": http_body.ENCODINGS},
        auto_decompress=False,  # smtd unpacks bodies itself, with a size limit
        timeout=timeout,
        connector=aiohttp.TCPConnector(ssl=context, limit=AT_ONCE),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        # aiohttp itself repeats PUT and DELETE when a connection breaks off, which is not safe with this
        # server (no public setting turns that off; tests/stores/test_http_session.py checks it).
        session._retry_connection = False
        yield Session(url, session, login, None if proxy is None else URL(proxy))


def _unreachable(base: str, exc: BaseException) -> StoreUnreachable | StoreRefused:
    if refused := certificate_error(base, exc):
        return refused
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return _by_proxy(base, exc.status)
    if is_without_tls(exc):
        # Not for good: a portal in a hotel answers like this, until one has logged in there.
        return StoreUnreachable(
            f"{base} does not use TLS; if that is right, write http:// instead, else ask its administrator"
        )
    if isinstance(exc, (asyncio.TimeoutError, TimeoutError)):
        return NoResponse(_no_response(base, exc))
    return StoreBusy(_later(f"{base} cannot be reached ({why_not_connected(exc)})"))


def _no_response(base: str, exc: BaseException) -> str:
    return _later(f"{base} answers too slowly" if isinstance(exc, Slow) else f"{base} does not answer")


def _by_proxy(base: str, status: int) -> StoreBusy | StoreRefused:
    """Return the error for a proxy that does not let requests through to *base*."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return StoreRefused(
            f"login to the proxy for {base} failed: wrong user name or password; set them in http_proxy or"
            " https_proxy, as http://user:password@proxy:port"
        )
    return StoreBusy(_later(f"{base} cannot be reached (its proxy answered {_reason(status)})"))


def _reason(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
