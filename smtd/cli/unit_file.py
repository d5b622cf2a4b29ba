"""What `smtd service` writes: a unit of this package, with the paths of the programs that run now."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import smtd
from smtd.paths import shipped

#: The first line of a unit that smtd wrote: it replaces and removes no other.
HEADER = (
    "# Written by `smtd service install`, which replaces it. Put changes into a drop-in: systemctl edit smtd."
)
#: Directories that the system's unit hides from its service.
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))


@dataclass(frozen=True, slots=True)
class Programs:
    """The words that start `smtd` and `smtd-ctl`; each first one is an absolute path."""

    smtd: Sequence[str]
    control: Sequence[str]


def installed_programs() -> Programs:
    """Return the programs of this process: those that a person called, else modules of its interpreter.

    Links stay links: that of pipx outlives the environment behind it.
    """
    directory = Path(sys.argv[0]).absolute().parent
    found = [str(directory / name) for name in ("smtd", "smtd-ctl")]
    if Path(sys.argv[0]).name in ("smtd", "smtd-ctl") and all(os.access(each, os.X_OK) for each in found):
        return Programs(found[:1], found[1:])
    return Programs([sys.executable, "-m", "smtd"], [sys.executable, "-m", "smtd.cli.ctl"])


def text_of(unit: str, programs: Programs, config: Path | None) -> str:
    """Return *unit*, such as user/smtd.service, for *programs* and the file *config* (None: as usual)."""
    chosen = [] if config is None else ["--config", str(config)]
    started = _command([*programs.smtd, *chosen])
    lines = (shipped("units", "systemd") / unit).read_text("utf-8").splitlines()
    return "\n".join([HEADER, *(_line(line, started, _command(programs.control)) for line in lines), ""])


def _line(line: str, smtd: str, control: str) -> str:
    if line.startswith("ExecStart=smtd "):
        return f"ExecStart={smtd}{line.removeprefix('ExecStart=smtd')}"
    if line.startswith("ExecReload=smtd-ctl "):
        return f"ExecReload={control}{line.removeprefix('ExecReload=smtd-ctl')}"
    return line


def _command(words: Sequence[str]) -> str:
    """Return *words* as systemd reads them in a unit."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(letter.isspace() or letter in "\"'\\;" for letter in word) else escaped


def out_of_reach(programs: Programs) -> str:
    """Return a file of *programs* that the system's service could not read; empty if it can read all."""
    needed = [programs.smtd[0], sys.executable, smtd.__file__]
    for path in map(Path, needed):
        for each in (path.absolute(), path.resolve()):
            if any(each.is_relative_to(hidden) for hidden in _HIDDEN) or not _is_for_all(each):
                return str(path)
    return ""


def _is_for_all(path: Path) -> bool:
    """Say whether every user may read the file at *path*."""
    return _permits(path, stat.S_IROTH) and all(_permits(each, stat.S_IXOTH) for each in path.parents)


def _permits(path: Path, bit: int) -> bool:
    try:
        return bool(path.stat().st_mode & bit)
    except OSError:
        return False
