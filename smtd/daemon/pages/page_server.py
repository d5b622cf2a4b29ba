"""The daemon's end of the pages: nothing listens until somebody asks for a link."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus

from smtd.daemon.pages import peer, routes
from smtd.daemon.pages.access import LINK_LIFETIME, LinkAccess
from smtd.daemon.pages.asking import Ask
from smtd.daemon.pages.dispatch import LocalPages
from smtd.daemon.pages.pair_indexes import Start
from smtd.daemon.pair_records import PairAccess
from smtd.errors import UsageError
from smtd.server.acceptor import accepting, listeners
from smtd.web import templates

log = logging.getLogger("smtd")

HOST = "127.0.0.1"
_MENU = (
    ("/", "Mirror"),
    ("/decide", "Decide"),
    ("/history", "History"),
    ("/projects", "Records"),
    ("/data", "Data"),
)


class PageServer:
    """Serves pages that use the verbs of *ask*, and the records that *access* knows.

    *start* starts a task, and waits until it runs.
    """

    def __init__(self, ask: Ask, access: PairAccess, start: Start) -> None:
        self._ask = ask
        self._pair_access = access
        self._start = start
        self._starting = anyio.Lock()
        self._port = 0
        self._access = LinkAccess(anyio.current_time)

    async def link(self) -> dict[str, Any]:
        """Return an address that opens the pages once, and for how many seconds it does.

        Raises UsageError if nothing can listen.
        """
        async with self._starting:
            if not self._port:
                self._port = await self._start(self._run)
        return {
            "address": f"http://{HOST}:{self._port}/open?token={self._access.new_link()}",
            "seconds": LINK_LIFETIME,
        }

    async def _run(self, *, task_status: TaskStatus[int]) -> None:
        """Serve until cancelled; report the port. Raises UsageError before that."""
        loaded = await to_thread.run_sync(partial(templates.load, "/", _MENU, projects="/projects"))
        checks_user = await to_thread.run_sync(peer.can_tell, os.getuid())
        if not checks_user:
            log.info(
                "the kernel does not tell whose a connection is; links and cookies alone guard the pages"
            )
        ending = anyio.Event()
        pages: list[LocalPages] = []

        async def handle(request: Any) -> Any:
            return await pages[0].handle(request)

        async with accepting(handle, _listening(), None) as found:
            port = found[0].getsockname()[1]
            shows = routes.shows(self._ask, self._pair_access, loaded, self._start, ending)
            pages.append(LocalPages(loaded, self._access, shows, port, checks_user=checks_user))
            task_status.started(port)
            try:
                await anyio.sleep_forever()
            finally:
                ending.set()  # ends the streams: they would go on for ever


@asynccontextmanager
async def _listening() -> AsyncIterator[Sequence[socket.socket]]:
    """Listen on a free port of loopback for the length of a `with` block. Raises UsageError."""
    try:
        found = await listeners(HOST, 0)
    except OSError as exc:
        raise UsageError(f"nothing can listen on {HOST}: {exc.strerror or exc}") from exc
    try:
        yield found
    finally:
        for each in found:
            each.close()
