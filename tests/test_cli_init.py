"""`smtd init`: a commented configuration where there is none, and what commands say without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smtd.config import Config, load
from tests.build import PROJECT, record
from tests.command import Smtd
from tests.daemon.sqlite_stores import put
from tests.forkserver import client
from tests.projects import make_project

EXAMPLE = (Path(__file__).parents[1] / "config.example.toml").read_text("utf-8")


@pytest.fixture
def alone(smtd: Smtd) -> Smtd:
    """`smtd` where no daemon of the machine answers, and no systemd starts one."""
    smtd.more |= {"SMTD_SOCKET": str(smtd.directory / "no.sock"), "PATH": "/nowhere"}
    return smtd


def project_in(directory: Path) -> Path:
    """Make a Sumatra project with one record, and return *directory*."""
    store = directory / ".smt" / "records"
    make_project(directory, store)
    put(store, record("run"))
    return directory


def config_of(smtd: Smtd) -> Path:
    return smtd.home / "smtd" / "config.toml"


def test_configuration_has_every_line_of_the_example_and_changes_nothing(alone: Smtd) -> None:
    """Whatever would define a store, a pair or a server is commented out, and only the user can read it."""
    answer = alone("init")

    file = config_of(alone)
    assert (answer.code, answer.out) == (0, f"wrote {file}; only you can read it\n")
    assert answer.err.startswith("next: edit the file, then smtd check;")
    assert file.stat().st_mode & 0o777 == 0o600
    assert load(file) == Config()
    assert [line.removeprefix("# ") for line in file.read_text().splitlines()] == [
        line.removeprefix("# ") for line in EXAMPLE.splitlines()
    ]


@pytest.mark.parametrize("name", ["proj", 'A "quoted" näme', "x" * 60])
def test_project_of_the_current_directory_is_the_first_store(alone: Smtd, name: str) -> None:
    """A mirror of it takes this store, and leaves all comments."""
    directory = alone.directory / name
    inside = project_in(directory) / "deeper"
    inside.mkdir()

    answer = alone("init", "--json", cwd=inside)
    text = config_of(alone).read_text()
    mirrored = alone("mirror", alone.directory / "copy.sqlite", "--yes", cwd=inside)

    store = answer.json["store"]
    assert answer.json == {"file": str(config_of(alone)), "store": store, "project": str(directory)}
    assert (mirrored.code, alone("check").code) == (0, 0), mirrored.err
    found = load(config_of(alone))
    assert (found.stores[store].location, found.pairs[PROJECT.lower()].left) == (str(directory), store)
    lines = config_of(alone).read_text().splitlines()
    assert [line for line in text.splitlines() if line not in lines] == []


def test_existing_configuration_stays_as_it_is(alone: Smtd) -> None:
    """Also one that cannot be read, and a link to nowhere."""
    for name, make in (
        ("text", lambda file: file.write_text("[daemon]\n")),
        ("broken", lambda file: file.write_bytes(b"\xff\xfe")),
        ("link", lambda file: file.symlink_to("nowhere")),
    ):
        file = alone.directory / name
        make(file)

        answer = alone("init", "-c", file)

        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"smtd: there is a configuration already: {file}; smtd check checks it")
    assert (alone.directory / "text").read_text() == "[daemon]\n"
    assert not (alone.directory / "nowhere").exists()


def test_file_of_an_option_or_of_the_environment_is_written(alone: Smtd) -> None:
    one, other = alone.directory / "new" / "one.toml", alone.directory / "other.toml"

    first = alone("-c", one, "init")
    alone.more["SMTD_CONFIG"] = str(other)
    second = alone("init")

    assert (first.code, second.code) == (0, 0)
    assert one.read_text() == other.read_text()
    assert not config_of(alone).exists()


def test_file_that_cannot_be_created_is_an_error(alone: Smtd) -> None:
    (alone.directory / "file").write_text("")

    answer = alone("init", "-c", alone.directory / "file" / "config.toml")

    assert answer.code == 2
    assert "cannot be created: File exists; or name another file with -c" in answer.err


def test_daemon_without_a_configuration_says_so(alone: Smtd, tmp_path: Path) -> None:
    """It runs, as pairs can be added; but it is not silent about having none."""
    reader, writer = os.pipe()
    process = client.start([*alone.program, "run"], tmp_path, alone.variables(), stdout=writer, stderr=writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as said:
        line = said.readline()
        process.kill()
        process.wait()

    assert f"there are no pairs to sync: no configuration found: neither {config_of(alone)}" in line


@pytest.mark.parametrize("words", [["check"], ["unmirror", "lab"]])
def test_command_that_needs_a_configuration_names_the_places_and_what_makes_one(
    alone: Smtd, words: list[str]
) -> None:
    answer = alone(*words)

    assert (answer.code, answer.out) == (2, "")
    assert f"neither {config_of(alone)} nor /etc/smtd/config.toml exists" in answer.err
    assert "smtd init writes one, smtd mirror sets up the mirror of a project" in answer.err
    missing = alone(*words, "-c", os.path.join(alone.directory, "missing.toml"))
    assert "it does not exist; write it with smtd init -c" in missing.err
