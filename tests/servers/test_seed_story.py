"""A real project moves from a shelf to a database on a server, as Sumatra's documentation describes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.command import NOTHING, Smtd, written
from tests.peers.environments import Environment
from tests.peers.project import SumatraProject
from tests.sampling import sampled
from tests.servers.fixtures import SERVERS
from tests.servers.server import PASSWORD, DatabaseServer

PARAMETERS = "seed = 42 # the answer\nname = \"a 'b' c\"\nweights = [1, 2.5]\n"


@pytest.fixture(scope="module")
def shelved(plain_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that ran twice on a shelf, which is now in .smt_orig."""
    directory = tmp_path_factory.mktemp("seed") / "project"
    project = SumatraProject(directory, plain_environment)
    project.create_code({"default.param": PARAMETERS})
    project.init("MyProject")
    project.run("default.param", label="20110309-141849", reason="a first look")
    project.run("default.param", label="20110309-141853")
    project.comment("20110309-141853", "converged")
    project.tag("figure 2", "20110309-141853")
    (directory / ".smt").rename(directory / ".smt_orig")
    return directory


@pytest.mark.parametrize("database_server", sampled(SERVERS, 2), indirect=True)
@pytest.mark.slow
async def test_project_moves_to_a_database_and_works_there(
    shelved: Path,
    django_environment: Environment,
    database_server: DatabaseServer,
    tmp_path: Path,
    smtd: Smtd,
) -> None:
    """`smtd sync .smt_orig/records` copies all records; edits on either store reach the other."""
    directory = tmp_path / "project"
    shutil.copytree(shelved, directory)
    for file in directory.glob(".smt*/project"):
        file.write_text(file.read_text("utf-8").replace(str(shelved), str(directory)), "utf-8")
    database = database_server.new(empty=True)
    project = SumatraProject(directory, django_environment)
    usual = ("--addlabel=cmdline", "--executable=python", "--on-changed=store-diff", "--main=main.py")
    project.init("MyProject", *usual, f"--store={database.url}")

    answer = smtd("sync", ".smt_orig/records", cwd=directory)
    arrived = project.records()
    project.run("default.param", label="on-the-server")
    project.comment("20110309-141849", "from the server")
    project.delete("20110309-141853")
    edited = smtd.sync(".smt_orig/records", cwd=directory)
    again = smtd.sync(".smt_orig/records", cwd=directory)

    assert (answer.code, answer.err) == (0, "")
    assert f"right  {database.shown.replace('mariadb:', 'mysql:')}  2 created" in answer.out
    assert sorted(arrived) == ["20110309-141849", "20110309-141853"]
    assert arrived["20110309-141853"]["tags"] == ["_finished_", "figure 2"]
    assert [key["path"] for key in arrived["20110309-141849"]["output_data"]] == ["result.txt"]
    assert written(edited) == {"left": (1, 1, 1), "right": (0, 0, 0)}
    assert written(again) == NOTHING
    assert PASSWORD not in answer.out + json.dumps([edited, again])
    assert not any(PASSWORD.encode() in file.read_bytes() for file in smtd.home.rglob("*") if file.is_file())
