"""Identify the sender of a request: check its Authorization header against the users file.

Correct credentials pass, whatever other clients do. Checking a token costs almost nothing. Checking a
password takes 33 ms of a thread, and at most two checks run at once. A correct password is then remembered
for five minutes, by a keyed hash of the header. While logins with a name or from an address fail, the server
checks passwords that were not correct before one at a time: the addresses take turns, and after a wrong
password the next check waits. So attackers get about four guesses a second, all together. They may delay a
user's first login, but cannot lock a user out.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import CapacityLimiter, to_thread

from smtd.server.accounts import credentials
from smtd.server.accounts.credentials import Claim
from smtd.server.accounts.rights import User
from smtd.server.accounts.sessions import KEY_BYTES, LoginSessions
from smtd.server.accounts.throttle import SHORTEST_WAIT, Throttle, TooManyFailures, site
from smtd.server.accounts.users import Users
from smtd.server.accounts.users_file import Account
from smtd.text import shown

log = logging.getLogger(__name__)

#: Seconds for which a correct password is remembered, and how many passwords are remembered at most.
REMEMBERED, MOST_REMEMBERED = 300.0, 4096
#: Seconds from a wrong password to the next check, while passwords are checked one at a time.
PACE = 0.2
#: Pending password checks of one address: beyond FEW_AT_ONCE they run one at a time; beyond MOST_WAITING smtd
#: refuses them.
FEW_AT_ONCE, MOST_WAITING = 16, 256


@dataclass(slots=True)
class _Line:
    """The number of pending password checks of one address, and the lock by which they take turns."""

    length: int = 0
    turn: anyio.Lock = field(default_factory=anyio.Lock)


class Authenticator:
    """Finds the user who sent a request among *users*, which are loaded. Create it in a running loop.

    *session_key* signs the cookies of people who log in by a page (None: they are valid in this object only).
    """

    def __init__(
        self,
        users: Users,
        *,
        session_key: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._users = users
        self._clock, self._wall_clock, self._sleep = clock, wall_clock, sleep
        self._throttle = Throttle()
        self._key = os.urandom(32)
        self._sessions = LoginSessions(session_key or os.urandom(KEY_BYTES))
        #: By the keyed hash of a header: the account that it was right for, and until when that holds.
        self._remembered: OrderedDict[bytes, tuple[Account, float]] = OrderedDict()
        self._lines: dict[str, _Line] = {}
        self._two_at_once = CapacityLimiter(2)
        self._one_at_once = CapacityLimiter(1)
        self._threads = CapacityLimiter(2)

    async def authenticate(self, authorization: str | None, address: str) -> User | None:
        """Return the user who sent a request from *address* with this header, or None if there is none (401).

        A missing or unusable header does not count as a failed login. A change of the users file takes effect
        within a second, so a stream may check its header again to learn whether it may continue. Raises
        TooManyFailures if the credentials are wrong and too many logins have failed, or if too many password
        checks of the address are pending.
        """
        claim = credentials.claim(authorization)
        if claim is None:
            return None
        await self._users.refresh()
        account = self._users.by_token(claim.secret, self._wall_clock())
        if account is not None and claim.name in (None, account.name):
            return account.user
        if claim.name is None:
            self._refuse(None, address)
            return None
        return await self._by_password(claim, str(authorization), address)

    async def log_in(self, name: str, password: str, address: str) -> str | None:
        """Return a session cookie for the user *name* at *address*; None if name or password is wrong.

        A token does not count as a password. Raises TooManyFailures as `authenticate` does.
        """
        header = credentials.header(name, password)
        claim = credentials.claim(header)
        await self._users.refresh()
        # Not a token: a session would outlive one that is revoked or expires.
        user = None if claim is None else await self._by_password(claim, header, address)
        account = None if user is None else self._users.accounts.get(user.name)
        if account is None:
            return None
        return self._sessions.cookie(account.name, account.password or "", self._wall_clock())

    async def session(self, cookie: str) -> tuple[User, str] | None:
        """Return the user of *cookie*, and the token of their forms; None if the session is over."""
        await self._users.refresh()
        account = self._users.accounts.get(self._sessions.name(cookie) or "")
        if account is None:
            return None
        token = self._sessions.token(cookie, account.password or "", self._wall_clock())
        return None if token is None else (account.user, token)

    async def users_fingerprint(self) -> str:
        """Return the fingerprint of the users file, as it is now."""
        await self._users.refresh()
        return self._users.fingerprint

    async def _by_password(self, claim: Claim, header: str, address: str) -> User | None:
        tag = hmac.digest(self._key, header.encode("utf-8", "surrogatepass"), hashlib.sha256)
        if user := self._known(tag):
            return user
        if tag in self._remembered:  # it was correct before, so it is not a guess: no lane
            if not (user := await self._checked(claim, tag)):
                self._refuse(claim.name, address)
            return user
        async with self._lane(claim.name, address) as slow:
            if user := await self._checked(claim, tag):
                return user
            try:
                self._refuse(claim.name, address)
            finally:
                if slow:
                    await self._sleep(PACE)
        return None

    async def _checked(self, claim: Claim, tag: bytes) -> User | None:
        """Return the user of *claim* if its password is correct, and remember that; None if it is wrong."""
        async with self._two_at_once:
            if user := self._known(tag):
                return user  # another request with the same header has just been checked
            account = self._users.accounts.get(claim.name or "")
            stored = None if account is None else account.password
            right = await to_thread.run_sync(credentials.matches, claim.secret, stored, limiter=self._threads)
        self._remembered.pop(tag, None)
        if account is None or not right:
            return None
        self._remembered[tag] = account, self._clock() + REMEMBERED
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return account.user

    def _known(self, tag: bytes) -> User | None:
        """Return the user remembered under *tag*; None if none is, or it expired or the account changed."""
        account, until = self._remembered.get(tag, (None, 0.0))
        if account is None or self._clock() >= until or self._users.accounts.get(account.name) != account:
            return None
        return account.user

    @asynccontextmanager
    async def _lane(self, name: str | None, address: str) -> AsyncIterator[bool]:
        """Wait until a password may be checked; yield whether the caller must pause after a wrong one.

        Raises TooManyFailures if too many password checks of this address are pending.
        """
        key = site(address)
        line = self._lines.setdefault(key, _Line())
        if line.length >= MOST_WAITING:
            raise TooManyFailures(PACE * line.length)
        line.length += 1
        try:
            if line.length <= FEW_AT_ONCE and not self._throttle.wait(name, address, self._clock()):
                yield False
                return
            async with line.turn, self._one_at_once:  # one check of each address competes: they take turns
                yield True
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[key]

    def _refuse(self, name: str | None, address: str) -> None:
        """Count a failed login. Raises TooManyFailures if there have been too many."""
        wait = self._throttle.failed(name, address, self._clock())
        if wait == SHORTEST_WAIT:  # the first failure beyond the limit
            log.warning("failed logins from %s are slowed down", shown(address))
        if wait:
            raise TooManyFailures(wait)
