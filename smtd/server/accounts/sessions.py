"""LoginSessions of people who have logged in by a page: a signed cookie. Pure.

A cookie names its user, when it was issued, and a fingerprint of the user's credential, so that a new
password or a removed account ends every session. Nothing is stored: any process with the key knows it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import blake2b, sha256

#: Seconds for which a session lasts.
LIFETIME = 12 * 3600
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class LoginSession:
    """Who logged in, and the token that this session's forms carry."""

    name: str
    token: str


@dataclass(frozen=True, slots=True)
class LoginSessions:
    """Issues and reads cookies, signed with *key*."""

    key: bytes

    def cookie(self, name: str, credential: str, now: float) -> str:
        """Return the value of a cookie for the user *name*, who has this *credential*, from *now* on."""
        content = f"{name}:{int(now)}:{_fingerprint(credential)}"
        return f"{content}:{self._signature('cookie', content)}"

    def name(self, cookie: str) -> str | None:
        """Return which user *cookie* names (None: it was not issued here); `read` says whether it holds."""
        content = self._content(cookie)
        return None if content is None else content.partition(":")[0]

    def read(self, cookie: str, credential: str, now: float) -> LoginSession | None:
        """Return the session of *cookie*, whose user has this *credential* now; None if it is over."""
        content = self._content(cookie)
        if content is None:
            return None
        name, issued, fingerprint = content.split(":")
        is_valid = hmac.compare_digest(fingerprint, _fingerprint(credential))
        if not is_valid or not 0 <= now - int(issued) < LIFETIME:
            return None
        return LoginSession(name, self._signature("form", content))

    def _content(self, cookie: str) -> str | None:
        content, _, signature = cookie.rpartition(":")
        known = self._signature("cookie", content)
        is_ours = hmac.compare_digest(signature.encode("utf-8", "replace"), known.encode())
        return content if is_ours else None

    def _signature(self, purpose: str, content: str) -> str:
        return hmac.digest(self.key, f"{purpose}\n{content}".encode("utf-8", "replace"), sha256).hex()


def _fingerprint(credential: str) -> str:
    return blake2b(credential.encode(), digest_size=8).hexdigest()
