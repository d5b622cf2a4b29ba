"""Serve the control socket: one request a connection, many clients at once; `audience.py` says for whom."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from anyio import to_thread
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup

from smtd import denied, private
from smtd.control import audience
from smtd.control.audience import Readers, Role
from smtd.control.protocol import LARGEST_REQUEST, MOST_CLIENTS, MOST_READERS, PATIENCE, addressed
from smtd.errors import DaemonRuns, SmtdError, UsageError

log = logging.getLogger("smtd")

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)

#: Takes a request and yields the answers to it. May raise SmtdError.
Handler: TypeAlias = Callable[[dict[str, Any]], AsyncIterator[dict[str, Any]]]


class ControlSocket:
    """The control socket at *path*."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers: Readers | None = None
        self._is_open = False
        self._room = anyio.CapacityLimiter(MOST_CLIENTS)
        self._room_of_readers = anyio.CapacityLimiter(MOST_READERS)
        self._door = anyio.Semaphore(2 * MOST_CLIENTS)

    async def admit(self, readers: Readers | None) -> None:
        """Let *readers* look, too, from now on (None: nobody)."""
        self._readers = readers
        if not self._is_open:
            return
        if warning := await to_thread.run_sync(audience.open_to, self._path, readers):
            log.warning("%s", warning)

    @asynccontextmanager
    async def serving(self, handler: Handler, group: TaskGroup) -> AsyncIterator[None]:
        """Answer requests for the length of a `with` block; *group* owns the tasks.

        A socket that no process serves any more is replaced. Raises DaemonRuns if one does.
        """
        await to_thread.run_sync(_clear, self._path)
        listener = await _listener(self._path)
        scope = anyio.CancelScope()
        try:
            self._is_open = True
            await self.admit(self._readers)
            group.start_soon(self._listen, listener, handler, scope)
            yield
        finally:
            self._is_open = False
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await listener.aclose()
                limiter = anyio.CapacityLimiter(1)  # all other worker threads may be busy
                await to_thread.run_sync(lambda: self._path.unlink(missing_ok=True), limiter=limiter)

    async def _listen(self, listener: SocketListener, handler: Handler, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as clients:
                while True:
                    await self._door.acquire()  # further clients wait in the kernel's queue, at no cost
                    clients.start_soon(self._serve, await _accepted(listener), handler)

    async def _serve(self, stream: SocketStream, handler: Handler) -> None:
        try:
            async with stream:
                await self._answer(stream, handler)
        finally:
            self._door.release()

    async def _answer(self, stream: SocketStream, handler: Handler) -> None:
        raw = stream.extra(SocketAttribute.raw_socket)
        role = audience.role_of(audience.client_of(raw), os.getuid(), self._readers)
        room = self._room_of_readers if role is Role.READER else self._room
        if room.available_tokens < 1:
            count = int(room.total_tokens)
            what = f"{count} clients are connected already; stop some, such as events --follow"
            with suppress(*_GONE), anyio.move_on_after(1):
                await stream.receive()  # if a client cannot send its request, it may not read the answer
            await _send(stream, {"ok": False, "error": what, "code": 3})
            return
        async with room:
            await _serve(stream, handler, role, self._readers)


async def _listener(path: Path) -> SocketListener:
    """Return a new socket at *path*, which no other user can reach before it is private.

    Raises DaemonRuns if there is one already, UsageError if it cannot be created.
    """
    try:
        directory, lock = await to_thread.run_sync(private.make_scratch, path.parent)
        try:
            made = f"{directory}/s"
            with addressed(made) as address:
                listener = await anyio.create_unix_listener(address, mode=0o600)
            try:
                await to_thread.run_sync(os.link, made, path)
            except OSError:
                await listener.aclose()
                raise
            return listener
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(private.remove_scratch, directory, lock)
    except FileExistsError:
        raise DaemonRuns(f"another smtd has just started at {path}; stop it first") from None
    except (OSError, ValueError) as exc:
        raise _not_made(path, exc) from exc


def _not_made(path: Path, exc: OSError | ValueError) -> UsageError:
    if isinstance(exc, ValueError):
        return UsageError(f"the control socket {path} cannot be created: {exc}")
    why = denied.unwritten(exc)
    return UsageError(f"the control socket {path} cannot be created: {why}; or name another one (--socket)")


async def _accepted(listener: SocketListener) -> SocketStream:
    """Return the next client; if this process has too many files open, wait until some are closed."""
    while True:
        try:
            return await listener.accept()
        except anyio.BrokenResourceError as exc:
            log.warning("a client of the control socket has to wait: %s", exc.__cause__)
            await anyio.sleep(1)


def _clear(path: Path) -> None:
    """Create the directory of *path*, and remove a socket there that no process serves. Blocks."""
    try:
        private.make_directory(path.parent)
        with addressed(str(path)):
            found = path.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as exc:
        raise _not_made(path, exc) from exc
    if not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"{path} is not a socket; name another path for the control socket (--socket)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            with addressed(str(path)) as address:
                probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # a process serves it, but is busy
    raise DaemonRuns(f"another smtd runs at {path}; stop it first (smtd stop)")


async def _serve(stream: SocketStream, handler: Handler, role: Role, readers: Readers | None) -> None:
    try:
        if role is Role.STRANGER:
            raise UsageError(audience.refusal(role, "", readers))
        request = await _request(stream)
        if why := audience.refusal(role, request["verb"], readers):
            raise UsageError(why)
    except SmtdError as exc:
        await _send(stream, {"ok": False, "error": str(exc), "code": exc.exit_code})
        return
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_gone, stream, group.cancel_scope)
        async for answer in _answers(request, handler):
            if not await _send(stream, answer):
                break
        group.cancel_scope.cancel()


async def _cancel_when_gone(stream: SocketStream, scope: anyio.CancelScope) -> None:
    """Cancel *scope* when the client has closed the connection: else it would wait for events for ever.

    A client that has closed only its sending side, as `nc -N` does, still gets its answer.
    """
    with suppress(*_GONE):
        while True:
            await stream.receive()
    poll = select.poll()
    poll.register(stream.extra(SocketAttribute.raw_socket), 0)  # poll reports a hang-up in any case
    while not poll.poll(0):  # noqa: ASYNC110 - the loop has no event for it
        await anyio.sleep(1)
    scope.cancel()


async def _answers(request: dict[str, Any], handler: Handler) -> AsyncIterator[dict[str, Any]]:
    try:
        async for answer in handler(request):
            yield {"ok": True, "result": answer}
    except SmtdError as exc:
        yield {"ok": False, "error": str(exc), "code": exc.exit_code}
    except Exception as exc:
        # One request must not end the daemon.
        log.exception("a request caused an error in smtd")
        what = f"a bug in smtd ({type(exc).__name__}); see its log and report it"
        yield {"ok": False, "error": what, "code": 1}


async def _request(stream: SocketStream) -> dict[str, Any]:
    data = b""
    try:
        with anyio.fail_after(PATIENCE):
            while not data.endswith(b"\n"):
                data += await stream.receive()
                if len(data) > LARGEST_REQUEST:
                    raise UsageError(f"the request is larger than {LARGEST_REQUEST} bytes")
    except _GONE:
        raise UsageError("the request is not a complete line") from None
    except TimeoutError:
        raise UsageError(f"the request did not arrive within {PATIENCE:.0f} s") from None
    request = _parsed(data)
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        raise UsageError('a request is one line of JSON, such as {"verb": "status"}')
    return request


def _parsed(data: bytes) -> Any:
    """Return the value of *data*, or None if it is not JSON.

    Raises UsageError for NaN and infinities, for numbers beyond 64 bits, and for text that cannot be the name
    of a file.
    """
    try:
        request = json.loads(data, parse_constant=_no_number, parse_int=_integer)
        os.fsencode(
            json.dumps(request, ensure_ascii=False)
        )  # Python's names of files that are not Unicode pass
    except UnicodeEncodeError:
        raise UsageError("the request has text with a lone surrogate, which is not Unicode") from None
    except (ValueError, RecursionError):
        return None
    return request


def _no_number(word: str) -> None:
    raise UsageError(f"the request has {word}, which is not a number in JSON")


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise UsageError(f"the request has a number beyond 64 bits ({digits[:25]}…)")
    return int(digits)


async def _send(stream: SocketStream, answer: dict[str, Any]) -> bool:
    """Send one line; say whether the client has read it. Give up on a client that does not read in time."""
    with suppress(*_GONE), anyio.move_on_after(PATIENCE):
        await stream.send(json.dumps(answer).encode() + b"\n")
        return True
    return False
