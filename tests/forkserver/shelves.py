"""The child process of shelves, forked from an interpreter that has loaded what it needs.

A new interpreter costs thirty times what it then does. Tests of the start, the limits and the end of such a
process use `new_interpreters`, as do processes of smtd that tests start.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import anyio
from anyio.abc import SocketStream

from smtd.stores.shelf import child
from tests.forkserver.client import ForkServer

FLAGS = ["-S", "-s"]
#: How the child process finds its modules.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
_new: list[bool] = []


@contextmanager
def new_interpreters() -> Iterator[None]:
    """Start interpreters during a `with` block, as smtd does."""
    _new.append(True)
    try:
        yield
    finally:
        _new.pop()


@contextmanager
def forked() -> Iterator[None]:
    """Fork during a `with` block."""
    _server()  # a wait for its start would count as one of smtd
    child.anyio = _Anyio()  # type: ignore[attr-defined, assignment]
    try:
        yield
    finally:
        child.anyio = anyio  # type: ignore[attr-defined]


def fork_for_children() -> None:
    """Make all that this process forks fork the children of their shelves; it ends with the last of them."""
    atexit.unregister(_server().end)
    child.anyio = _Anyio()  # type: ignore[attr-defined, assignment]


class _Anyio:
    """The module, except for how it starts a process."""

    def __getattr__(self, name: str) -> Any:
        return open_process if name == "open_process" else getattr(anyio, name)


@cache
def _server() -> ForkServer:
    return ForkServer(
        ["smtd.stores.shelf.worker"],
        flags=FLAGS,
        env=ENVIRONMENT,
        path=[entry for entry in sys.path if entry],
        without=["typing_extensions"],
    )


class Forked:
    """The part of a process of anyio that `child.run` uses."""

    def __init__(self, stdin: SocketStream, stdout: SocketStream, status: int) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self._status = status
        self._told = b""

    async def __aenter__(self) -> Forked:
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.stdin.aclose()
            await self.stdout.aclose()
        try:
            await self.wait()
        except BaseException:
            self.kill()
            with anyio.CancelScope(shield=True):
                await self.wait()
            raise
        finally:
            os.close(self._status)

    async def started(self) -> None:
        """Wait until the id of the process is known."""
        await self._lines(1)

    async def wait(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        return int((await self._lines(2))[1])

    def kill(self) -> None:
        """Kill the process."""
        if self._told.count(b"\n") < 2:
            os.kill(int(self._told.split(b"\n")[0]), 9)

    async def _lines(self, count: int) -> list[bytes]:
        while self._told.count(b"\n") < count:
            await anyio.wait_readable(self._status)
            told = os.read(self._status, 100)
            assert told, "the fork server has ended"
            self._told += told
        return self._told.split(b"\n")


async def open_process(argv: Sequence[str], *, stderr: int, env: Mapping[str, str]) -> Any:
    """Start a process, by a fork if it is the child of a shelf."""
    if (
        _new
        or argv[1:4] != [*FLAGS, "-c"]
        or env.items() - {"TZ": env.get("TZ")}.items() != ENVIRONMENT.items()
    ):
        return await anyio.open_process(argv, stderr=stderr, env=env)
    (stdin, its_stdin), (stdout, its_stdout) = socket.socketpair(), socket.socketpair()
    nothing = os.open(os.devnull, os.O_WRONLY)
    with its_stdin, its_stdout, anyio.CancelScope(shield=True):
        streams = [its_stdin.fileno(), its_stdout.fileno(), nothing]
        status = _server().start(argv[3:], streams, env, cwd="/", umask=0o22)
        os.close(nothing)
        os.set_blocking(status, False)
        forked = Forked(await SocketStream.from_socket(stdin), await SocketStream.from_socket(stdout), status)
        await forked.started()
    return forked
