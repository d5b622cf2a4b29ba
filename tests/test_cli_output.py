"""If output cannot be written, there is no traceback, and the exit code is not that of another result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from tests.build import RUNNING, full, record
from tests.command import Smtd
from tests.daemon.process import PATIENCE, daemon_process
from tests.daemon.sqlite_stores import labels, put

NO_ROOM = "the output cannot be written: No space left on device; free some space, or write it elsewhere\n"


@dataclass
class Written:
    """Runs commands whose output goes where the test says; `said` is their standard error."""

    smtd: Smtd
    said: str = ""
    more: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, words: Sequence[str | Path], to: IO[bytes] | int, *, program: str = "smtd", closed: int = -1
    ) -> int:
        """Run *program* with *words* and output *to*, or with that descriptor *closed*; return its code."""
        done = subprocess.run(
            [sys.executable, "-m", program, *map(str, words)],
            cwd=self.smtd.directory,
            env={**self.smtd.variables(), **self.more},
            stdin=subprocess.DEVNULL,
            stdout=to,
            stderr=subprocess.PIPE,
            preexec_fn=(lambda: os.close(closed)) if closed >= 0 else None,
            check=False,
            timeout=PATIENCE,
        )
        self.said = done.stderr.decode()
        return done.returncode


@pytest.fixture
def written(smtd: Smtd) -> Written:
    return Written(smtd)


@pytest.fixture
def full_disk():
    with open("/dev/full", "wb", buffering=0) as file:
        yield file


@pytest.fixture
def closed_pipe():
    """A pipe whose reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_sync_is_done_even_if_its_report_cannot_be_written(
    written: Written, tmp_path: Path, full_disk: IO[bytes]
) -> None:
    """The exit code 5 says that the disk is full, and is not that of a conflict."""
    put(tmp_path / "a.sqlite", full("run"))

    code = written(["sync", "a.sqlite", "b.sqlite"], full_disk)

    assert (code, written.said) == (5, f"smtd: {NO_ROOM}")
    assert labels(tmp_path / "b.sqlite") == {"run"}


def test_sync_without_a_reader_keeps_its_exit_code(
    written: Written, tmp_path: Path, closed_pipe: int
) -> None:
    """It shows a held record, although no program reads the report."""
    put(tmp_path / "a.sqlite", record("run", tags=RUNNING, duration=None))

    code = written(["sync", "a.sqlite", "b.sqlite", "--json"], closed_pipe)

    assert (code, written.said) == (1, "")


@pytest.mark.parametrize(
    ("program", "words", "code"),
    [
        ("smtd", ["--help"], 5),
        ("smtd", ["list", "a.sqlite"], 5),
        ("smtd", ["list", "nowhere"], 4),
        ("smtd.cli.ctl", ["--help"], 5),
        ("smtd.cli.ctl", ["--socket", "nowhere", "status", "--json"], 3),
        ("smtd.cli.ctl", ["no-such-verb"], 2),
    ],
)
def test_full_disk_hides_no_error_of_a_command(
    program: str, words: list[str], code: int, written: Written, tmp_path: Path, full_disk: IO[bytes]
) -> None:
    """An error before the output has its own exit code."""
    put(tmp_path / "a.sqlite", full("run"))

    assert written(words, full_disk, program=program) == code
    assert "Traceback" not in written.said
    assert "Exception" not in written.said
    assert (NO_ROOM in written.said) is (code == 5)


def test_terminal_without_a_character_shows_its_number(written: Written, tmp_path: Path) -> None:
    """For example in a shell of a cluster with a locale in Latin-1."""
    put(tmp_path / "τ.sqlite", full("run"))
    written.more["PYTHONIOENCODING"] = "latin-1"
    out = tmp_path / "out"

    with out.open("wb") as file:
        code = written(["sync", "τ.sqlite", "b.sqlite"], file)

    assert (code, written.said) == (0, "")
    assert rb"\u03c4.sqlite" in out.read_bytes()


@pytest.mark.parametrize("closed", [1, 2])
def test_closed_stream_gets_no_output(closed: int, written: Written, tmp_path: Path) -> None:
    """No store gets its descriptor, and its output does not go to the other stream."""
    put(tmp_path / "a.sqlite", record("run", tags=RUNNING, duration=None))

    code = written(["sync", "a.sqlite", "b.sqlite"], subprocess.DEVNULL, closed=closed)

    assert (code, written.said) == (1, "")


def test_follower_ends_with_its_reader(tmp_path: Path) -> None:
    """Even if nothing happens any more, as in `smtd-ctl events --follow | head -1`."""
    with daemon_process(tmp_path, "") as daemon:
        follower = daemon.start_ctl("events", "--follow")
        assert follower.stdout
        first = follower.stdout.readline()
        follower.stdout.close()

        assert follower.wait(PATIENCE) == 0
        assert b'"started"' in first
