"""Run the real `smtd` command as a process, as a user or a script does."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.forkserver import client


@dataclass(frozen=True)
class Answer:
    """How a command ended, and its output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object that it printed."""
        return json.loads(self.out)

    @property
    def pair(self) -> dict[str, Any]:
        """The one pair of a sync's JSON."""
        (pair,) = self.json["pairs"]
        return dict(pair)


class Smtd:
    """`smtd` in *directory*, with its own state and configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / ".smtd-home"
        #: The module that Python runs.
        self.program = ["-m", "smtd"]
        #: Further variables of its environment.
        self.more: dict[str, str] = {}

    def __call__(self, *words: str | Path, cwd: Path | None = None, stdin: bytes = b"") -> Answer:
        """Run `smtd` with *words*, and *stdin* on its standard input; return how it ended."""
        line = [*self.program, *map(str, words)]
        done = client.run(line, cwd or self.directory, self.variables(), stdin=stdin)
        return Answer(done.returncode, done.stdout, done.stderr)

    def sync(self, *words: str | Path, cwd: Path | None = None) -> dict[str, Any]:
        """Run `smtd sync --json` and return its report of the pair; fail on an error."""
        answer = self("sync", "--json", *words, cwd=cwd)
        assert answer.code in (0, 1), answer.err
        assert answer.err == ""
        assert answer.json["ok"] is (answer.code == 0)
        return answer.pair

    def variables(self) -> dict[str, str]:
        """Return the environment of the command, without this machine's configuration."""
        home = str(self.home)
        repository = str(Path(__file__).parents[1])
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SMTD_")}
        return {
            **kept,
            **self.more,
            "XDG_STATE_HOME": home,
            "XDG_CONFIG_HOME": home,
            "PYTHONPATH": repository,
        }


def written(pair: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Return how many records were created, updated and deleted on each side."""
    return {
        side: (pair[side]["created"], pair[side]["updated"], pair[side]["deleted"])
        for side in ("left", "right")
    }


NOTHING = {"left": (0, 0, 0), "right": (0, 0, 0)}


def has_terminals() -> bool:
    """Say whether this machine gives pseudo-terminals: some containers have no /dev/pts."""
    try:
        descriptors = os.openpty()
    except OSError:
        return False
    for descriptor in descriptors:
        os.close(descriptor)
    return True
