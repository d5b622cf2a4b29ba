"""A control socket may have a long path; if even its name is too long, a message says what to do."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.process import daemon_process


def test_socket_with_a_long_path_answers(tmp_path: Path) -> None:
    """The address of a Unix socket has room for 107 bytes, and a path for many more."""
    socket = tmp_path / ("d" * 120) / "control.sock"
    with daemon_process(tmp_path, "", start=False) as daemon:
        daemon.smtd.more["SMTD_SOCKET"] = str(socket)
        daemon.start()

        status = daemon.ctl("status")
        second = daemon.smtd("-c", daemon.config, "run", "--socket", socket)
        stopped = daemon.ctl("stop")
        ended = daemon.ended()

    assert (status.code, status.err) == (0, "")
    assert (second.code, "another smtd" in second.err) == (2, True)
    assert (stopped.code, ended, socket.exists()) == (0, 0, False)


def test_socket_whose_name_alone_is_too_long_is_refused(tmp_path: Path) -> None:
    """The daemon and `smtd-ctl` say which option names another one."""
    with daemon_process(tmp_path, "", start=False) as daemon:
        run = daemon.smtd("-c", daemon.config, "run", "--socket", tmp_path / ("s" * 120))
        asked = daemon.ctl("--socket", tmp_path / ("s" * 120), "status")

    assert run.code == 2
    assert "too long for a socket path; choose another one with --socket" in run.err
    assert asked.code == 3
    assert "too long for a socket path; choose another one with --socket" in asked.err
