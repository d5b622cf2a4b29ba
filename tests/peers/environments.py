"""Virtual environments with real Sumatra, built once and kept outside the repository.

They are in `$SMTD_PEERS`, else `$XDG_CACHE_HOME/smtd-peers`, else `~/.cache/smtd-peers`. `python -m
tests.peers.environments` builds missing ones and prints where they are.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers import dbm_modules, warm

NAMES = ("django", "plain", "dbm", "server")
#: Environments whose requirements have another name.
SAME = {"dbm": "plain"}
#: In `plain` new shelves are of dbm.dumb, which every machine has.
DUMB_FIRST = 'import dbm; dbm._names.remove("dbm.dumb"); dbm._names.insert(0, "dbm.dumb")\n'
HERE = Path(__file__).parent
# Sumatra 0.8.1 works on these; others are tried in this order.
WORKING_PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 10))
# `smt run` looks for the internet at a fixed address and NT parameter sets that look like a
# URL are fetched; a proxy that refuses keeps both on this machine and costs no time.
NO_NETWORK = {
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "ftp_proxy": "http://127.0.0.1:9",
    "no_proxy": "localhost,127.0.0.1,::1",
}


class PeerFailed(Exception):
    """A peer could not be built, or a command in it failed; the message has the output."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in which real Sumatra runs."""

    name: str
    directory: Path

    @property
    def bin(self) -> Path:
        return self.directory / "bin"

    @property
    def python(self) -> Path:
        return self.bin / "python"

    @property
    def smt(self) -> Path:
        return self.bin / "smt"

    def run(
        self,
        program: str | Path,
        *args: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run *program* (`"smt"`, `"python"`, any path) in *cwd* and return the completed process.

        *env* is added to `variables()`. Raises PeerFailed, with the command and all of its output, if *check*
        and the exit code is not 0.
        """
        command, variables = self.command(program, *args), {**self.variables(), **(env or {})}
        if (script := self._script_in(command)) and not any(name.startswith("PYTHON") for name in env or {}):
            done = warm.run(self.python, script, cwd, variables)
        else:
            done = subprocess.run(
                command,
                cwd=cwd,
                env=variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                check=False,
            )
        if check and done.returncode:
            raise PeerFailed(_account(done))
        return done

    def _script_in(self, command: list[str]) -> list[str]:
        """Return the Python script that *command* runs, and its arguments (nothing: it runs none)."""
        if command[0] == str(self.smt):
            return command
        is_script = command[0] == str(self.python) and len(command) > 1 and command[1].endswith(".py")
        return command[1:] if is_script else []

    def script(
        self,
        name: str,
        *args: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of `tests/peers/scripts` in this environment, as `run` does."""
        return self.run("python", HERE / "scripts" / name, *args, cwd=cwd, env=env, check=check)

    def command(self, program: str | Path, *args: str | Path) -> list[str]:
        """Return the command line of *program*, for a caller that starts it on its own."""
        found = self.bin / program
        return [str(found if found.exists() else program), *map(str, args)]

    def variables(self) -> dict[str, str]:
        """Return the process environment: this one's, without what could lead Sumatra astray."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "GIT_", "HG", "DJANGO_", "LC_", "COVERAGE_"))
            and not name.lower().endswith("_proxy")
        }
        return {
            **kept,
            **NO_NETWORK,
            "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": str(self.directory),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "HGRCPATH": "",
            "PYTHONUTF8": "1",  # hgapi sets LANG=en_US for Sumatra and all that it starts
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(HERE / "drivers"),
        }


@functools.cache
def environment(name: str) -> Environment:
    """Return the environment *name*; build it first if this machine has none yet.

    Any number of processes may call it at once: one builds, the others wait for it. Raises PeerFailed, with
    the last lines of pip's output, if it cannot be built.
    """
    requirements = HERE / "requirements" / f"{SAME.get(name, name)}.txt"
    interpreter = _interpreter(name)
    directory = cache() / _directory_name(name, requirements, interpreter)
    if not directory.exists():
        with only_one(directory.with_name(f"{directory.name}.lock")):
            if not directory.exists():
                _build(name, directory, requirements, interpreter)
    return Environment(name, directory)


def cache() -> Path:
    """Return the directory for everything that is built or fetched once."""
    named = os.environ.get("SMTD_PEERS")
    if named:
        cache = Path(named)
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smtd-peers"
    cache = cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _directory_name(name: str, requirements: Path, interpreter: Path) -> str:
    version = _version(interpreter)
    made = DUMB_FIRST if name == "plain" else ""
    wanted = f"{version}\n{interpreter}\n{made}".encode() + requirements.read_bytes()
    return f"{name}-{version}-{hashlib.sha256(wanted).hexdigest()[:12]}"


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Lock other processes out."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released by the kernel, however this process ends
        yield


def _build(name: str, directory: Path, requirements: Path, interpreter: Path) -> None:
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a build that was killed
    try:
        _must(interpreter, "-m", "venv", "--prompt", "smtd-peer", unfinished)
        pip: list[str | Path] = [unfinished / "bin" / "python", "-m", "pip", "--no-input"]
        quiet = ["--quiet", "--disable-pip-version-check", "--use-pep517"]
        _must(*pip, "install", *quiet, "--require-hashes", "-r", requirements)
        if name == "dbm":
            dbm_modules.add_gnu(unfinished)
        elif name == "plain":
            (packages,) = unfinished.glob("lib/python3.*/site-packages")
            (packages / "dumb_first.pth").write_text(DUMB_FIRST, "utf-8")
        _relocate(unfinished / "bin", unfinished, directory)
        unfinished.rename(directory)
    except OSError as exc:
        raise PeerFailed(str(exc)) from exc
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _must(*command: str | Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, command)),
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise PeerFailed(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{last}")


def _relocate(scripts: Path, old: Path, new: Path) -> None:
    """Replace the environment's path in its scripts by the one to which it will be renamed."""
    for script in scripts.iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if b"\0" not in content and bytes(old) in content:
            script.write_bytes(content.replace(bytes(old), bytes(new)))


def _interpreter(name: str) -> Path:
    """Return the Python to build with: that of the tests, if Sumatra works on it.

    For `dbm` it is one that has dbm.ndbm. Raises PeerFailed if none is found.
    """
    if name == "dbm":
        for candidate in dbm_modules.ndbm_pythons():
            return candidate
        raise PeerFailed("no Python here has the dbm.ndbm of Berkeley DB; install Debian's python3")
    for candidate in (*_own_interpreter(), *_other_interpreters()):
        if _version(candidate):
            return candidate
    versions = ", ".join(f"{major}.{minor}" for major, minor in sorted(WORKING_PYTHONS))
    raise PeerFailed(
        f"Sumatra 0.8.1 is known to work on Python {versions}, of which none was found"
        f" with the venv module (the tests run on {platform.python_version()})"
    )


def _own_interpreter() -> Iterator[Path]:
    if sys.version_info[:2] in WORKING_PYTHONS and platform.python_implementation() == "CPython":
        major, minor = sys.version_info[:2]
        # The base installation's: an environment made from an environment dies with it.
        yield Path(sys.base_prefix) / "bin" / f"python{major}.{minor}"
        yield Path(sys.executable)


def _other_interpreters() -> Iterator[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for major, minor in WORKING_PYTHONS:
        yield from sorted(pyenv.glob(f"versions/{major}.{minor}.*/bin/python"))
        on_path = shutil.which(f"python{major}.{minor}")
        if on_path:
            yield Path(on_path)


@functools.cache
def _version(interpreter: Path) -> str:
    """Return the interpreter's version (empty: it is unusable, for example a dangling shim)."""
    code = "import ensurepip, platform, venv; print(platform.python_version(), end='')"
    asked = [str(interpreter), "-c", code]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _account(done: subprocess.CompletedProcess[str]) -> str:
    command = " ".join(map(str, done.args))
    said = "".join(
        f"\n--- {stream}:\n{text.rstrip()}"
        for stream, text in (("stdout", done.stdout), ("stderr", done.stderr))
        if text.strip()
    )
    return f"{command}\nexited with {done.returncode}{said}"


def main() -> None:
    """Build every missing environment, and print where each one is."""
    for name in NAMES:
        print(name, environment(name).directory, sep="\t")


if __name__ == "__main__":
    main()
