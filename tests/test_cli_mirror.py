"""`smtd mirror`: from a project to its mirror in one command, as a person and as a script use it."""

from __future__ import annotations

import signal
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

    async def fill(self, name: str = PROJECT) -> None:
        make_project(self.directory, self.store.path, name=name)
        await self.store.put(*(record(f"run-{number}") for number in range(3)), project=name)

    def sibling(self) -> Project:
        """Return another project of the same person."""
        made = Project(self.directory.parent / "another")
        anyio.run(made.fill, "Another")
        made.smtd.home, made.config, made.smtd.more = self.smtd.home, self.config, self.smtd.more
        return made


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


@pytest.mark.parametrize("path", ["", "records", "records/"])
def test_second_project_uses_the_store_of_the_first_and_its_login(
    project: Project, lab: ServerProcess, password: Path, path: str
) -> None:
    first = project.smtd("mirror", lab.root, "--user", "ada", "--password-file", password, "--yes")
    second = project.sibling().smtd("mirror", f"{lab.root}{path}", "--yes", "--json")

    assert (first.code, second.code) == (0, 0), second.err
    config = load(project.config)
    assert [pair.right for pair in config.pairs.values()] == ["server", "server"]
    assert [pair.projects for pair in config.pairs.values()] == [[PROJECT], ["Another"]]
    assert sorted(config.stores) == ["proj", "proj-2", "server"]
    assert second.json["sync"]["in_sync"] == 3
    assert project.smtd("check").code == 0
    assert project.smtd("unmirror").code == 0
    assert sorted(load(project.config).stores) == ["proj-2", "server"]


def test_another_user_of_the_same_server_gets_a_store_with_the_password_of_that_user(
    project: Project, lab: ServerProcess, password: Path
) -> None:
    other = password.with_name("other")
    other.write_text("wrong\n")
    other.chmod(0o600)
    assert project.smtd("mirror", lab.root, "--user", "ada", "--password-file", password, "--yes").code == 0
    before = project.config.read_text()

    sibling = project.sibling()
    refused = sibling.smtd("mirror", lab.root, "--user", "ada", "--password-file", other, "--yes")
    without = sibling.smtd("mirror", lab.root, "--user", "bob", "--yes")
    by_name = sibling.smtd("mirror", "server", "--user", "bob", "--yes")
    assert (refused.code, without.code, by_name.code) == (4, 2, 2)
    assert "has another login" in by_name.err
    assert project.config.read_text() == before

    done = sibling.smtd("mirror", lab.root, "--user", "bob", "--password-file", password, "--yes")

    assert done.code == 0, done.err
    stores = load(project.config).stores
    assert [(stores[name].username, stores[name].password_file) for name in ("server", "server-2")] == [
        ("ada", str(password)),
        ("bob", str(password)),
    ]


def test_configured_login_that_the_server_refuses_is_named_and_nothing_is_written(
    project: Project, lab: ServerProcess, password: Path
) -> None:
    assert project.smtd("mirror", lab.root, "--user", "ada", "--password-file", password, "--yes").code == 0
    before = project.config.read_text()
    password.write_text("changed since\n")

    done = project.sibling().smtd("mirror", lab.root, "--yes")

    assert done.code == 4
    assert "correct the login of the store server in the configuration" in done.err
    assert project.config.read_text() == before


@pytest.mark.parametrize("has_daemon", [False, True])
def test_server_that_cannot_be_reached_ends_with_4(
    project: Project, lab: ServerProcess, password: Path, tmp_path: Path, has_daemon: bool
) -> None:
    words: list[str | Path] = ["mirror", lab.root, "--user", "ada", "--password-file", password, "--yes"]
    (tmp_path / "daemon").mkdir()
    with daemon_process(tmp_path / "daemon", "") as daemon:
        if has_daemon:  # the pair is there before, and so the daemon finds out
            project.smtd.more |= {"SMTD_SOCKET": str(daemon.socket), "SMTD_CONFIG": str(daemon.config)}
            assert project.smtd(*words).code == 0
        lab.signal(signal.SIGKILL)
        lab.ended()

        done = project.smtd(*words)

    assert done.code == 4
    assert "cannot be reached" in done.err


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
