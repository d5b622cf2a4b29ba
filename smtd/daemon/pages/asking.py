"""Ask the daemon by the verbs of its control socket, as `smtd-ctl` does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, TypeAlias

import anyio

from smtd.errors import PlanChanged, SmtdError, StoreUnreachable, UsageError
from smtd.web.answers import PageError

Result: TypeAlias = dict[str, Any]
#: Answers a request; as `smtd.control.server.Handler`.
Ask: TypeAlias = Callable[[dict[str, Any]], AsyncIterator[dict[str, Any]]]

#: Seconds for which a page waits for a pair that is busy, or for a slow store.
PATIENCE = 25.0


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


def page_error(exc: SmtdError) -> PageError:
    """Return *exc*, which a verb raised, as an error of a page."""
    if isinstance(exc, UsageError):
        return PageError(HTTPStatus.NOT_FOUND, _sentence(exc))
    if isinstance(exc, PlanChanged):
        return PageError(HTTPStatus.CONFLICT, _sentence(exc))
    if isinstance(exc, StoreUnreachable):
        return PageError(HTTPStatus.SERVICE_UNAVAILABLE, _sentence(exc))
    return PageError(HTTPStatus.INTERNAL_SERVER_ERROR, _sentence(exc))


def _sentence(exc: SmtdError) -> str:
    text = str(exc)
    return f"{text[:1].upper()}{text[1:]}."
