"""Find out whether a server is smtd's own: all its answers below `/records/` link to its API."""

from __future__ import annotations

import logging
import re

from yarl import URL

from smtd.stores.http.answer import LISTING
from smtd.stores.http.feed_api import FeedApi
from smtd.stores.http.session import Session

log = logging.getLogger("smtd")

_LINK = re.compile(r'<([^<>"\s]+)>\s*;\s*rel="?smtd"?\s*(?:,|;|\Z)')


async def find(session: Session, name: str) -> FeedApi | None:
    """Return the API of the server of *session*, which people know as *name*; None: it has none.

    Raises StoreUnreachable, and StoreRefused for a wrong login, as any request does.
    """
    base = URL(session.base)
    answer = await session.get_at(base, LISTING)
    if (url := address_in(answer.link, base)) is None:
        return None
    api = FeedApi(session, url, name)
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
