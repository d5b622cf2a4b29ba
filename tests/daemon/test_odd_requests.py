"""Odd requests at the control socket get a message, and damage nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtd.control import client
from smtd.errors import DaemonNotRunning
from tests.build import PROJECT, full
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import held, write

RECORD = f'"pair": "pair", "project": "{PROJECT}", "label": "one"'
PAIR = '"pair": {"left": "left", "right": "/tmp/new.sqlite"}'
#: A request as it is sent, without its braces, and what the answer says.
ODD = [
    ('"verb": "history", "limit": 1180591620717411303424', "a number beyond 64 bits"),
    ('"verb": "undo", "cycle": -9223372036854775809', "a number beyond 64 bits"),
    ('"verb": "sync now", "timeout": NaN', "NaN, which is not a number in JSON"),
    ('"verb": "sync now", "timeout": -Infinity', "-Infinity, which is not a number in JSON"),
    ('"verb": "sync now", "timeout": 2e400', "timeout must be a number of seconds"),
    ('"verb": "sync now", "timeout": -1', "timeout must be a number of seconds"),
    ('"verb": "sync now", "timeout": "1"', "timeout must be a number of seconds"),
    ('"verb": "sync now", "timeout": true', "timeout must be a number of seconds"),
    ('"verb": "sync now", "plan": 5', "plan must be a string"),
    ('"verb": "sync now", "include_unfinished": "no"', "include_unfinished must be true or false"),
    ('"verb": "verify", "deep": 1', "deep must be true or false"),
    ('"verb": "status", "pairs": "pair"', "pairs must be a list of strings"),
    ('"verb": "status", "pairs": ["pair", null]', "pairs must be a list of strings"),
    ('"verb": "status", "pairs": [[[]]]', "pairs must be a list of strings"),
    ('"verb": "pause", "pairs": []', "name the pairs"),
    ('"verb": "history", "label": "\\ud800"', "a lone surrogate"),
    ('"verb": "history", "label": "\\udc80"', "without lone surrogates"),
    ('"verb": "history", "limit": -1', "limit must be a whole number"),
    ('"verb": "history", "limit": 1.5', "limit must be a whole number"),
    ('"verb": "history", "cycle": "1"', "cycle must be a whole number"),
    ('"verb": "history", "label": "' + "x" * 2000 + '"', "at most 1000 characters"),
    ('"verb": "events", "since": -1', "since must be a whole number"),
    ('"verb": "events", "since": false', "since must be a whole number"),
    ('"verb": "undo"', "cycle must be a whole number"),
    ('"verb": "explain", "pair": "pair", "project": "a", "label": "\\udc80"', "without lone surrogates"),
    ('"verb": "show", "pair": ["pair"], "project": "a", "label": "b"', "pair must be a string"),
    ('"verb": "show", "pair": "pair", "project": "a"', "the request needs a label"),
    (
        f'"verb": "restore", {RECORD}, "at": "0001-01-01T00:00:00+23:59"',
        "is out of range; give a time between",
    ),
    (
        f'"verb": "restore", {RECORD}, "at": "9999-12-31T23:59:59-23:59"',
        "is out of range; give a time between",
    ),
    (f'"verb": "restore", {RECORD}, "at": 5', "at must be a string"),
    (f'"verb": "resolve", {RECORD}, "take": ["left"]', "take must be a string"),
    (f'"verb": "resolve", {RECORD}, "take": "approve"', "choose what to take"),
    ('"verb": "deletes approve", "pair": "pair", "labels": [1]', "labels must be a list of strings"),
    ('"verb": "pair remove", "name": {}', "name must be a string"),
    (f'"verb": "pair add", "name": "--help", {PAIR}', "it looks like an option"),
    (f'"verb": "pair add", "name": "../../x", {PAIR}', "it looks like a path"),
    (f'"verb": "pair add", "name": "a/b", {PAIR}', "/ is reserved for paths"),
    (f'"verb": "pair add", "name": "all*", {PAIR}', "* is reserved for globs"),
    (f'"verb": "pair add", "name": "\\u001b[2J", {PAIR}', "printable characters"),
    (f'"verb": "pair add", "name": "", {PAIR}', "1 to 100 printable characters"),
    ('"verb": "pair add", "name": "new", "pair": 5', "Expected `object`"),
    ('"verb": "pair add", "name": "new", "pair": {"left": "left", "right": "/a\\u0000.sqlite"}', "NUL"),
    (
        '"verb": "pair add", "name": "new", "pair": {"left": "left", "right": "right", "mode": "\\udc80"}',
        "pairs.new.mode: it is not Unicode text",
    ),
    (
        '"verb": "pair add", "name": "new", "pair": {"left": "left", "right": "right", "settle": "1e9d"}',
        "is not a duration",
    ),
    ('"verb": "backup", "file": "\\u0000"', "give the full path"),
    ('"verb": "backup", "file": "relative"', "give the full path"),
    ('"verb": "backup", "file": 5', "give the full path"),
    ('"verb": ["status"]', "a request is one line of JSON"),
    ('"verb": "status", "pairs": ' + "[" * 20_000, "a request is one line of JSON"),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon after its first cycle; no request here changes it."""
    directory = tmp_path_factory.mktemp("daemon")
    write(directory / "left.sqlite", full("one"))
    with daemon_process(directory, pair_of(directory / "left.sqlite", directory / "right.sqlite")) as made:
        made.wait_event(synced)
        yield made
        assert "Traceback" not in made.log.read_text("utf-8")
        assert made.ctl("history", "--check").code == 0
        assert [pair["pair"] for pair in made.ctl("pair", "list", "--json").json["pairs"]] == ["pair"]
        assert held(directory / "right.sqlite").keys() == {"one"}


@pytest.mark.parametrize(("request_", "sentence"), ODD, ids=[each[:60] for each, _ in ODD])
def test_odd_request_is_an_error_of_usage(daemon: DaemonProcess, request_: str, sentence: str) -> None:
    """The message says what is wrong; nothing is done."""
    answer = daemon.ask(f"{{{request_}}}".encode())

    assert (answer["ok"], answer["code"]) == (False, 2)
    assert sentence in str(answer["error"])
    assert "\n" not in str(answer["error"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("undo", str(2**70)), "a number beyond 64 bits"),
        (("sync", "now", "--timeout", "nan"), "NaN, which is not a number in JSON"),
        (
            ("restore", "pair", PROJECT, "one", "--at", f"{'9' * 400}d"),
            "is out of range; give a time between",
        ),
        (
            ("restore", "pair", PROJECT, "one", "--at", "0001-01-01T00:00:00+23:59"),
            "is out of range; give a time between",
        ),
        (("pair", "add", "--", "--help", "left", "right"), "it looks like an option"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_odd_argument_of_smtd_ctl_is_an_error_of_usage(
    daemon: DaemonProcess, words: tuple[str, ...], sentence: str
) -> None:
    """Without a traceback on either side."""
    answer = daemon.ctl(*words)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("smtd-ctl: ")
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1


def test_backup_overwrites_no_link_and_no_file_of_smtd(daemon: DaemonProcess, tmp_path: Path) -> None:
    """Neither a link nor its target is touched, whether that exists or not; nor is the state."""
    (tmp_path / "there").write_text("mine")
    (tmp_path / "to-there").symlink_to("there")
    (tmp_path / "to-nowhere").symlink_to("nowhere")

    answers = [daemon.ctl("backup", tmp_path / name) for name in ("to-there", "to-nowhere")]
    beside = daemon.ctl("backup", daemon.state / "pairs.json")

    assert [answer.code for answer in answers] == [2, 2]
    assert all("already exists; name a new file" in answer.err for answer in answers)
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert (beside.code, "smtd itself uses" in beside.err) == (2, True)
    assert not (daemon.state / "pairs.json").exists()


def test_file_name_that_is_not_unicode_is_accepted(daemon: DaemonProcess) -> None:
    """Paths are bytes, which Python represents in text."""
    answer = daemon.ask(rb'{"verb": "pair of", "stores": ["django:/tmp/\udce4", "django:/tmp/b"]}')

    assert answer == {"ok": True, "result": {"pair": None}}


def test_socket_without_permission_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon may be running there; advice to start another one would be wrong."""

    class Closed(socket.socket):
        def connect(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Closed)

    with pytest.raises(
        DaemonNotRunning, match=r"^permission denied at the control socket /x/y: .* another user"
    ):
        list(client.ask("/x/y", {"verb": "status"}))
