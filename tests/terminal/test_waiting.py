"""What waits for a person, and the commands to paste: each is pasted into a real shell."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smtd.cli.shell_words import command, literal, quoted
from smtd.text import shown
from tests.build import record
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import Store

#: Labels that a shell or a command line takes for something else.
LABELS = [
    *("-x", "--take", "a b", "it's", 'say "no"', "two\nlines", "tab\there", "gl*b", "glob", "[ab]", "a"),
    *(
        "$HOME",
        "`id`",
        "back\\slash",
        "; true",
        "\u202eturned",
        "\x1b[2Jcleared",
        "é漢",
        "!1",
        "#c",
        "~",
        "'",
    ),
    *("n\\n", " ends ", "&", "=", "{a,b}", "\x9b31m", "$'x'"),
]
PROJECT = "-My 'Project"


@pytest.fixture
def left(tmp_path: Path) -> Store:
    """The left store."""
    return Store(tmp_path / "left.shelf", PROJECT)


@pytest.fixture
def right(tmp_path: Path) -> Store:
    """The right store."""
    return Store(tmp_path / "right.shelf", PROJECT)


@pytest.fixture
def daemon(tmp_path: Path, left: Store, right: Store) -> Iterator[DaemonProcess]:
    """A daemon whose pair has not started yet, and a shell in which `smtd-ctl` is a command."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "smtd-ctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m smtd.cli.ctl "$@"\n', "utf-8")
    program.chmod(0o755)
    configuration = pair_of(tmp_path / "left.shelf", tmp_path / "right.shelf")
    with daemon_process(tmp_path, configuration, start=False) as made:
        yield made


def paste(daemon: DaemonProcess, line: str) -> int:
    """Paste *line* into a shell, and return its exit code."""
    variables = daemon.variables()
    variables["PATH"] = f"{daemon.directory / 'bin'}:{variables['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line], env=variables, cwd=daemon.directory, capture_output=True, check=False
    )
    assert not re.search(rb"usage|no \w+( \w+)? matches|command not found", done.stderr), (line, done.stderr)
    return done.returncode


def commands(output: str) -> list[str]:
    """Return the commands in an output."""
    return [line.strip() for line in output.splitlines() if line.startswith("    smtd-ctl ")]


def waiting(daemon: DaemonProcess, verb: str) -> list[str]:
    """Return the labels of what waits."""
    found: list[dict[str, Any]] = daemon.ctl(verb, "--json").json[verb]
    return [each["label"] for each in found]


def test_conflicts_are_grouped_by_what_is_alike(daemon: DaemonProcess, left: Store, right: Store) -> None:
    """With counts; and each group has its commands."""
    left.put(*[record(label, version="1") for label in "abc"], record("d", main_file="1", version="1"))
    right.put(*[record(label, version="2") for label in "abc"], record("d", main_file="2", version="2"))
    daemon.start()
    daemon.wait_event(synced)

    answer = daemon.ctl("conflicts")

    assert answer.code == 1
    first, second = answer.out.split("\n\n")
    heading, *lines = first.splitlines()
    assert heading == f"pair: 3 conflicts in {PROJECT}: both sides changed version"
    assert lines[:3] == [f"  {PROJECT}/{label}" for label in "abc"]
    assert [line.rpartition("'Project' ")[2] for line in commands(first)] == ["a", "a b c"]
    assert second.startswith(f"pair: 1 conflict in {PROJECT}: both sides changed main_file, version\n")
    assert len(commands(second)) == 1


def test_command_for_one_conflict_decides_only_that(daemon: DaemonProcess, left: Store, right: Store) -> None:
    """Whatever its label is."""
    labels = ["-x", "two\nlines", "it's \u202eturned", "glob"]
    left.put(*[record(label, version="1") for label in labels])
    right.put(*[record(label, version="2") for label in labels])
    daemon.start()
    daemon.wait_event(synced)

    for _ in labels[1:]:
        before = waiting(daemon, "conflicts")
        one, _all_of_them = commands(daemon.ctl("conflicts").out)
        paste(daemon, one)
        assert waiting(daemon, "conflicts") == before[1:]

    (last,) = commands(daemon.ctl("conflicts").out)
    assert paste(daemon, last) == 0
    assert {one.version for one in right.records().values()} == {"1"}


def test_every_name_reaches_a_program_as_it_is() -> None:
    """In one printable line."""
    line = command("printf", r"%s\0", names=[name for name in LABELS if not name.startswith("-")])
    assert line is not None

    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)

    assert done.stdout.decode().split("\0")[:-1] == [name for name in LABELS if not name.startswith("-")]
    assert shown(line) == line
    assert command("smtd-ctl", names=["a\0b"]) is None
    assert command("smtd-ctl", names=["a", "-b"]) == "smtd-ctl -- a -b"


def test_command_for_a_group_of_conflicts_decides_all_of_it(
    daemon: DaemonProcess, left: Store, right: Store
) -> None:
    """And nothing of another group."""
    left.put(*[record(label, version="1") for label in LABELS], record("other", main_file="1", version="1"))
    right.put(*[record(label, version="2") for label in LABELS], record("other", main_file="2", version="2"))
    daemon.start()
    daemon.wait_event(synced)

    paste(daemon, commands(daemon.ctl("conflicts").out)[1])

    assert waiting(daemon, "conflicts") == ["other"]


def test_commands_for_held_deletions_decide_one_and_all(
    daemon: DaemonProcess, left: Store, right: Store
) -> None:
    """A label with a star is no glob; the rest of the group is rejected at once."""
    left.put(*[record(label) for label in LABELS], record("stays"))
    daemon.start()
    daemon.wait_event(synced)
    left.remove(*LABELS)
    daemon.ctl("sync", "now")
    held = waiting(daemon, "holds")
    assert sorted(held) == sorted(LABELS)

    listed = daemon.ctl("holds")
    assert listed.out.startswith(f"pair: {len(LABELS)} held deletions in {PROJECT}: deletion held: ")
    assert [each for each in ("\x1b", "\u202e", "\x9b", "\t") if each in listed.out] == []
    star = next(line for line in commands_for(listed.out, held, "gl*b"))
    paste(daemon, star)
    assert sorted(waiting(daemon, "holds")) == sorted({*LABELS} - {"gl*b"})
    reject = next(line for line in commands(daemon.ctl("holds").out)[1:] if " reject " in line)
    assert paste(daemon, reject) == 0

    assert waiting(daemon, "holds") == []
    assert left.records().keys() == right.records().keys() == {*LABELS, "stays"} - {"gl*b"}


def commands_for(output: str, held: list[str], label: str) -> Iterator[str]:
    """Yield the command of *output* that approves one deletion, with *label* instead of the first one."""
    for line in commands(output):
        if " approve " in line and line.endswith(quoted(literal(held[0]))):
            yield line.removesuffix(quoted(literal(held[0]))) + quoted(literal(label))


def test_large_group_is_listed_in_part_and_decided_as_a_whole(
    daemon: DaemonProcess, left: Store, right: Store
) -> None:
    """The commands name each of its records."""
    labels = [f"{number:03}-{'x' * 90}" for number in range(150)]
    left.put(*[record(label, version="1") for label in labels])
    right.put(*[record(label, version="2") for label in labels])
    daemon.start()
    daemon.wait_event(synced)

    listed = daemon.ctl("conflicts").out

    assert "  and 130 more (--json lists all)\n" in listed
    assert len(listed.splitlines()) < 30
    for line in commands(listed)[1:]:
        paste(daemon, line)
    assert waiting(daemon, "conflicts") == []


def test_socket_of_the_command_line_is_in_the_commands(
    daemon: DaemonProcess, left: Store, right: Store
) -> None:
    """So they reach the same daemon."""
    left.put(record("a", version="1"))
    right.put(record("a", version="2"))
    daemon.start()
    daemon.wait_event(synced)
    listed = daemon.ctl("--socket", daemon.socket, "conflicts").out
    del daemon.smtd.more["SMTD_SOCKET"]

    assert paste(daemon, commands(listed)[0]) == 0
