"""The daemon's own server: started, replaced and stopped when the configuration says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup, TaskStatus

from smtd.config import Config
from smtd.daemon.events import Events
from smtd.errors import SmtdError
from smtd.filestat import Signature
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.sessions import load_key
from smtd.server.accounts.users import Users
from smtd.server.server_settings import ServerSettings
from smtd.stores.access import NO_SETTINGS, Access
from smtd.text import encodable

log = logging.getLogger("smtd")

#: Seconds until a server that failed is restarted.
RESTART_PAUSE = 5.0


class WantedServer(NamedTuple):
    """The server that the configuration asks for, and the file of its users.

    *certificate* is the status of the certificate's file, which changes when the certificate is renewed under
    the same name; *access* the settings for the store.
    """

    settings: ServerSettings
    users: Path
    certificate: Signature = ()
    access: Access = NO_SETTINGS


@dataclass(eq=False, slots=True)
class _Running:
    wanted: WantedServer
    authenticator: Authenticator
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)


class OwnServer:
    """Runs the server that *locate* returns for the configuration, if any, in the task *group*.

    *locate* blocks, and raises SmtdError.
    """

    def __init__(
        self, locate: Callable[[Config], WantedServer | None], events: Events, group: TaskGroup
    ) -> None:
        self._locate = locate
        self._events = events
        self._group = group
        self._running: _Running | None = None

    async def follow(self, config: Config) -> None:
        """Start, replace or stop the server so that it is as *config* says; return when it answers.

        Raises SmtdError if *locate* does, or if the new server cannot start. The former server, if any, then
        runs on, or runs again.
        """
        wanted = await to_thread.run_sync(self._locate, config)
        former = self._running
        if former is not None and former.wanted == wanted:
            return
        new = None
        if wanted is not None:
            users = Users(wanted.users)
            await users.load()
            key = await to_thread.run_sync(load_key, wanted.users)
            new = _Running(wanted, Authenticator(users, session_key=key))
        if former is not None:  # first: the two may have one address, and have one store
            self._running = None
            former.scope.cancel()
            await former.ended.wait()
        if new is None:
            return
        try:
            await self._start(new, must_start=True)
        except Exception:
            if former is not None:
                await self._start(_Running(former.wanted, former.authenticator), must_start=False)
            raise
        if not users.accounts:
            log.warning("the server has no users; run smtd user add NAME")

    async def _start(self, running: _Running, *, must_start: bool) -> None:
        """Start a server, and return when it answers, or, unless it *must_start*, has failed once."""
        address = await self._group.start(partial(self._run, running, must_start=must_start))
        self._running = running
        if address:
            log.info("serving %s at %srecords/", running.wanted.settings.store, address)
            self._events.add("serving", address=address)

    async def _run(self, running: _Running, *, must_start: bool, task_status: TaskStatus[str]) -> None:
        """Serve until cancelled; report an error, and restart after RESTART_PAUSE seconds.

        With *must_start*, raises the error if the server has never started.
        """
        from smtd.server.serving import serve  # here: most daemons do not need aiohttp's server

        first = _First(task_status)
        try:
            with running.scope:
                while True:
                    try:
                        await serve(running.wanted.settings, running.authenticator, task_status=first)
                    except SmtdError as exc:
                        if must_start and not first.is_over:
                            raise
                        self._report(encodable(str(exc)))
                    except Exception as exc:
                        if must_start and not first.is_over:
                            raise
                        log.exception("a bug in the server of smtd")
                        self._report(f"a bug in smtd ({type(exc).__name__}); see its log and report it")
                    first.started()
                    await anyio.sleep(RESTART_PAUSE)
        finally:
            running.ended.set()

    def _report(self, problem: str) -> None:
        log.error("the server failed; restarting in %g s: %s", RESTART_PAUSE, problem)
        self._events.add("server ended", problem=problem)


class _First:
    """Passes on the first address that the server reports, and ignores those after a restart."""

    def __init__(self, status: TaskStatus[str]) -> None:
        self.is_over = False
        self._status = status

    def started(self, value: str | None = None) -> None:
        """See `TaskStatus.started`."""
        if not self.is_over:
            self._status.started(value or "")
        self.is_over = True
