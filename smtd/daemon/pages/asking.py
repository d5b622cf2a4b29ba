"""Ask the daemon by the verbs of its control socket, as `smtd-ctl` does."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import anyio

from smtd.errors import PlanChanged, SmtdError, StoreUnreachable, UsageError
from smtd.web.answers import PageError, as_sentence

log = logging.getLogger("smtd")

Result: TypeAlias = dict[str, Any]
#: Answers a request; as `smtd.control.server.Handler`.
Ask: TypeAlias = Callable[[dict[str, Any]], AsyncIterator[dict[str, Any]]]

#: Seconds for which a page waits for a pair that is busy, or for a slow store.
PATIENCE = 25.0
#: What errors of verbs mean in HTTP.
_STATUS: Mapping[type[SmtdError], HTTPStatus] = {
    UsageError: HTTPStatus.NOT_FOUND,
    PlanChanged: HTTPStatus.CONFLICT,
    StoreUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
}
_OTHER = HTTPStatus.INTERNAL_SERVER_ERROR


async def result(ask: Ask, verb: str, **fields: Any) -> Result:
    """Return the answer to *verb*. Raises SmtdError as the verb does, PageError if it takes too long.

    What was asked for continues then.
    """
    found: Result | None = None
    with anyio.move_on_after(PATIENCE):
        async for answer in ask({"verb": verb, **fields}):
            found = answer  # of a verb that sends progress the last one is the result
    if found is not None:
        return found
    sentence = "The pair is busy, or a store is slow. What you asked for continues; look again in a moment."
    raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence)


def page_error(exc: Exception) -> PageError | None:
    """Return *exc*, which a verb or the search index raised, as an error of a page; None: it is a bug."""
    if isinstance(exc, sqlite3.Error):
        log.warning("the search index of the pages cannot be read: %s", exc)
        sentence = "The search index cannot be read now. Try again in a moment."
        return PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
    if not isinstance(exc, SmtdError):
        return None
    status = next((status for kind, status in _STATUS.items() if isinstance(exc, kind)), _OTHER)
    return PageError(status, as_sentence(exc))
