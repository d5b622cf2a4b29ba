"""A server whose sockets systemd holds: it takes them over, and a restart refuses no client."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest
import trustme

from tests.daemon.process import PATIENCE
from tests.forkserver.client import Process
from tests.server.process import ServerProcess
from tests.servers.process import free_port

#: Becomes smtd, with the socket whose number it is given, as systemd starts a service.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtd-server.socket"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class ActivatedServer(ServerProcess):
    """A server that gets *listener* as systemd passes it."""

    def __init__(self, directory: Path, listener: socket.socket, text: str = "") -> None:
        self.port = int(listener.getsockname()[1])
        super().__init__(directory, text.replace("PORT", str(self.port)))
        self.verb = ["serve"]
        self._listener = listener

    def start(self, *, ready: bool = True, **environment: str) -> None:
        notify = {"NOTIFY_SOCKET": str(self._short / "notify")}
        number = self._listener.fileno()
        words = [*self.smtd.program, "-c", str(self.config), *self.verb]
        with self.log.open("ab") as log:
            process: Process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, str(number), *words],
                cwd=self.directory,
                env=self.variables(**notify, **environment),
                pass_fds=[number],
                stdout=log,
                stderr=log,
            )
        self._process = process
        if ready:
            self.wait_told("READY=1")


@contextmanager
def activated(directory: Path, text: str, address: str = "127.0.0.1") -> Iterator[ActivatedServer]:
    """Give a server that is not started; *text* has the port of its socket in place of PORT."""
    with socket.create_server((address, 0)) as listener:
        made = ActivatedServer(directory, listener, text)
        try:
            yield made
        finally:
            made.close()


def healthy(port: int, context: ssl.SSLContext | None = None) -> bool:
    """Say whether a server at *port* answers, on a connection of its own; it is waited for."""
    line = (
        HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        if context is None
        else HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
    )
    with closing(line):
        line.request("GET", "/healthz")
        return line.getresponse().status == 200


def test_server_takes_over_the_socket_of_systemd(tmp_path: Path) -> None:
    """It listens nowhere else, tells the address, and keeps the socket when other settings replace it."""
    with activated(tmp_path, '[server]\nlisten = "127.0.0.1:PORT"\n') as server:
        server.start()
        assert server.root == f"http://127.0.0.1:{server.port}/"
        assert healthy(server.port)

        server.config.write_text(server.config.read_text("utf-8") + 'anonymous = "read"\n', "utf-8")
        assert server.ctl("reload").code == 0
        assert healthy(server.port)


@pytest.mark.slow
def test_restart_refuses_no_client(tmp_path: Path) -> None:
    """Those that come while the server is away wait, and are answered by the next process."""
    answered: list[bool] = []
    with activated(tmp_path, '[server]\nlisten = "127.0.0.1:PORT"\n') as server:
        server.start()
        server.stop()
        waiting = [threading.Thread(target=lambda: answered.append(healthy(server.port))) for _ in range(5)]
        for each in waiting:
            each.start()

        server.start()
        for each in waiting:
            each.join(PATIENCE)

    assert answered == [True] * 5


@pytest.mark.slow
def test_clients_that_come_during_a_restart_are_all_answered(tmp_path: Path) -> None:
    """Also those that the process which ends has accepted at the last moment."""
    answers, is_over = Counter[str](), threading.Event()

    def ask(port: int) -> None:
        while not is_over.is_set():
            try:
                answers[str(healthy(port))] += 1
            except OSError as exc:
                answers[repr(exc)] += 1

    with activated(tmp_path, '[server]\nlisten = "127.0.0.1:PORT"\n') as server:
        server.start()
        clients = [threading.Thread(target=ask, args=[server.port]) for _ in range(4)]
        for each in clients:
            each.start()
        for _ in range(3):
            server.restart()
        is_over.set()
        for each in clients:
            each.join(PATIENCE)

    assert set(answers) == {"True"}


@pytest.mark.parametrize(
    ("listen", "address", "said"),
    [
        # Nobody would see by the configuration what is reached from where.
        (
            "127.0.0.1:1",
            "127.0.0.1",
            ("systemd listens on 127.0.0.1:PORT", "set listen and ListenStream= of the socket unit"),
        ),
        # Whoever listens.
        ("0.0.0.0:PORT", "0.0.0.0", ("passwords would be sent in the clear",)),
    ],
    ids=["not named in the configuration", "of the network, without TLS"],
)
def test_unsuitable_socket_is_refused(tmp_path: Path, listen: str, address: str, said: tuple[str]) -> None:
    """With a sentence in the log."""
    with activated(tmp_path, f'[server]\nlisten = "{listen}"\n', address) as server:
        server.start(ready=False)
        assert server.ended() == 2
        log = server.log.read_text("utf-8")
        assert [words for words in said if words.replace("PORT", str(server.port)) not in log] == []


def test_server_speaks_tls_on_the_socket_of_systemd(tmp_path: Path) -> None:
    """With its own certificate, as on a socket of its own."""
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    (tmp_path / "cert.pem").chmod(0o600)
    keys = f'cert_file = "{tmp_path}/cert.pem"\nkey_file = "{tmp_path}/cert.pem"\n'
    with activated(tmp_path, f'[server]\nlisten = "0.0.0.0:PORT"\n{keys}', "0.0.0.0") as server:
        server.start()

        assert healthy(server.port, context)


def test_socket_that_is_for_another_process_is_left_alone(tmp_path: Path) -> None:
    """A command that a service starts has inherited the variables, and not the socket."""
    port = free_port()
    made = ServerProcess(tmp_path, f'[server]\nlisten = "127.0.0.1:{port}"\n')
    try:
        made.start(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")

        assert healthy(port)
    finally:
        made.close()
