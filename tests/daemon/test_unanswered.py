"""A server that does not answer is named at once, long before smtd gives it up."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from smtd.daemon.pages.mirror_view import card
from tests.build import full
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, wait_until
from tests.daemon.sqlite_stores import put
from tests.terminal.screen import on_terminal


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of this machine that drops each new connection, as a firewall does: its backlog is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        with suppress(TimeoutError, socket.timeout):
            while True:
                waiting.append(socket.create_connection(server.getsockname(), timeout=0.5))
        yield server.getsockname()[1]
        for each in waiting:
            each.close()


@pytest.fixture(params=["http://127.0.0.1:{}/records/", "postgresql://ada@127.0.0.1:{}/lab"])
def asked(request: pytest.FixtureRequest, silent: int) -> str:
    """The address of a server there."""
    return str(request.param).format(silent)


@pytest.fixture
def daemon(tmp_path: Path, asked: str) -> Iterator[DaemonProcess]:
    """A daemon whose first cycle waits for the server."""
    put(tmp_path / "left.sqlite", full("run"))
    with daemon_process(tmp_path, pair_of(tmp_path / "left.sqlite", asked)) as made:
        yield made


def test_status_names_the_server_that_does_not_answer_yet(daemon: DaemonProcess, asked: str) -> None:
    """With how long it has been asked, while the first cycle still waits for it."""
    wait_until(lambda: daemon.status()["unanswered"] is not None)

    pair = daemon.status()
    shown = daemon.ctl("status")
    assert (pair["state"], pair["problem"], pair["unanswered"]["side"]) == ("starting", None, "right")
    shown_address = asked.replace("ada@", "")
    told = (
        rf"pair: waiting for {re.escape(shown_address)} to answer, for \d+ s; if it goes on, check the server"
    )
    assert re.search(told, shown.out)
    assert shown.code == 0
    assert card(pair).explanation.startswith(f"Waiting for {shown_address} to answer, for ")


def test_progress_of_a_sync_names_the_server(daemon: DaemonProcess, asked: str) -> None:
    """The person who waits for `sync now` sees what for."""
    words = ["-m", "smtd.cli.ctl", "sync", "now"]
    with on_terminal(words, daemon.directory, daemon.variables(), width=120) as terminal:
        terminal.wait_for(lambda seen: "pair: starting, waiting for " in seen.seen)
