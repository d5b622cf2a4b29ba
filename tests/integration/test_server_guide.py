"""What the guides say of servers beyond their commands, with the real `smt` and real servers.

The commands themselves are played by tests/documents, the two proxies are in tests/server/test_behind_*.py,
and the container is in tests/test_container.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build import full
from tests.daemon.process import wait_until
from tests.daemon.sqlite_stores import put
from tests.peers.environments import Environment, PeerFailed
from tests.server.process import ServerProcess, server_process
from tests.server.remote_project import OPTIONS, PARAMETERS, RemoteProject


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server whose users are ada and others."""
    with server_process(tmp_path / "server") as made:
        yield made


@pytest.fixture
def address(server: ServerProcess) -> str:
    """The address for ada, with a token in place of the password, as `smtd user token ada` prints it."""
    answer = server.smtd("-c", server.config, "user", "token", "ada")
    assert answer.code == 0
    named = server.root.replace("://", f"://ada:{answer.out.strip()}@") + "records/"
    wait_until(lambda: server.smtd("list", named).code == 0)  # the server reads its users again
    return named


@pytest.fixture
def project(django_environment: Environment, tmp_path: Path) -> RemoteProject:
    """A directory with code, and no project yet."""
    made = RemoteProject(tmp_path / "project", django_environment)
    made.create_code(PARAMETERS)
    return made


def test_wrong_password_is_reported_by_the_first_run(project: RemoteProject, server: ServerProcess) -> None:
    """`smt init` says that all is well."""
    wrong = server.root.replace("://", "://ada:mistaken@") + "records/"

    told = project.smt("init", "Sweep", *OPTIONS, f"--store={wrong}")

    assert "Sumatra project successfully set up" in told
    with pytest.raises(PeerFailed, match="401"):
        project.run("default.param", label="one")


def test_others_can_read_the_token_of_a_project(project: RemoteProject, address: str) -> None:
    """Sumatra keeps it in a file of mode 644."""
    project.smt("init", "Sweep", *OPTIONS, f"--store={address}")
    project.run("default.param", label="one")

    assert project.labels() == ["one"]
    assert (project.smt_directory / "project").stat().st_mode & 0o777 == 0o644
    assert address.split(":")[2].partition("@")[0] in (project.smt_directory / "project").read_text("utf-8")


def test_smt_sync_with_the_address_last_fails_without_the_project(
    project: RemoteProject, server: ServerProcess, address: str
) -> None:
    """With the address first it creates a project that the server lacks."""
    store = project.smt_directory / "records"
    project.init("Sweep", *OPTIONS, f"--store={store}")
    project.run("default.param", label="one")

    with pytest.raises(PeerFailed, match="404"):
        project.smt("sync", store, address)
    project.smt("sync", address, store)
    assert "one" in server.smtd("list", server.store).out


def test_restored_backup_has_what_was_there_when_it_was_made(server: ServerProcess, tmp_path: Path) -> None:
    """And nothing that came later; the users are a file of their own, which only its owner can read."""
    put(server.store, full("early"))
    made = server.smtd("-c", server.config, "backup", tmp_path / "backup.sqlite")
    assert made.code == 0, made.err
    put(server.store, full("late"))

    assert server.ctl("stop").code == 0
    assert server.ended() == 0
    server.store.parent.rename(tmp_path / "replaced")
    server.store.parent.mkdir(mode=0o700)
    (tmp_path / "backup.sqlite").rename(server.store)
    server.start()

    assert (server.directory / "users").stat().st_mode & 0o777 == 0o600
    listed = server.smtd("list", server.store).out
    assert "early" in listed
    assert "late" not in listed
