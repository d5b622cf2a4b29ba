"""Where smtd keeps its files, with and without a home directory: in a session, by cron or in a container."""

from __future__ import annotations

import getpass
import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtd.cli.socket_path import any_socket_path, new_socket_path, socket_path
from smtd.cli.state import configuration, state_directory
from smtd.cli.stores import located
from smtd.config import Config, DaemonConfig
from smtd.errors import StoreRefused, UsageError
from smtd.stores.discovery import find
from smtd.stores.registry import open_store

#: The variables that say where things are.
VARIABLES = (
    "SMTD_CONFIG SMTD_SOCKET STATE_DIRECTORY RUNTIME_DIRECTORY HOME"
    " XDG_CONFIG_HOME XDG_STATE_HOME XDG_RUNTIME_DIR"
)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A bare user id in a container: no environment, no entry in passwd, no session."""
    tmp_path_factory.getbasetemp()  # is created for the user of the tests
    for name in VARIABLES.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    monkeypatch.setattr(os, "getuid", lambda: 987654321)


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A directory with a short path."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def test_user_without_a_home_uses_the_configuration_of_the_machine(nobody: None) -> None:
    """Or the defaults."""
    assert configuration() == Config()


def test_user_without_a_home_has_no_passwords(nobody: None) -> None:
    """smtd logs in to servers without one."""
    assert located("http://lab.example/records/", Config(), None).access.password is None
    assert located("postgresql://ada@lab.example/records", Config(), None).access.password is None


def test_user_without_a_home_can_name_a_state_directory(nobody: None, tmp_path: Path) -> None:
    """By the option, the configuration or the environment, like any user."""
    assert state_directory(tmp_path, Config()) == tmp_path
    assert state_directory(None, Config(daemon=DaemonConfig(state_dir=str(tmp_path)))) == tmp_path


def test_error_without_a_home_says_how_to_name_a_state_directory(nobody: None) -> None:
    """If nothing names one."""
    with pytest.raises(UsageError, match=r"no home directory .*--state, .*state_dir .*XDG_STATE_HOME"):
        state_directory(None, Config())


@pytest.mark.parametrize("place", [socket_path, new_socket_path])
def test_error_without_a_home_says_how_to_name_a_socket(nobody: None, place) -> None:
    """For the daemon and for its clients."""
    with pytest.raises(UsageError, match="name a socket with --socket or SMTD_SOCKET"):
        place(None)


def test_tilde_without_a_home_is_an_error_that_names_it(nobody: None) -> None:
    """In each path that a user writes."""
    with pytest.raises(UsageError, match="the home directory in ~/state is unknown"):
        state_directory(Path("~/state"), Config())
    with pytest.raises(UsageError, match=r"the home directory in ~/config.toml is unknown"):
        configuration(Path("~/config.toml"))


@pytest.fixture
def cron(nobody: None, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell without XDG_RUNTIME_DIR, whose user has a home and a session; return the home."""
    monkeypatch.setenv("HOME", str(runtime))
    return runtime


def listening(path: Path, queue: int = 5) -> socket.socket:
    path.parent.mkdir(parents=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(queue)
    return server


def test_daemon_started_without_a_session_is_found_from_one(
    cron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket is in the home directory, where commands look, too."""
    assert new_socket_path(None) == str(cron / ".cache" / "smtd" / "control.sock")
    with listening(Path(new_socket_path(None))):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(cron / "run"))

        assert new_socket_path(None) == str(cron / "run" / "smtd" / "control.sock")
        assert socket_path(None) == str(cron / ".cache" / "smtd" / "control.sock")


def test_daemon_of_a_session_is_found_without_one(cron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime directory of a user has a fixed path, also if no variable has it, as in cron."""
    monkeypatch.setattr(os, "access", lambda path, mode: path == "/run/user/987654321")

    assert socket_path(None) == "/run/user/987654321/smtd/control.sock"


def test_socket_of_a_killed_daemon_hides_no_other(cron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that answers is used."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(cron / "run"))
    listening(cron / "run" / "smtd" / "control.sock").close()
    with listening(cron / ".cache" / "smtd" / "control.sock"):
        assert socket_path(None) == str(cron / ".cache" / "smtd" / "control.sock")


def test_suspended_daemon_hides_no_other(cron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket accepts no client once its queue is full, and no command waits for it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(cron / "run"))
    stopped = cron / "run" / "smtd" / "control.sock"
    with (
        listening(stopped, queue=0),
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting,
        listening(cron / ".cache" / "smtd" / "control.sock"),
    ):
        waiting.connect(str(stopped))

        assert socket_path(None) == str(cron / ".cache" / "smtd" / "control.sock")


def test_server_is_asked_where_no_daemon_answers(cron: Path) -> None:
    """`smtd serve` may run beside the daemon of its user, and commands are for that first."""
    server = new_socket_path(None, is_server=True)
    assert server == str(cron / ".cache" / "smtd" / "server.sock")
    with listening(Path(server)):
        assert any_socket_path(None) == server
        assert socket_path(None) == new_socket_path(None)
        Path(server).parent.rename(cron / "kept")
        with listening(Path(new_socket_path(None))):
            (cron / "kept" / "server.sock").rename(server)
            assert any_socket_path(None) == new_socket_path(None)


def test_named_socket_is_the_only_one_used(cron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if others answer."""
    with listening(cron / ".cache" / "smtd" / "control.sock"):
        assert socket_path("/named") == new_socket_path("/named") == "/named"
        monkeypatch.setenv("SMTD_SOCKET", "/other")
        assert socket_path(None) == new_socket_path(None) == "/other"


async def test_database_without_a_user_name_is_an_error(
    nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL uses the name of the current user if the address has none; here there is none either."""
    for name in ("PGUSER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(getpass, "getuser", {}.popitem)

    async with open_store(find("postgresql://localhost:9/records")) as store:
        with pytest.raises(
            StoreRefused, match="the user who runs smtd has no name; write it as postgresql://user@"
        ):
            await store.projects()
