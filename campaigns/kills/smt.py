"""Real `smt` at work on a project, in a process of its own, until it is ended; what it did stands in a log.

`python -m campaigns.kills.smt PROJECT ENVIRONMENT SEED`: a lock on the file `turn` beside the project stops
it before the next command. The log has one line of JSON for each command that `smt` reported as done.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.peers.environments import PeerFailed, environment
from tests.peers.project import SumatraProject

#: The most records that it keeps in a project. Each cycle reads all records of a Sumatra Server again:
#: with more and more of them it would take longer and longer.
MOST = 60


@contextmanager
def turn(project: Path) -> Iterator[None]:
    """Keep all others from *project* until the end of the block."""
    with _beside(project, "turn").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def log_of(project: Path) -> Path:
    """Return the file that tells what was done in *project*."""
    return _beside(project, "log")


def _beside(project: Path, name: str) -> Path:
    """Return a file that is not on the disk of *project*, which may be full, or read-only."""
    return project.parents[1] / f"{project.parent.name}.{name}"


def work(project: SumatraProject, chance: Random) -> None:
    """Work as a person does with a sweep: run, look, comment, tag, and remove what went wrong."""
    labels: list[str] = []
    number = 0
    while True:
        number += 1
        word = f"word9{number:06}x"
        with turn(project.directory), log_of(project.directory).open("a") as log:
            done = _do(project, chance, labels, number, word)
            print(json.dumps(done), file=log, flush=True)
        time.sleep(0.01)  # lets a process that waits for the lock have it


def _do(project: SumatraProject, chance: Random, labels: list[str], number: int, word: str) -> dict[str, Any]:
    what = chance.choice(("run", "run", "run", "comment", "tag", "delete")) if len(labels) > 2 else "run"
    what = "delete" if what == "run" and len(labels) >= MOST else what
    label = f"smt-{number}" if what == "run" else chance.choice(labels)
    try:
        if what == "run":
            project.run(label=label, reason=word)
            labels.append(label)
        elif what == "comment":
            project.comment(label, word)
        elif what == "tag":
            project.tag(word, label)
        else:
            labels.remove(label)
            project.delete(label)
    except PeerFailed as exc:
        return {"what": "failed", "label": label, "said": str(exc)}
    return {"what": what, "label": label, "word": word}


@contextmanager
def at_work(project: SumatraProject, seed: int) -> Iterator[None]:
    """Let `smt` work on *project* until the end of the block."""
    words = [str(project.directory), project.environment.name, str(seed)]
    with subprocess.Popen([sys.executable, "-m", __name__, *words]) as worker:
        try:
            yield
        finally:
            with turn(project.directory):
                worker.kill()


if __name__ == "__main__":
    directory, name, seed = sys.argv[1:]
    work(SumatraProject(Path(directory), environment(name)), Random(int(seed)))
