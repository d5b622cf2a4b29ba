"""Starts processes of Python that have already loaded smtd: loading takes most of the time of a short one."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeAlias

SERVER = Path(__file__).with_name("server.py")
#: The variables that an interpreter reads at its start, which is before the fork.
AT_START = ("PYTHON", "LC_", "LANG", "COVERAGE_", "LD_", "MALLOC_", "SSL_")


def read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that an interpreter reads at its start."""
    return {name: value for name, value in env.items() if name.startswith(AT_START)}


class Child:
    """A process that was forked for a test, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, status: int) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self.stdout: IO[bytes] | None = None
        self.returncode: int | None = None
        self.pid = int(self._line())

    def fileno(self) -> int:
        """The descriptor that becomes readable when the process has ended."""
        return self._status.fileno()

    def poll(self) -> int | None:
        """Return the exit code if the process has ended."""
        if self.returncode is None and select.select([self], [], [], 0)[0]:
            self.returncode = int(self._line())
            self._status.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raise TimeoutExpired, as Popen does."""
        if self.returncode is None and not select.select([self], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[bytes | None, None]:
        """Read the output until the process ends."""
        said = None
        if self.stdout is not None:
            with self.stdout:
                said = self.stdout.read()
        self.wait(timeout)
        return said, None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the end, as Popen does."""
        if self.stdout is not None:
            self.stdout.close()
        self.wait()

    def _line(self) -> bytes:
        line = self._status.readline()
        assert line, "the fork server has ended"
        return line


#: The modules that tests start.
Process: TypeAlias = "Child | subprocess.Popen[bytes]"


class ForkServer:
    """A *python* that has loaded the existing ones of *modules*, and ends with this process."""

    def __init__(
        self,
        modules: Sequence[str],
        *,
        flags: Sequence[str] = (),
        env: Mapping[str, str],
        path: Sequence[str] = (),
        without: Sequence[str] = (),
        hidden: Sequence[str] = (),
        prepare: Sequence[str] = (),
        python: str | Path = sys.executable,
    ) -> None:
        self.variables = read_at_start(env)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = {
            "path": list(path),
            "without": list(without),
            "modules": list(modules),
            "hidden": list(hidden),
            "prepare": list(prepare),
        }
        with theirs:
            self._process = subprocess.Popen(
                [str(python), *flags, str(SERVER), str(theirs.fileno()), json.dumps(given)],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.end)

    def end(self) -> None:
        """End the interpreter."""
        self._requests.close()
        self._process.wait()

    def child(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        *,
        stdout: int,
        stderr: int = 2,
        stdin: bytes | int = b"",
    ) -> Child:
        """Start `python` with *words*; its standard input is a descriptor, or has these bytes."""
        with _holding(stdin) as given:
            streams = [given.fileno(), stdout, stderr]
            return Child(self.start(words, streams, env, cwd=os.path.abspath(cwd), umask=_umask()))

    def start(
        self,
        words: Sequence[str],
        streams: Sequence[int],
        env: Mapping[str, str],
        *,
        cwd: str,
        umask: int,
    ) -> int:
        """Start `python` with *words*; return the sources of the process id and of the exit code.

        *cwd* is absolute. Nothing here waits for a disk or for another process.
        """
        request = {"words": list(words), "env": dict(env), "cwd": cwd, "umask": umask}
        status, theirs = os.pipe()
        try:
            socket.send_fds(self._requests, [json.dumps(request).encode()], [*streams, theirs])
        finally:
            os.close(theirs)
        return status


def _holding(data: bytes | int) -> IO[bytes]:
    """Return what has *data*, at its beginning, or is that descriptor."""
    if isinstance(data, int):
        return os.fdopen(os.dup(data), "rb", buffering=0)
    if not data:
        return open(os.devnull, "rb")
    file = os.fdopen(os.memfd_create("in"), "w+b")
    file.write(data)
    file.seek(0)
    return file


def _umask() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next(int(line.split()[1], 8) for line in file if line.startswith("Umask:"))


@cache
def for_commands() -> ForkServer:
    """Return the fork server for smtd's commands and the daemon."""
    modules = ("smtd.cli.main", "smtd.cli.sync", "smtd.cli.run", "smtd.cli.ctl", *_COMMANDS, *_LATER)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    prepare = ["tests.forkserver.shelves:fork_for_children", "smtd.web.templates:compiled"]
    return ForkServer(modules, env=env, hidden=["smtd.cli.ctl"], prepare=prepare)


#: Programs that run smtd's commands, and work in a fork.
programs: set[str] = set()
_COMMANDS = (
    "smtd.cli.check",
    "smtd.cli.show",
    "smtd.cli.user_daemon",
    "smtd.cli.list_records",
    "smtd.cli.records",
    "smtd.cli.user",
    "smtd.cli.backup",
)
#: Modules that commands load when needed: most commands do, or loading takes long.
_LATER = (
    "anyio._backends._asyncio",
    "anyio.streams.tls",
    "importlib.readers",
    "smtd.stores.http.store",
    "smtd.server.serving",
)


def can_start(words: Sequence[str], env: Mapping[str, str]) -> bool:
    """Say whether a fork equals a new interpreter: only for smtd's commands."""
    if words[:2] not in (["-m", "smtd"], ["-m", "smtd.cli.ctl"]) and words[1] not in programs:
        return False
    measured = any(name.startswith("COVERAGE_") for name in env)
    return not measured and read_at_start(env) == for_commands().variables


def run(
    words: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout: float | None = None,
    *,
    stdin: bytes = b"",
) -> Any:
    """Run `python` with *words* to its end, as `subprocess.run` does with captured text."""

    def started(out: int, err: int) -> Process:
        return start(words, cwd, env, stdout=out, stderr=err, stdin=stdin)

    return captured(words, started, timeout)


def captured(
    words: Sequence[str], started: Callable[[int, int], Process], timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Wait for what is *started* with files for its output; return that. Raises TimeoutExpired."""
    with open(os.memfd_create("out"), "w+b") as out, open(os.memfd_create("err"), "w+b") as err:
        with started(out.fileno(), err.fileno()) as process:
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
        said, complained = (_text(file.fileno()) for file in (out, err))
    return subprocess.CompletedProcess(list(words), code, said, complained)


def start(
    words: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    *,
    stdout: int | None = None,
    stderr: int = 2,
    stdin: bytes | int = b"",
) -> Process:
    """Start `python` with *words*; without *stdout* what it says can be read line by line, with select."""
    if not can_start(words, env):
        with _holding(stdin) as given:
            return subprocess.Popen(
                [sys.executable, *words],
                cwd=cwd,
                env=env,
                stdin=given,
                stdout=subprocess.PIPE if stdout is None else stdout,
                stderr=stderr,
                bufsize=0,  # so that select sees every line
                preexec_fn=hears_sigint,
            )
    if stdout is not None:
        return for_commands().child(words, cwd, env, stdout=stdout, stderr=stderr, stdin=stdin)
    told, theirs = os.pipe()
    child = for_commands().child(words, cwd, env, stdout=theirs, stderr=stderr, stdin=stdin)
    os.close(theirs)
    child.stdout = os.fdopen(told, "rb", buffering=0)
    return child


def hears_sigint() -> None:
    """Let SIGINT end a process, even if the tests run in the background of a shell that ignores it there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _text(number: int) -> str:
    os.lseek(number, 0, os.SEEK_SET)
    with open(number, encoding="utf-8", errors="surrogateescape", closefd=False) as file:
        return file.read()
