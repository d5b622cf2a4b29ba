"""Each command and each configuration in docs/server.md works with the real `smt` and real servers.

The two proxies are in tests/server/test_behind_*.py, and the container in tests/test_container.py.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtd.cli import check_server, ctl
from smtd.config import load
from tests.build import full
from tests.daemon.process import wait_until
from tests.daemon.sqlite_stores import put
from tests.integration.test_readme import understood
from tests.peers.environments import Environment, PeerFailed
from tests.peers.server import SumatraServer
from tests.server.process import ServerProcess, server_process
from tests.server.proxies import GUIDE
from tests.server.remote_project import OPTIONS, PARAMETERS, RemoteProject
from tests.server.served import PASSWORD

RECORDS = "https://ada:TOKEN@records.lab.example/records/"


def lines(heading: str = "") -> list[str]:
    """Return the command lines below *heading*, without their comments."""
    part = GUIDE if not heading else GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", part, re.DOTALL)
    return [
        shlex.join(shlex.split(line[2:], comments=True))
        for block in blocks
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def line_with(words: str, heading: str) -> list[str]:
    """Return the words of the one line below *heading* that begins with *words*."""
    (found,) = [line for line in lines(heading) if line.startswith(words)]
    return shlex.split(found)


def test_every_command_line_is_valid_or_run() -> None:
    """Those of smtd have commands with existing options; other programs are run, or listed here."""
    for line in lines():
        program, *words = shlex.split(line)
        if program == "smtd":
            understood(words)
        elif program == "smtd-ctl":
            ctl.parser().parse_args(words)

    assert {line.split()[0] for line in lines()} == {
        *("smtd", "smtd-ctl", "smt", "cp", "mv", "mkdir"),  # run below
        *("pipx", "podman"),
    }


@pytest.mark.parametrize("number", range(4))
def test_every_configuration_is_valid(tmp_path: Path, number: int) -> None:
    """And its parts fit together."""
    found = [each for each in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL) if "[server]" in each]
    assert len(found) == 4
    (tmp_path / "config.toml").write_text(found[number], "utf-8")

    server = load(tmp_path / "config.toml").server

    assert server is not None
    assert list(check_server.names(server)) == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """What the second and the fourth line leave running: ada and others are its users."""
    with server_process(tmp_path / "server") as made:
        yield made


@pytest.fixture
def token(server: ServerProcess) -> str:
    """The token that `smtd user token ada` prints."""
    words = line_with("smtd user token", "Set up a lab server in five minutes")
    answer = server.smtd("-c", server.config, *words[1:])
    assert answer.code == 0
    made = answer.out.strip()
    address = server.address.replace(PASSWORD, made)
    wait_until(lambda: server.smtd("list", address).code == 0)  # the server reads its users again
    return made


def at(server: ServerProcess, word: str, token: str) -> str:
    """Return *word* with the address of *server* in place of those in the guide."""
    word = word.replace("http://ada:TOKEN@127.0.0.1:8471/", RECORDS.removesuffix("records/"))
    word = word.replace("https://", "http://").replace("records.lab.example/", server.root.split("//")[1])
    return word.replace("TOKEN", token)


def smt(project: RemoteProject, server: ServerProcess, token: str, words: list[str]) -> str:
    assert words[0] == "smt"
    return project.smt(*(at(server, word, token) for word in words[1:]))


@pytest.fixture
def project(django_environment: Environment, tmp_path: Path) -> RemoteProject:
    """A directory with code, and no project yet."""
    made = RemoteProject(tmp_path / "project", django_environment)
    made.create_code(PARAMETERS)
    return made


def test_first_five_minutes_work(project: RemoteProject, server: ServerProcess, token: str) -> None:
    """The first project on the server; a wrong password is reported by the first run only."""
    init = line_with("smt init", "Set up a lab server in five minutes")
    wrong = RemoteProject(project.directory.with_name("wrong"), project.environment)
    wrong.create_code(PARAMETERS)
    assert "Sumatra project successfully set up" in smt(wrong, server, "mistaken", [*init, *OPTIONS])
    with pytest.raises(PeerFailed, match="401"):
        wrong.run("default.param", label="one")

    smt(project, server, token, [*init, *OPTIONS])
    project.run("default.param", label="one")

    assert project.labels() == ["one"]
    settings = (project.smt_directory / "project").stat().st_mode & 0o777
    assert settings == 0o644
    assert token in (project.smt_directory / "project").read_text("utf-8")


@pytest.mark.slow
def test_ways_to_use_the_server_work(project: RemoteProject, server: ServerProcess, token: str) -> None:
    """smtd mirrors a project, smt syncs it, and it moves to the server."""
    _, configure, mirror, sync = map(shlex.split, lines("How people use it"))
    project.init("Sweep", *OPTIONS, f"--store={project.smt_directory / 'records'}")
    project.run("default.param", label="one")
    words = [at(server, word, token).replace("ada@", f"ada:{PASSWORD}@") for word in mirror[1:]]

    mirrored = server.smtd(*words, cwd=project.directory)
    project.run("default.param", label="two")
    smt(project, server, token, sync)
    smt(project, server, token, configure)

    assert (mirrored.code, mirrored.err) == (0, "")
    assert set(project.labels()) == {"one", "two"}
    assert token in (project.smt_directory / "project").read_text("utf-8")


def test_smt_sync_with_the_address_last_fails_without_the_project(
    project: RemoteProject, server: ServerProcess, token: str
) -> None:
    """With the address first it creates a project that the server lacks."""
    _, _, _, (*words, address, store) = map(shlex.split, lines("How people use it"))
    project.init("Sweep", *OPTIONS, f"--store={project.smt_directory / 'records'}")
    project.run("default.param", label="one")

    with pytest.raises(PeerFailed, match="404"):
        smt(project, server, token, [*words, store, address])
    smt(project, server, token, [*words, address, store])
    assert "one" in server.smtd("list", server.store).out


def test_records_and_users_of_a_sumatra_server_are_moved(
    running_server: SumatraServer, server: ServerProcess, tmp_path: Path
) -> None:
    """Every record; its users work here once they have the right."""
    running_server.clear()
    put(tmp_path / "own.sqlite", full("run"))
    server.smtd("sync", tmp_path / "own.sqlite", running_server.address, "--project", "*")
    move, grant = map(shlex.split, lines("Moving from Sumatra Server"))
    words = [word.replace("https://ada@old.lab.example/", running_server.address) for word in move[1:]]
    words = [at(server, word, "").replace("root@", f"root:{PASSWORD}@") for word in words]

    moved = server.smtd(*words)
    granted = server.smtd("-c", server.config, *(word.replace("Sweep", "MyProject") for word in grant[1:]))

    assert moved.code == 0, moved.err
    assert "1 created" in moved.out
    assert (granted.code, granted.err) == (0, "")
    assert "run" in server.smtd("list", server.address).out


def test_backup_can_be_restored(server: ServerProcess, tmp_path: Path) -> None:
    """With all records from the time of the backup."""
    put(server.store, full("early"))
    backup, users, *restore, serve = lines("Backup and restore")
    places = {"/backup/": f"{tmp_path}/", "~/.local/state/smtd": str(server.state)}
    places["~/.config/smtd/users"] = str(server.directory / "users")

    def play(line: str) -> None:
        for place, here in places.items():
            line = line.replace(place, here).replace(f"'{place}", f"'{here}")
        program, *words = shlex.split(line)
        if program == "smtd":
            answer = server.smtd("-c", server.config, *words)
            assert answer.code == 0, answer.err
        elif program == "smtd-ctl":
            assert server.ctl(*words).code == 0
            assert server.ended() == 0
        else:
            subprocess.run([program, *words], check=True)

    play(backup)
    play(users)
    put(server.store, full("late"))
    for line in restore:
        play(line)
    server.start()

    assert serve == "smtd serve"
    assert (tmp_path / "users").stat().st_mode & 0o777 == 0o600
    listed = server.smtd("list", server.store).out
    assert "early" in listed
    assert "late" not in listed
