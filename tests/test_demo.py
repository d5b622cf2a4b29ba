"""The first command that a newcomer runs."""

from __future__ import annotations

import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest

from tests.command import Answer, Smtd, has_terminals
from tests.dialog import at_terminal

#: Seconds of processor time of all its processes; it takes some four, and a second or two of waiting.
SOON = 8.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """What it prints, soon."""
    smtd = Smtd(tmp_path_factory.mktemp("demo"))
    smtd.more["TMPDIR"] = str(smtd.directory)
    before = used()
    line = [sys.executable, "-m", "smtd", "demo"]
    done = subprocess.run(line, env=smtd.variables(), capture_output=True, text=True, check=False)
    assert used() - before < SOON
    return Answer(done.returncode, done.stdout, done.stderr)


def demo_directory(demo: Answer) -> Path:
    """Return where its directory was."""
    (found,) = {*re.findall(r"(/\S*)/smtd-demo-\w+/laptop\.shelf", demo.out)}
    return Path(found)


def used() -> float:
    """Return the processor time of all processes that this one has waited for, and of theirs."""
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


def played(output: str) -> Iterator[tuple[list[str], str]]:
    """Yield each command with what it printed."""
    for part in output.split("\n$ ")[1:]:
        line, _, rest = part.partition("\n")
        yield shlex.split(line), rest


def test_demo_plays_real_commands(demo: Answer) -> None:
    """A sync, edits, a deletion and its undo, a conflict and its resolution; each with its real output."""
    commands = list(played(demo.out))

    assert (demo.code, demo.err) == (0, "")
    verbs = [" ".join(words[:2]) for words, _ in commands]
    assert verbs == [
        *("smtd list", "smtd run", "smtd status", "smtd history", "smtd list", "smtd undo"),
        *("smtd sync", "smtd resolve", "smtd pause", "smtd resume", "smtd conflicts"),
        *("smtd resolve", "smtd sync", "smtd status", "smtd stop"),
    ]
    told = [output for _, output in commands]
    assert re.findall(r"^Demo/demo-\d  ", told[0], re.MULTILINE) == [f"Demo/demo-{n}  " for n in (2, 1, 0)]
    assert "3 created on the right" in told[3]
    assert "Demo/demo-2" not in told[4]
    assert told[5].startswith("demo: create Demo/demo-2 on the right\n")
    assert "held: Demo/demo-2: cycle" in told[6]
    assert told[7].startswith("demo: left")
    assert "1 created" in told[7]
    assert told[10].startswith("demo: 1 conflict in Demo: both sides changed version\n  Demo/demo-1\n")
    assert "1 updated" in told[11]
    assert told[12].count("unchanged") == 2
    assert re.search(r"^demo +idle +3 +0 +0 +0 +0 ", told[13], re.MULTILINE)


def test_demo_types_what_the_commands_advise(demo: Answer) -> None:
    """The resolution is the command that `smtd-ctl conflicts` prints."""
    commands = dict(reversed([(words[1], (words, output)) for words, output in played(demo.out)]))
    (advised,) = re.findall(r"^    (smtd resolve .*)$", commands["conflicts"][1], re.MULTILINE)

    assert f"\n$ {advised}\n" in demo.out


def test_demo_ends_with_what_to_do_next(demo: Answer) -> None:
    """And leaves neither a file nor a process behind."""
    _, _, rest = demo.out.partition("\nWhat next:\n")

    assert {"smtd sync LEFT RIGHT", "smtd run", "smtd check"} <= {
        line.partition("   ")[0].strip() for line in rest.splitlines()
    }
    assert list(demo_directory(demo).iterdir()) == []


def test_demo_that_is_ended_leaves_nothing_behind(smtd: Smtd) -> None:
    """Neither its directory nor its daemon, which holds the lock of the journal."""
    smtd.more["TMPDIR"] = str(smtd.directory)
    words = [sys.executable, "-u", "-m", "smtd", "demo"]
    with subprocess.Popen(words, env=smtd.variables(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("demo "))  # the daemon has synced
        process.send_signal(signal.SIGTERM)
        process.stdout.read()  # until no process has it

        assert process.wait() == 143
    assert list(smtd.directory.glob("smtd-demo-*")) == []


@pytest.mark.slow
def test_demo_keeps_its_directory_on_request(smtd: Smtd) -> None:
    """And says how to go on with it."""
    answer = smtd("demo", "--keep")
    kept = Path(re.findall(r"^  cd (.*)$", answer.out, re.MULTILINE)[0])
    try:
        assert answer.code == 0
        assert smtd("list", kept / "lab.sqlite").out.count("demo-") == 3
        assert smtd("-c", kept / "config.toml", "check").code == 0
    finally:
        shutil.rmtree(kept)


@pytest.mark.slow
@pytest.mark.skipif(not has_terminals(), reason="a pseudo-terminal (/dev/pts) is not here")
def test_demo_on_a_terminal_opens_the_page_and_waits_for_the_person(smtd: Smtd) -> None:
    """The browser gets the link; the daemon behind it runs until the person presses Enter."""
    browser = smtd.directory / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > "$0.asked"\n')
    browser.chmod(0o755)
    smtd.more |= {"BROWSER": str(browser), "TMPDIR": str(smtd.directory)}

    with at_terminal(["demo"], smtd.variables()) as terminal:
        terminal.answers(b"Press Enter to end the demo.", b"")
        link = (smtd.directory / "browser.asked").read_text().strip()
        with build_opener(ProxyHandler({}), HTTPCookieProcessor()).open(link, timeout=30) as answer:
            page = answer.read()
        terminal.answers(b"Press Enter", b"\n")
        code = terminal.end()

    assert b"<h1>Mirror</h1>" in page
    assert code == 0
    assert b"What next:" in terminal.shown


@pytest.mark.slow
@pytest.mark.skipif(not has_terminals(), reason="a pseudo-terminal (/dev/pts) is not here")
def test_demo_on_a_terminal_without_a_browser_prints_the_link(smtd: Smtd) -> None:
    """A person can open it on this machine, or forward the port."""
    smtd.more |= {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": "", "TMPDIR": str(smtd.directory)}

    with at_terminal(["demo"], smtd.variables()) as terminal:
        terminal.answers(b"Press Enter", b"\n")
        code = terminal.end()

    assert code == 0
    assert re.search(rb"\nhttp://127\.0\.0\.1:\d+/open\?token=", terminal.shown)
