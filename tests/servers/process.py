"""Start a database server for the tests: as user nobody, on its own port, without durability."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from tests.servers.programs import NoServer

#: Seconds in which a server must answer.
PATIENCE = 60.0


def unprivileged() -> dict[str, Any]:
    """Return how to start a program that refuses to run as root; no special way for others."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def workplace() -> Iterator[Path]:
    """Yield a directory that such a program may enter and own, wherever the tests are run from."""
    directory = Path(tempfile.mkdtemp(prefix="smtd-server-"))
    try:
        directory.chmod(0o755)
        owned = directory / "data"
        owned.mkdir(mode=0o700)
        if who := unprivileged():
            os.chown(owned, who["user"], who["group"])
        yield owned
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class Certificate:
    """A certificate of a server for 127.0.0.1 only, signed by *authority*."""

    authority: Path
    chain: Path
    key: Path


def certificate(owned: Path) -> Certificate:
    """Create a certificate in the directory *owned*, in private files."""
    made = Certificate(owned.parent / "authority.pem", owned / "server.pem", owned / "server.key")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(made.authority))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(made.key))
    for each in issued.cert_chain_pems:
        each.write_to_path(str(made.chain), append=True)
    for file in (made.chain, made.key):
        file.chmod(0o600)
        if who := unprivileged():
            os.chown(file, who["user"], who["group"])
    return made


def reachable(programs: Path, top: Path, directory: Path) -> Path:
    """Return *programs*, or a copy if the user that must run them may not go there.

    The copy, in *directory*, has all of *top*: programs find their libraries from there.
    """
    who = unprivileged()
    look = ["test", "-x", str(programs)]
    if not who or subprocess.run(look, **who, cwd="/", check=False).returncode == 0:
        return programs
    copy = directory.parent / "programs"
    shutil.copytree(top, copy, symlinks=True)
    return copy / programs.relative_to(top)


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(command: list[str | Path], *, text: str = "", env: dict[str, str] | None = None) -> None:
    """Run a program to its end as user nobody. Raises NoServer, with all its output, if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        **unprivileged(),
        input=text,
        cwd="/",
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NoServer(f"{command[0]} failed: {done.stdout[-2000:]}")


@contextmanager
def serving(
    command: list[str | Path], answers: Callable[[], bool], log: Path, env: dict[str, str] | None = None
) -> Iterator[None]:
    """Run a server until the end of the block, which begins when the server *answers*."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [str(word) for word in command],
            **unprivileged(),
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as server,
    ):
        try:
            deadline = time.monotonic() + PATIENCE
            while not answers():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise NoServer(
                        f"{command[0]} does not answer: {log.read_text('utf-8', 'replace')[-2000:]}"
                    )
                time.sleep(0.02)
            yield
        finally:
            server.kill()  # nothing of it is needed any more
