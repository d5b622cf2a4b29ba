"""The accounts of the users file in a running server, which reads the file again when it changes."""

from __future__ import annotations

import hmac
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from anyio import to_thread

from smtd.server.accounts import credentials, users_file
from smtd.server.accounts.users_file import Account, Accounts, StoredToken, UsersFileError
from smtd.text import shown

log = logging.getLogger(__name__)

#: Seconds between two checks of the file for changes, at least.
CHECK_PERIOD = 0.4


class Users:
    """The accounts of the users file at *path*; `refresh` keeps them less than a second old.

    While the file cannot be used, the accounts stay as they were. Without a file there are no accounts.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._checked = -CHECK_PERIOD
        self._stat: tuple[int, ...] | None = None
        self.accounts: Accounts = {}
        #: As `users_file.fingerprint` of the accounts.
        self.fingerprint = users_file.fingerprint({})
        self._tokens: dict[str, tuple[Account, StoredToken]] = {}
        #: What is wrong with the file now; empty if nothing is.
        self.problem = ""

    async def load(self) -> None:
        """Read the file. Raises UsersFileError if it cannot be used."""
        await self.refresh()
        if self.problem:
            raise UsersFileError(self.problem)

    async def refresh(self) -> None:
        """Read the file again if it has changed; check that at most every CHECK_PERIOD seconds."""
        now = self._clock()
        if now - self._checked < CHECK_PERIOD:
            return
        self._checked = now  # before the first await: other callers use the accounts known so far
        try:
            found, accounts = await to_thread.run_sync(self._read, self._stat)
        except UsersFileError as exc:
            if str(exc) != self.problem:
                log.warning("%s; the previous users stay in effect", exc)
            self._stat, self.problem = None, str(exc)
            return
        if accounts is not None:
            if self.problem:
                log.warning("the users file %s can be used again", shown(str(self._path)))
            if self.accounts and not accounts:
                log.warning("the users file %s no longer has any users", shown(str(self._path)))
            self._stat, self.problem, self.accounts = found, "", accounts
            self.fingerprint = users_file.fingerprint(accounts)
            self._tokens = {
                token.sha256: (account, token) for account in accounts.values() for token in account.tokens
            }

    def by_token(self, token: str, now: float) -> Account | None:
        """Return the account with this *token*, or None if there is none or the token has expired.

        *now* is in seconds since 1970.
        """
        digest = credentials.token_digest(token)
        account, stored = self._tokens.get(digest, (None, None))
        if account is None or stored is None or not hmac.compare_digest(stored.sha256, digest):
            return None
        return account if stored.expires is None or now < stored.expires else None

    def _read(self, known: tuple[int, ...] | None) -> tuple[tuple[int, ...], Accounts | None]:
        """Return the file's status, and its accounts if that differs from *known*, else None. Blocks."""
        found = _status(self._path)  # before reading: the next check notices a change in between
        return found, None if found == known else users_file.read(self._path)


def _status(path: Path) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode
