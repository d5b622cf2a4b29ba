"""Peers that have loaded Sumatra before a test asks them: a command then takes a quarter of the time."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent


class WarmPython:
    """An interpreter that runs one script at a time, each in a process that is forked from it.

    It ends when this process ends, or drops it.
    """

    def __init__(self, python: Path, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(python), str(HERE / "scripts" / "stay_warm.py")],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, command: list[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a script with its arguments to the end, with nothing on its standard input."""
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            request = {
                "arguments": command,
                "cwd": str(cwd),
                "env": dict(env),
                "out": out.name,
                "err": err.name,
            }
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            assert answer, f"the warm Python of {cwd} has ended"
            said, errors = (file.read().decode("utf-8", "surrogateescape") for file in (out, err))
        return subprocess.CompletedProcess(command, int(answer), said, errors)

    def end(self) -> None:
        """End the interpreter, which has nothing to do."""
        self._process.communicate()


#: Those that have nothing to do, by their Python; of this process only.
_idle: dict[Path, list[WarmPython]] = defaultdict(list)
_lock = threading.Lock()


def run(
    python: Path, command: list[str], cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a script and its arguments by a Python that is warm; any number of threads may ask at once."""
    with _lock:
        idle = _idle[python]
        warm = idle.pop() if idle else None
    if warm is None:
        warm = WarmPython(python, env)
    done = warm.run(command, cwd, env)
    with _lock:
        idle.append(warm)
    return done


def end() -> None:
    """End all that are idle."""
    with _lock:
        ending = [warm for idle in _idle.values() for warm in idle]
        _idle.clear()
    for warm in ending:
        warm.end()


def forget() -> None:
    """Use none of those of another process, after a fork."""
    _idle.clear()


atexit.register(end)
os.register_at_fork(after_in_child=forget)
