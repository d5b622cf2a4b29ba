"""Interpreters that write their own dbm, forked from one that has loaded its module.

A new interpreter costs ten times what it then does. Only interpreters that `run` has started here are forked:
what a test names in place of an interpreter (none, a script, an older one) is started as by smtd.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from smtd.stores.shelf import foreign
from tests.forkserver.client import Child, ForkServer

#: Options of an interpreter: ignore the environment, and the user's own packages.
FLAGS = ["-E", "-s"]
_known: set[str] = set()


def run(python: str | Path, words: Sequence[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run `python` with *words*, and with *given* on its standard input, to its end."""
    _known.add(str(python))
    streams = [_memory(name) for name in ("in", "out", "err")]
    told, out, err = streams
    try:
        told.write(given)
        told.seek(0)
        numbers = [stream.fileno() for stream in streams]
        with Child(_server(str(python)).start(words, numbers, {}, cwd="/", umask=0o22)) as process:
            code = process.wait(foreign.TIMEOUT)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(words), code, out.read(), err.read())
    finally:
        for stream in streams:
            stream.close()


@contextmanager
def forked() -> Iterator[None]:
    """Make smtd, too, fork the interpreters that are known here, during a `with` block."""
    started = foreign._run

    def write(python: str, name: str, path: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
        if python not in _known:
            return started(python, name, path, given)
        return run(python, ["-c", foreign._WRITE, name, path], given)

    foreign._run = write
    try:
        yield
    finally:
        foreign._run = started


@cache
def _server(python: str) -> ForkServer:
    return ForkServer(["dbm.gnu", "dbm.ndbm", "pickle"], flags=FLAGS, env={}, python=python)


def _memory(name: str) -> IO[bytes]:
    return open(os.memfd_create(name), "w+b", buffering=0)
