"""A password that nothing else has is asked for on the terminal, is not shown there, and is not stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build import PROJECT, full
from tests.command import Smtd
from tests.daemon.sqlite_stores import put
from tests.server.process import server_process
from tests.server.served import PASSWORD
from tests.terminal.screen import Terminal, on_terminal


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server, without http://."""
    directory = tmp_path_factory.mktemp("server")
    put(directory / "lab.sqlite", full("run"))
    with server_process(directory, location=directory / "lab.sqlite") as server:
        yield server.root.removeprefix("http://") + "records/"


def types(terminal: Terminal, question: str, typed: str) -> None:
    """Type something when the terminal asks for it, and does not show what is typed if that is secret."""
    terminal.wait_for(lambda page: question in page.seen)
    terminal.press(f"{typed}\n".encode())


@pytest.mark.slow
def test_missing_password_is_asked_for_and_a_wrong_one_again(smtd: Smtd, tmp_path: Path, place: str) -> None:
    """The address has the user; what is typed is nowhere afterwards."""
    put(tmp_path / "left.sqlite", full("mine"), project="Mine")
    words = ["-m", "smtd", "sync", "left.sqlite", f"http://reader@{place}", "--project", "Mine"]
    with on_terminal(words, tmp_path, smtd.variables(), width=200) as terminal:
        types(terminal, "Password for reader at", "mistaken")
        terminal.wait_for(lambda page: page.seen.count("Password for") == 2)
        types(terminal, "wrong user name or password", PASSWORD)
        assert terminal.ended() == 0

    assert "1 created" in terminal.seen
    assert PASSWORD.encode() not in terminal.raw
    assert b"mistaken" not in terminal.raw
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert [file for file in files if PASSWORD.encode() in file.read_bytes()] == []
    assert any(file.name == "journal.sqlite" for file in files)


@pytest.mark.slow
def test_user_is_asked_for_too_wherever_the_output_goes(smtd: Smtd, tmp_path: Path, place: str) -> None:
    """The questions go to the terminal, and the result to the file or the pipe."""
    program = f"{sys.executable} -m smtd list --json http://{place} </dev/null >listed"
    with on_terminal(["-c", program], tmp_path, smtd.variables(), width=200, program="/bin/sh") as terminal:
        types(terminal, "User at http://", "reader")
        types(terminal, "Password for reader at", PASSWORD)
        assert terminal.ended() == 0

    assert PROJECT in (tmp_path / "listed").read_text("utf-8")
    assert "Password" not in (tmp_path / "listed").read_text("utf-8")


@pytest.mark.slow
def test_check_asks_once_for_each_store(smtd: Smtd, tmp_path: Path, place: str) -> None:
    """Before it looks at any of them."""
    (tmp_path / "c.toml").write_text(f'[stores.lab]\nlocation = "http://reader@{place}"\n', "utf-8")
    with on_terminal(
        ["-m", "smtd", "-c", "c.toml", "check"], tmp_path, smtd.variables(), width=200
    ) as terminal:
        types(terminal, "Password for reader at", PASSWORD)
        assert terminal.ended() == 0

    assert terminal.seen.count("Password") == 1
    assert "\u2713 lab " in terminal.seen


@pytest.mark.slow
def test_nobody_is_asked_with_no_input(smtd: Smtd, tmp_path: Path, place: str) -> None:
    """On a terminal, too."""
    words = ["-m", "smtd", "list", "--no-input", f"http://reader@{place}"]
    with on_terminal(words, tmp_path, smtd.variables(), width=250) as terminal:
        assert terminal.ended() == 2

    assert "Password" not in terminal.seen
    assert "there is no password for reader at" in terminal.seen


def test_nobody_is_asked_without_a_terminal(smtd: Smtd, place: str) -> None:
    """The message says what to set. Without a user, the server says that it wants a login."""
    known, unknown = smtd("list", f"http://reader@{place}"), smtd("list", f"http://{place}")

    assert (known.code, known.out) == (2, "")
    assert known.err == (
        f"smtd: there is no password for reader at http://{place}; set password_command, password_file or"
        " another of its keys in the configuration, or run this on a terminal\n"
    )
    assert (unknown.code, unknown.out) == (4, "")
    assert unknown.err == (
        f"smtd: login to http://{place} failed: it needs a user and a password; set username and"
        " password_command in the configuration\n"
    )


def test_list_names_the_user_to_whom_a_server_shows_nothing(smtd: Smtd, place: str) -> None:
    """The projects of others are hidden from ada."""
    answer = smtd("list", f"http://ada:{PASSWORD}@{place}")

    assert (answer.code, answer.out) == (0, "")
    assert answer.err == f"smtd: http://{place} shows no projects to ada\n"
