"""`smtd mirror`: from a project to its mirror in one command, as a person and as a script use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from smtd.config import load
from tests.build import PROJECT, record
from tests.command import Smtd, has_terminals
from tests.daemon.process import daemon_process
from tests.dialog import at_terminal
from tests.projects import make_project
from tests.server.process import ServerProcess, server_process
from tests.server.served import PASSWORD
from tests.stores.places import DjangoPlace


class Project:
    """A project of Sumatra with three records, in which a person works."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "proj"
        self.store = DjangoPlace(self.directory / ".smt" / "records")
        self.smtd = Smtd(self.directory)
        self.config = self.smtd.home / "smtd" / "config.toml"
        #: No daemon of the machine answers, and no systemd starts one.
        self.smtd.more = {
            "SMTD_SOCKET": str(directory / "no.sock"),
            "PATH": "/nowhere",
            "HOME": str(directory),
        }

    async def fill(self) -> None:
        make_project(self.directory, self.store.path)
        await self.store.put(*(record(f"run-{number}") for number in range(3)))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    anyio.run(made.fill)
    return made


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[ServerProcess]:
    with server_process(tmp_path / "lab") as made:
        yield made


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    return file


def test_person_types_the_address_of_the_server_and_answers_three_questions(
    project: Project, lab: ServerProcess
) -> None:
    if not has_terminals():
        pytest.skip("a pseudo-terminal (/dev/pts) is not here")
    with at_terminal(["mirror", lab.root], project.smtd.variables(), project.directory) as terminal:
        terminal.answers(b"User at ", b"ada\n")
        terminal.answers(b"Password, or a token: ", f"{PASSWORD}\n".encode())
        terminal.answers(b"Set it up? [Y/n]: ", b"\n")

        assert terminal.end() == 0

    said = terminal.shown.decode()
    assert "3 records go there, 0 records come here" in said
    assert f"pair {PROJECT.lower()} is set up" in said
    assert "3 records in sync" in said
    assert "no daemon syncs it yet: start one with smtd run" in said
    assert PASSWORD not in said
    kept = project.config.with_name("server.password")
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (f"{PASSWORD}\n", 0o600)
    assert PASSWORD not in project.config.read_text()
    assert project.smtd("check").code == 0


def test_wrong_password_is_asked_for_again(project: Project, lab: ServerProcess) -> None:
    if not has_terminals():
        pytest.skip("a pseudo-terminal (/dev/pts) is not here")
    with at_terminal(["mirror", lab.root], project.smtd.variables(), project.directory) as terminal:
        terminal.answers(b"User at ", b"ada\n")
        terminal.answers(b"Password, or a token: ", b"wrong\n")
        terminal.answers(b"login to ", b"")
        terminal.answers(b"failed", b"ada\n")
        terminal.interrupt()

    assert not project.config.exists()


def test_script_gets_one_object_and_a_second_run_says_that_it_is_set_up(
    project: Project, lab: ServerProcess, password: Path
) -> None:
    words: list[str | Path] = [
        "mirror",
        f"{lab.root}records/",
        "--user",
        "ada",
        "--password-file",
        password,
        "--yes",
        "--json",
    ]

    first, second = project.smtd(*words), project.smtd(*words)

    assert (first.code, second.code) == (0, 0), first.err
    assert (first.json["new"], first.json["sync"]["in_sync"], first.json["daemon"]) == (True, 3, False)
    assert (second.json["new"], second.json["pair"]) == (False, first.json["pair"])


def test_password_in_the_address_goes_into_a_private_file(project: Project, lab: ServerProcess) -> None:
    done = project.smtd("mirror", lab.address, "--yes", "--json")
    again = project.smtd("mirror", lab.root, "--json")

    assert (done.code, again.code) == (0, 0), done.err
    assert PASSWORD not in project.config.read_text() + done.out + done.err
    store = load(project.config).stores["server"]
    assert (store.location, store.username) == (f"{lab.root}records/", "ada")
    assert Path(store.password_file or "").read_text() == f"{PASSWORD}\n"
    assert again.json["new"] is False
    assert project.smtd("check").code == 0


def test_login_in_the_address_of_a_server_counts_at_its_records(project: Project, lab: ServerProcess) -> None:
    """And no password that is there already is replaced by another one: a store may need it."""
    theirs = project.config.with_name("server.password")
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("of another store\n")

    done = project.smtd("mirror", lab.address.removesuffix("records/"), "--yes", "--json")

    assert done.code == 0, done.err
    assert theirs.read_text() == "of another store\n"
    store = load(project.config).stores["server"]
    assert (store.location, store.username) == (f"{lab.root}records/", "ada")
    assert Path(store.password_file or "").read_text() == f"{PASSWORD}\n"


def test_pair_with_settings_of_its_own_is_left_to_the_daemon(project: Project, tmp_path: Path) -> None:
    """A second run syncs nothing by settings that are not those of the pair."""
    copy = DjangoPlace(tmp_path / "copy.sqlite")
    assert project.smtd("mirror", copy.path, "--yes").code == 0
    project.config.write_text(f'{project.config.read_text()}mode = "right-to-left"\n')
    anyio.run(project.store.put, record("only-here"))

    done = project.smtd("mirror", copy.path, "--yes", "--json")

    assert (done.code, done.json["new"], done.json["sync"]) == (0, False, None), done.err
    assert "only-here" not in project.smtd("list", copy.path).out


def test_nobody_to_ask_changes_nothing(project: Project, lab: ServerProcess, password: Path) -> None:
    without_login = project.smtd("mirror", lab.root, "--yes")
    without_yes = project.smtd("mirror", lab.root, "--user", "ada", "--password-file", password)

    assert (without_login.code, without_yes.code) == (2, 2)
    assert "--password-file" in without_login.err
    assert "give --yes" in without_yes.err
    assert not project.config.exists()


def test_comments_and_order_of_the_configuration_stay(project: Project, tmp_path: Path) -> None:
    project.config.parent.mkdir(parents=True)
    before = '# the lab\'s own\n[daemon]\nlog_level = "warning"  # quiet\n\n[notify]\noffline_after = "1h"\n'
    project.config.write_text(before)

    done = project.smtd("mirror", tmp_path / "copy.sqlite", "--name", "usb", "--yes")

    assert done.code == 0, done.err
    text = project.config.read_text()
    assert text.startswith(before)
    assert load(project.config).pairs["usb"].right == "copy"
    assert project.smtd("unmirror").code == 0
    assert project.config.read_text().strip() == before.strip()
    assert (tmp_path / "copy.sqlite").exists()


def test_running_daemon_takes_the_pair_up(project: Project, tmp_path: Path) -> None:
    project.config.parent.mkdir(parents=True)
    (tmp_path / "daemon").mkdir()
    with daemon_process(tmp_path / "daemon", "") as daemon:
        project.smtd.more |= {"SMTD_SOCKET": str(daemon.socket), "SMTD_CONFIG": str(daemon.config)}
        done = project.smtd("mirror", tmp_path / "copy.sqlite", "--yes", "--json")

        assert done.code == 0, done.err
        assert (done.json["daemon"], done.json["sync"]["in_sync"]) == (True, 3)
        status = daemon.ctl("status", "--json").json
    assert [pair["in_sync"] for pair in status["pairs"]] == [3]


def test_mistake_is_a_sentence_and_changes_nothing(project: Project) -> None:
    done = project.smtd("mirror", ".", "--yes")

    assert done.code == 2
    assert "is the store of this project itself" in done.err
    assert not project.config.exists()


def test_outside_a_project_it_says_so(tmp_path: Path) -> None:
    done = Smtd(tmp_path)("mirror", "copy.sqlite")

    assert done.code == 2
    assert "there is no Sumatra project" in done.err
