"""Who may see the pages: links that open them once, and the sessions that these begin. Pure.

Nothing is stored: when the daemon ends, so does every session.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds for which a link can be used, and a session lasts.
LINK_LIFETIME, LIFETIME = 60.0, 12 * 3600.0
#: The most links that were not used yet, and the most sessions; the oldest ends for a new one.
MOST_LINKS, MOST_SESSIONS = 20, 100


@dataclass(eq=False, slots=True)
class PageSession:
    """One browser: the *token* that its forms carry, and the *notice* that its next page shows."""

    token: str
    until: float
    notice: str = ""

    def take_notice(self) -> str:
        """Return the notice, once."""
        notice, self.notice = self.notice, ""
        return notice


class LinkAccess:
    """The links and the sessions; times are of *clock*, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._links: dict[str, float] = {}
        self._sessions: dict[str, PageSession] = {}

    def new_link(self) -> str:
        """Return a token that `open` accepts once, for LINK_LIFETIME seconds."""
        while len(self._links) >= MOST_LINKS:
            del self._links[next(iter(self._links))]
        token = secrets.token_urlsafe(32)
        self._links[token] = self._clock() + LINK_LIFETIME
        return token

    def open(self, token: str) -> str | None:
        """Return the cookie of a new session for a link's *token* (None: it was used, or is too old)."""
        until = self._links.pop(token, None)
        if until is None or until < self._clock():
            return None
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = PageSession(secrets.token_urlsafe(32), self._clock() + LIFETIME)
        return cookie

    def session(self, cookie: str | None) -> PageSession | None:
        """Return the session of *cookie* (None: there is none, or it is over)."""
        found = None if cookie is None else self._sessions.get(cookie)
        if cookie is None or found is None or found.until >= self._clock():
            return found
        del self._sessions[cookie]
        return None
