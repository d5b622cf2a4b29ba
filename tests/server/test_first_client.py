"""systemd's own tool holds the socket of a server, and starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.daemon.process import PATIENCE, wait_until
from tests.server.process import ServerProcess
from tests.server.test_socket_activation import healthy
from tests.servers.process import free_port


def test_first_client_starts_the_server(tmp_path: Path) -> None:
    """As systemd's own tool does it: it listens, and starts smtd when somebody connects."""
    port = free_port()
    made = ServerProcess(tmp_path, f'[server]\nlisten = "127.0.0.1:{port}"\n')
    kept = [f"--setenv={name}={value}" for name, value in made.variables().items()]
    words = [*made.smtd.program, "-c", str(made.config), *made.verb]
    with subprocess.Popen(
        ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", *kept, sys.executable, *words],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(lambda: is_listening(port))
            assert healthy(port)
            wait_until(lambda: made.ctl("stop").code == 0)  # its control socket may come later
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            made.close()


def is_listening(port: int) -> bool:
    """Say whether a socket listens at *port*, without a connection to it."""
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)
