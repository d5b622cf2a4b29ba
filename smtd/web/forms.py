"""Forms that a browser sends: read within limits, and only if one of our own pages sent them."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl

from aiohttp import web

from smtd import http_body
from smtd.web.answers import PageError

#: The most bytes and fields of a form, and the most bytes of one that anybody may send, without a login.
LARGEST, MOST_FIELDS, SMALL = 2 * 2**20, 5000, 32 * 2**10
#: The field that has the token of the session.
TOKEN = "token"
_URLENCODED = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form, or of the query of an address."""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self.fields = fields

    def one(self, name: str, default: str = "") -> str:
        """Return the last value of *name*."""
        return next((value for key, value in reversed(self.fields) if key == name), default)

    def all(self, name: str) -> list[str]:
        """Return all values of *name*, in order."""
        return [value for key, value in self.fields if key == name]

    def required(self, name: str) -> str:
        """Return the value of *name*. Raises PageError if it is missing or empty."""
        if not (value := self.one(name)):
            raise PageError(
                HTTPStatus.BAD_REQUEST, f"The address lacks {name}; go back, and follow a link there."
            )
        return value


def query(request: web.Request) -> Form:
    """Return the query of the address. Raises PageError for one that is no UTF-8."""
    return Form(_parsed(request.rel_url.raw_query_string))


async def read(request: web.Request, token: str, *, most: int = LARGEST) -> Form:
    """Return the form that *request* brings, which must have the *token* of its session.

    Raises PageError, also if the form has more than *most* bytes, or arrives too slowly.
    """
    check_source(request)
    if request.content_type != _URLENCODED:
        raise _foreign_form()
    body = await _body(request, most)
    form = Form(_parsed(body.decode("ascii", "replace")))
    if not hmac.compare_digest(form.one(TOKEN).encode(), token.encode()):
        sentence = "This page was opened in another session; go back, reload it, and try again."
        raise PageError(HTTPStatus.FORBIDDEN, sentence)
    return form


async def _body(request: web.Request, most: int) -> bytes:
    """Return the body of *request*. Raises PageError as `read` does.

    While a form is read its connection stays open, and there is a limit to their number: strangers who send
    forms without an end could otherwise keep everybody out.
    """
    try:
        return await http_body.read(request, most)
    except http_body.BodyTooLarge:
        limit = f"{most >> 20} MiB" if most >= 2**20 else f"{most >> 10} KiB"
        sentence = f"The text is longer than {limit}; shorten it."
        raise PageError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence) from None
    except http_body.Slow:
        sentence = "The form arrived too slowly; send it again."
        raise PageError(HTTPStatus.REQUEST_TIMEOUT, sentence) from None
    except http_body.BadCompression:
        raise _foreign_form() from None


def _foreign_form() -> PageError:
    return PageError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only the forms of these pages are accepted.")


def check_source(request: web.Request) -> None:
    """Raise PageError for a request that a page of another site made the browser send."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise PageError(HTTPStatus.FORBIDDEN, "Requests from pages of other sites are refused.")


def _parsed(encoded: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise PageError(HTTPStatus.BAD_REQUEST, "The address or the form is not valid UTF-8.") from None


def kept(form: Form, names: Sequence[str]) -> Mapping[str, str]:
    """Return those of *names* that have a value, to repeat them in an address."""
    return {name: value for name in names if (value := form.one(name))}
