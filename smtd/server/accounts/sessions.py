"""Sessions of people who have logged in by a page: signed cookies.

A cookie names its user, when it was issued, and a fingerprint of the user's credential, so that a new
password or a removed account ends every session. Sessions are not stored: any process with the key, which is
in a private file beside the users file, knows them.
"""

from __future__ import annotations

import hmac
import logging
import os
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path

from smtd import denied, private, regular
from smtd.text import shown

log = logging.getLogger(__name__)

#: Seconds for which a session lasts.
LIFETIME = 12 * 3600
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class LoginSessions:
    """Issues and reads cookies, signed with *key*."""

    key: bytes

    def cookie(self, name: str, credential: str, now: float) -> str:
        """Return the value of a cookie for the user *name*, who has this *credential*, from *now* on."""
        content = f"{name}:{int(now)}:{_fingerprint(credential)}"
        return f"{content}:{self._signature('cookie', content)}"

    def name(self, cookie: str) -> str | None:
        """Return which user *cookie* names (None: it was not issued here); `token` says whether it holds."""
        content = self._content(cookie)
        return None if content is None else content.partition(":")[0]

    def token(self, cookie: str, credential: str, now: float) -> str | None:
        """Return what the forms of the session of *cookie* carry; None if it is over.

        Its user has this *credential* now.
        """
        content = self._content(cookie)
        if content is None:
            return None
        _, issued, fingerprint = content.split(":")
        is_valid = hmac.compare_digest(fingerprint, _fingerprint(credential))
        if not is_valid or not 0 <= now - int(issued) < LIFETIME:
            return None
        return self._signature("form", content)

    def _content(self, cookie: str) -> str | None:
        content, _, signature = cookie.rpartition(":")
        known = self._signature("cookie", content)
        is_ours = hmac.compare_digest(signature.encode("utf-8", "replace"), known.encode())
        return content if is_ours else None

    def _signature(self, purpose: str, content: str) -> str:
        return hmac.digest(self.key, f"{purpose}\n{content}".encode("utf-8", "replace"), sha256).hex()


def _fingerprint(credential: str) -> str:
    return blake2b(credential.encode(), digest_size=8).hexdigest()


def load_key(users_file: Path) -> bytes | None:
    """Return the key beside *users_file*, which is made if it is missing; None if it can be neither. Blocks.

    Without a key, sessions end with the process.
    """
    path = users_file.with_name(f"{users_file.name}.key")
    try:
        return _read(path) or _make(path)
    except OSError as exc:
        log.info("sessions of pages will end with this process: %s (%s)", shown(str(path)), denied.why(exc))
        return None


def _read(path: Path) -> bytes | None:
    try:
        with regular.opened(path) as file:
            private.ensure(path)
            found = file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        return None
    return found if len(found) == KEY_BYTES else None


def _make(path: Path) -> bytes | None:
    """Make the key, unless another process was faster."""
    path.unlink(missing_ok=True)  # it was incomplete
    key = os.urandom(KEY_BYTES)
    try:
        handle = private.create(path)
    except FileExistsError:
        return _read(path)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
    return key
