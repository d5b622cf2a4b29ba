"""No text of a record, a server or a file name reaches a terminal or a log raw."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import pty
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from smtd.cli import logs
from smtd.cli.logs import Formatter, SystemdFormatter
from tests.build import RUNNING, record
from tests.daemon.process import DaemonProcess, daemon_process, pair_of
from tests.daemon.sqlite_stores import put
from tests.forkserver import client

#: A title, a cleared screen, an overwritten line, a forged line, a C1 control, reversed text.
EVIL = "\x1b]0;owned\x07\x1b[2Jall is well\roverwritten\nfake: line\x9b31m\u202eevil"
PROJECT = f"P{EVIL}"
#: Bytes that must not be in any output.
OBEYED = [
    b"\x1b]",
    b"\x1b[2J",
    b"\x07",
    b"\roverwritten",
    b"\nfake: line",
    "\x9b".encode(),
    "\u202e".encode(),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon with a conflict, a hold, a failure and a record in sync, all with hostile names and texts."""
    directory = tmp_path_factory.mktemp("evil")
    left, right = directory / "left.sqlite", directory / "right.sqlite"
    conflict = f"conflict{EVIL}"
    put(
        left,
        record(f"good{EVIL}", reason=EVIL, tags=frozenset({EVIL.replace('"', "")})),
        record(conflict, version=EVIL),
        record(f"held{EVIL}", tags=RUNNING, duration=None, timestamp=datetime.now(timezone.utc)),
        record(f"failed{EVIL}"),
        project=PROJECT,
    )
    put(right, record(conflict, version=f"other{EVIL}"), project=PROJECT)

    with closing(sqlite3.connect(left)) as db, db:  # a time that is none
        db.execute("UPDATE django_store_record SET timestamp = ? WHERE label LIKE 'failed%'", (EVIL,))
    with daemon_process(directory, pair_of(left, right)) as process:
        process.ctl("sync", "now")
        yield process


def on_a_terminal(words: list[str], variables: dict[str, str], directory: Path) -> bytes:
    """Run `python` with *words* on its own terminal, and return all that it writes there."""
    reader, writer = pty.openpty()
    with client.start(words, directory, variables, stdin=writer, stdout=writer, stderr=writer) as process:
        os.close(writer)
        parts = []
        while part := _read(reader):
            parts.append(part)
        process.wait()
    os.close(reader)
    return b"".join(parts).replace(b"\r\n", b"\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""


VERBS = {
    "status": (["status"], b"failed: it cannot be read"),
    "conflicts": (["conflicts"], b"both sides changed version"),
    "holds": (["holds"], b"running"),
    "sync now": (["sync", "now"], b"failed: P"),
    "sync plan": (["sync", "plan"], b"conflict: P"),
    "verify": (["verify", "--deep"], b"known: P"),
    "history": (["history"], b"create P"),
    "show": (["show", "pair", PROJECT, f"conflict{EVIL}"], b"the sides differ in version"),
    "explain": (["explain", "pair", PROJECT, f"conflict{EVIL}"], b"never"),
    "resolve": (["resolve", "pair", PROJECT, f"none{EVIL}", "--take", "left"], b"smtd-ctl: "),
    "restore": (["restore", "pair", PROJECT, f"good{EVIL}", "--at", "0s"], b"is the same as at"),
    "undo": (["undo", "1", "--dry-run"], b"delete P"),
    "pair list": (["pair", "list"], b"two-way"),
    "another pair": (["status", f"none{EVIL}"], b"there is no pair none"),
    "another verb": ([f"none{EVIL}"], b"no command"),
}


COMMANDS = {
    "list": (["list", "left.sqlite"], b"cannot be read"),
    "sync": (["sync", "left.sqlite", "another.sqlite", "--state", "another"], b"failed: P"),
    "sync --dry-run": (
        ["sync", "left.sqlite", "new.sqlite", "--state", "new", "--dry-run"],
        b"failed: P",
    ),
    "check": (["-c", "config.toml", "check"], b"records of P"),
    "a file of another name": (["list", f"none{EVIL}.sqlite"], b"there is no record store at none"),
    "another command": ([f"none{EVIL}"], b"no command"),
}


CASES = [
    *(pytest.param("smtd.cli.ctl", *case, id=f"smtd-ctl {name}") for name, case in VERBS.items()),
    *(pytest.param("smtd", *case, id=f"smtd {name}") for name, case in COMMANDS.items()),
]


@pytest.mark.parametrize(("program", "words", "told"), CASES)
def test_no_command_shows_anything_raw(
    daemon: DaemonProcess, program: str, words: list[str], told: bytes
) -> None:
    """Texts of records and of the command line are shown escaped."""
    output = on_a_terminal(["-m", program, *words], daemon.variables(), daemon.directory)

    assert [each for each in OBEYED if each in output] == []
    assert told in output


def test_json_has_the_exact_names(daemon: DaemonProcess) -> None:
    """Escaped as JSON does."""
    answer = daemon.ctl("conflicts", "--json")

    assert answer.out.isascii()
    assert answer.out.removesuffix("\n").isprintable()
    (conflict,) = json.loads(answer.out)["conflicts"]
    assert (conflict["project"], conflict["label"]) == (PROJECT, f"conflict{EVIL}")


def test_log_of_a_daemon_contains_nothing_raw(daemon: DaemonProcess) -> None:
    """And no forged lines."""
    log = daemon.log.read_bytes()

    assert [each for each in OBEYED if each in log] == []


def logged(formatter: logging.Formatter, message: str, error: Exception | None = None) -> str:
    """Return what a log with *formatter* writes."""
    stream = io.StringIO()
    info = None if error is None else (type(error), error, None)
    logs.handler(stream, formatter).handle(
        logging.LogRecord("smtd", logging.WARNING, "file", 1, "pair %s", (message,), info)
    )
    return stream.getvalue()


def test_message_is_one_line_of_the_log() -> None:
    """Whatever it contains."""
    line = logged(Formatter("%(levelname)s %(message)s"), EVIL)

    assert line == (
        "WARNING pair \\x1b]0;owned\\x07\\x1b[2Jall is well\\roverwritten\\nfake: line\\x9b31m\\u202eevil\n"
    )


def test_lines_of_a_traceback_are_indented_in_the_log() -> None:
    """So that the text of an error cannot look like a message."""
    first, *others = logged(SystemdFormatter("%(message)s"), "a", ValueError(EVIL)).splitlines()

    assert first == "<4>pair a"
    assert [line for line in others if not line.startswith("    ")] == []
    assert "    fake: line\\x9b31m\\u202eevil" in others


def test_commands_print_only_through_say() -> None:
    """Except questions, progress and the demo, which escape themselves."""
    found = set()
    for path in Path(__file__).parents[1].joinpath("smtd", "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "click.echo",
                "click.secho",
            ):
                found.add(path.stem)

    assert found == {"say", "streams", "progress_line", "demo"}
