"""Answers for browsers: pages, redirects and files, with the headers that keep others out of them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from smtd.web.templates import Templates, Visit

log = logging.getLogger("smtd")

#: Nothing is loaded from another host, no script or style is in a page itself, no other site shows a page in
#: a frame, and no form goes elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Headers of every answer to a browser. Pages show what their user may see, now.
HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Server": "smtd",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class PageError(Exception):
    """A page cannot be shown: *status*, and a sentence for the user that says what to do next."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def page(
    templates: Templates, name: str, visit: Visit, /, *, status: HTTPStatus = HTTPStatus.OK, **values: Any
) -> web.Response:
    """Return the page of the template *name* for *visit*, with *values*."""
    return web.Response(
        body=templates.page(name, visit, **values).encode("utf-8", "replace"),
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers=HEADERS,
    )


def see(address: str) -> web.Response:
    """Return a redirect to *address* on this server, as after a form (303)."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={**HEADERS, "Location": address})


def error(templates: Templates, path: str, exc: PageError) -> web.Response:
    """Return the page at *path* that says what went wrong."""
    values = {"title": exc.status.phrase, "sentence": str(exc)}
    answer = page(templates, "error.html", Visit(path), status=exc.status, **values)
    if exc.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        answer.force_close()  # the server does not read the rest of the form
    return answer


async def or_error(
    answer: Awaitable[web.StreamResponse],
    templates: Templates,
    path: str,
    explain: Callable[[Exception], PageError | None],
    program: str,
) -> web.StreamResponse:
    """Return *answer*, or the page at *path* that says what went wrong. Raises only ConnectionError.

    *explain* returns the error that a page shows for another one; None: it is a bug. *program*: has the log
    that says more.
    """
    try:
        return await answer
    except PageError as exc:
        return error(templates, path, exc)
    except ConnectionError:
        raise
    except Exception as exc:
        if (explained := explain(exc)) is None:
            log.exception("a page (%s) cannot be shown", path)
            sentence = f"The page cannot be shown: a bug in smtd. The log of the {program} says more."
            explained = PageError(HTTPStatus.INTERNAL_SERVER_ERROR, sentence)
        return error(templates, path, explained)


def as_sentence(text: object) -> str:
    """Return *text*, such as an error, with a capital letter and a full stop."""
    return f"{str(text)[:1].upper()}{str(text)[1:]}."


def asset(templates: Templates, name: str) -> web.Response:
    """Return the file *name*, which the browser may keep: another content has another address.

    Raises PageError if there is no such file.
    """
    found = templates.site.assets.get(name)
    if found is None:
        raise PageError(HTTPStatus.NOT_FOUND, "There is no such file.")
    kept = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(body=found.content, content_type=found.media_type, charset="utf-8", headers=kept)
