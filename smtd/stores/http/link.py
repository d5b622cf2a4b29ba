"""Find out whether a server is smtd's own, and if so what it permits.

All its answers below `/records/` link to its API.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus

from yarl import URL

from smtd.errors import StoreRefused, StoreUnreachable
from smtd.stores.http.answer import LISTING
from smtd.stores.http.feed_api import FeedApi
from smtd.stores.http.session import Session

log = logging.getLogger("smtd")

_LINK = re.compile(r'<([^<>"\s]+)>\s*;\s*rel="?smtd"?\s*(?:,|;|\Z)')
UNTRIED = "whether this user may write cannot be tried on a Sumatra Server without a trace"
#: Seconds for which an API that was found is used again without a request.
REMEMBERED = 3600.0
#: By server and login: the address of its API, and when that was found.
_found: dict[tuple[str, str], tuple[URL, float]] = {}


async def find(session: Session, name: str) -> FeedApi | None:
    """Return the API of the server of *session*, which people know as *name*; None: it has none.

    It is looked for again after a while, and once a request found that it is not there any more: so the
    background verification, which opens its stores each time, needs only the request for the records. Raises
    StoreUnreachable, and StoreRefused for a wrong login, as any request does.
    """
    forget = partial(_found.pop, session.identity, None)
    url, at = _found.get(session.identity, (None, 0.0))
    if url is not None and time.monotonic() - at < REMEMBERED:
        return FeedApi(session, url, name, forget)
    forget()
    api = await _probe(session, name, forget)
    if api is not None:
        _found[session.identity] = api.url, time.monotonic()
    return api


async def _probe(session: Session, name: str, forget: Callable[[], object]) -> FeedApi | None:
    base = URL(session.base)
    answer = await session.get_at(base, LISTING)
    if (url := address_in(answer.link, base)) is None:
        return None
    api = FeedApi(session, url, name, forget)
    if await api.is_complete():
        return api
    log.info("%s: its API is too old, or a proxy hides it; smtd uses the server as a Sumatra Server", name)
    return None


def address_in(header: str, base: URL) -> URL | None:
    """Return the address of the API that *header* names; None: it names none on the server at *base*.

    The login is sent there, so it must be the same server.
    """
    if (found := _LINK.search(header)) is None:
        return None
    try:
        url = base.join(URL(found[1]))
    except ValueError:
        return None
    is_ours = url.origin() == base.origin() and url.path.endswith("/")
    return url.with_query(None).with_fragment(None) if is_ours else None


async def try_write(session: Session, name: str, projects: Collection[str]) -> str:
    """Ask the server *name* whether this user may write to each of *projects*, new ones included.

    Returns what could not be tried (empty: nothing). Raises StoreError.
    """
    if await find(session, name) is None:
        return UNTRIED
    for project in sorted(projects):
        answer = await session.rehearse(project)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise StoreRefused(
                f"permission denied: this user may not write to project {project} at {name}; ask an owner of"
                f" the project, or an admin, for the right (smtd user grant NAME {project} write)"
            )
        # 412: there is no such project, and this user may create it.
        if answer.status not in (HTTPStatus.OK, HTTPStatus.PRECONDITION_FAILED):
            raise StoreUnreachable(
                f"{name} answers with status {answer.status} when smtd asks for the right to write to"
                f" {project}; see the log of the server"
            )
    return "" if projects else "there is no project yet for which the right to write could be tried"
