"""A machine on which the commands of a page are typed: a home, a shell, and programs that run on."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.documents.blocks import ROOT
from tests.peers.environments import Environment
from tests.peers.project import AUTHOR

#: Seconds for a command, or for a daemon to answer.
PATIENCE = 60.0
#: What everybody's password is.
PASSWORD = "s3cret"
#: What a person answers to a question on the terminal.
ANSWERS = {
    r"[Pp]assword.*: $": f"{PASSWORD}\n",
    r"[Rr]epeat.*: $": f"{PASSWORD}\n",
    r"User at .*: $": "ada\n",
    r"Set it up\? .*: $": "\n",
    r"Forget it\? .*: $": "y\n",
}
#: Commands that run on until somebody stops them, and those that ask questions.
_RUNS_ON = re.compile(r"smtd (run|serve)\b")
_ASKS = re.compile(r"smtd (user (add|password)|mirror|forget)\b")


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    output: str


@dataclass
class Machine:
    """A machine with the home *home*, on which `smt` is that of *environment* (None: there is none)."""

    home: Path
    environment: Environment | None = None
    cwd: Path = field(init=False)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cwd = self.home
        for name in ("bin", ".run", ".config/smtd", "projects"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        (self.home / ".run").chmod(0o700)
        self._script("smtd", f'exec {sys.executable} -m smtd "$@"')
        self._script("smtd-ctl", f'exec {sys.executable} -m smtd.cli.ctl "$@"')
        if self.environment is not None:
            self.has(self.environment)

    def _script(self, name: str, text: str) -> None:
        file = self.home / "bin" / name
        file.write_text(f"#!/bin/bash\n{text}\n", "utf-8")
        file.chmod(0o755)

    def has(self, environment: Environment) -> None:
        """Make `smt` that of *environment*."""
        self.environment = environment
        more = {**environment.variables(), **AUTHOR, "http_proxy": "", "HOME": str(self.home)}
        kept = {name: value for name, value in more.items() if os.environ.get(name) != value}
        exported = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in kept.items())
        self._script("smt", f'{exported}\nexec {environment.smt} "$@"')

    def becomes(self, program: str, environment: Environment) -> None:
        """Make a *program* that installs *environment*, so to say: `smt` is the one there from then on."""
        after = self.home / "bin" / "smt"
        before = after.read_text("utf-8")
        self.has(environment)
        later = self.home / "bin" / "smt-later"
        after.rename(later)
        self._script("smt", before.partition("\n")[2])
        self._script(program, f"cp {shlex.quote(str(later))} {shlex.quote(str(after))}")

    def variables(self) -> dict[str, str]:
        """Return the environment of its shell: nothing of this machine's configuration."""
        return {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:/usr/bin:/bin:/usr/sbin",
            "XDG_RUNTIME_DIR": str(self.home / ".run"),
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "BROWSER": "",
        }

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        """Write the file *name* in the home."""
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        file.chmod(mode)

    def type(self, line: str) -> Done:
        """Run *line* as a person who types it, and wait for its end, or until a daemon answers."""
        if _RUNS_ON.match(line):
            return self._start(line)
        return self._asked(line) if _ASKS.match(line) else self._run(line)

    def must(self, *lines: str) -> None:
        """Run *lines*, all of which must succeed."""
        for line in lines:
            done = self.type(line)
            assert done.code == 0, (line, done)

    def _run(self, line: str) -> Done:
        where = self.home / ".cwd"
        script = f"umask 077\n{line}\ncode=$?\npwd > {shlex.quote(str(where))}\nexit $code"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.cwd,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
        self.cwd = Path(where.read_text("utf-8").strip())
        return Done(done.returncode, done.stdout.decode())

    def _start(self, line: str) -> Done:
        """Start what runs on, and wait until it answers."""
        log = self.home / f"log-{len(self.running)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self.cwd,
                env=self.variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.running.append(process)
        deadline = time.monotonic() + PATIENCE
        while self._run("smtd-ctl status").code == 3:
            if process.poll() is not None or time.monotonic() > deadline:
                return Done(process.poll() or 1, log.read_text("utf-8"))
            time.sleep(0.05)
        return Done(0, log.read_text("utf-8"))

    def _asked(self, line: str) -> Done:
        """Run what asks on a terminal, and answer."""
        side, other = os.openpty()
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.cwd,
            env=self.variables(),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        shown, answered = "", 0
        try:
            while said := _read(side):
                shown += said
                for question, answer in ANSWERS.items():
                    if re.search(question, shown[answered:]):
                        answered = len(shown)
                        os.write(side, answer.encode())
        finally:
            os.close(side)
        return Done(process.wait(PATIENCE), shown.replace("\r\n", "\n"))

    def stop(self) -> None:
        """End what runs on."""
        for process in self.running:
            if process.poll() is None:
                process.terminate()
                process.wait(PATIENCE)


def _read(side: int) -> str:
    try:
        return os.read(side, 4096).decode(errors="replace")
    except OSError:  # the command has ended
        return ""
