"""The daemon's own server: started, replaced and stopped when the configuration says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
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
from smtd.server.accounts.users import Users
from smtd.server.server_settings import ServerSettings
from smtd.text import encodable

log = logging.getLogger("smtd")

#: Seconds until a server that failed is restarted.
AGAIN = 5.0


class WantedServer(NamedTuple):
    """The server that the configuration asks for, and the file of its users.

    *certificate* is the status of the certificate's file, which changes when the certificate is renewed under
    the same name.
    """

    settings: ServerSettings
    users: Path
    certificate: Signature = ()


@dataclass(eq=False, slots=True)
class _Running:
    wanted: WantedServer
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

        Raises SmtdError if *locate* does, and leaves the server as it is then; or if the new server cannot
        start, and then none runs.
        """
        wanted = await to_thread.run_sync(self._locate, config)
        if self._running is not None:
            if self._running.wanted == wanted:
                return
            running, self._running = self._running, None
            running.scope.cancel()
            await running.ended.wait()
        if wanted is not None:
            users = Users(wanted.users)
            await users.load()
            running = _Running(wanted)
            address = await self._group.start(self._keep, running, Authenticator(users))
            self._running = running
            log.info("serving %s at %srecords/", wanted.settings.store, address)
            self._events.add("serving", address=address)
            if not users.accounts:
                log.warning("nobody can log in at the server yet; run smtd user add NAME")

    async def _keep(
        self, running: _Running, authenticator: Authenticator, *, task_status: TaskStatus[str]
    ) -> None:
        """Serve until cancelled; after an error report it, and restart the server after AGAIN seconds.

        Raises the error if the server has never started.
        """
        from smtd.server.serving import serve  # here: most daemons do not need aiohttp's server

        first = _First(task_status)
        try:
            with running.scope:
                while True:
                    try:
                        await serve(running.wanted.settings, authenticator, task_status=first)
                    except SmtdError as exc:
                        if not first.is_over:
                            raise
                        self._tell(encodable(str(exc)))
                    except Exception:
                        if not first.is_over:
                            raise
                        log.exception("the server has a defect")
                        self._tell("a defect; the log has more")
                    await anyio.sleep(AGAIN)
        finally:
            running.ended.set()

    def _tell(self, problem: str) -> None:
        log.error("the server ended, and begins anew in %g s: %s", AGAIN, problem)
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
