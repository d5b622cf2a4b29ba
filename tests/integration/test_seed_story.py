"""A real project moves from a shelf to SQLite and back, as Sumatra's documentation describes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.command import NOTHING, Smtd, written
from tests.peers.environments import Environment
from tests.peers.project import SumatraProject

PARAMETERS = "seed = 42 # the answer\nname = \"a 'b' c\"\nweights = [1, 2.5]\n"


@pytest.fixture(scope="module")
def made(
    plain_environment: Environment,
    django_environment: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A project that ran twice on a shelf, now in .smt_orig, and was recreated on SQLite."""
    directory = tmp_path_factory.mktemp("seed") / "project"
    shelved = SumatraProject(directory, plain_environment)
    shelved.create_code({"default.param": PARAMETERS})
    shelved.init("MyProject")
    shelved.run("default.param", label="20110309-141849", reason="a first look")
    shelved.run("default.param", label="20110309-141853")
    shelved.comment("20110309-141853", "converged")
    shelved.tag("figure 2", "20110309-141853")
    (directory / ".smt").rename(directory / ".smt_orig")
    SumatraProject(directory, django_environment).init("MyProject")
    return directory


@pytest.fixture
def moved(made: Path, django_environment: Environment, tmp_path: Path) -> SumatraProject:
    """The same project, for one test: its project files name their new place."""
    directory = tmp_path / "project"
    shutil.copytree(made, directory)
    for file in directory.glob(".smt*/project"):
        file.write_text(file.read_text("utf-8").replace(str(made), str(directory)), "utf-8")
    return SumatraProject(directory, django_environment)


def test_records_arrive_in_the_store_that_smt_init_created(moved: SumatraProject, smtd: Smtd):
    """After `smtd sync .smt_orig/records`, `smt list` lists the complete records of the old shelf."""
    answer = smtd("sync", ".smt_orig/records", cwd=moved.directory)

    assert (answer.code, answer.err) == (0, "")
    assert "2 created" in answer.out
    assert moved.labels() == ["20110309-141853", "20110309-141849"]
    last, first = (moved.records()[label] for label in moved.labels())
    assert first["reason"] == "a first look"
    assert first["stdout_stderr"].startswith("computed 20110309-141849")
    assert [key["path"] for key in first["output_data"]] == ["result.txt"]
    assert "model" in [found["name"] for found in first["dependencies"]]
    assert last["outcome"] == "converged"
    assert last["tags"] == ["_finished_", "figure 2"]
    assert last["parameters"]["type"] == "SimpleParameterSet"
    assert "seed = 42" in last["parameters"]["content"]


def test_smt_works_on_both_stores_and_edits_are_synced_both_ways(
    moved: SumatraProject, plain_environment: Environment, smtd: Smtd
):
    """Runs, comments, tags and deletions made with real `smt` on either store reach the other."""
    smtd.sync(".smt_orig/records", cwd=moved.directory)
    old = SumatraProject(moved.directory, plain_environment)

    moved.run("default.param", label="on-sqlite")
    moved.comment("20110309-141849", "from sqlite")
    moved.tag("sqlite", "20110309-141849")
    _with_store(old, ".smt_orig", lambda: old.run("default.param", label="on-shelf"))
    _with_store(old, ".smt_orig", lambda: old.tag("shelf", "20110309-141849"))
    _with_store(old, ".smt_orig", lambda: old.delete("20110309-141853"))
    pair = smtd.sync(".smt_orig/records", cwd=moved.directory)

    assert pair["ok"]
    assert sorted(moved.labels()) == ["20110309-141849", "on-shelf", "on-sqlite"]
    edited = moved.records()["20110309-141849"]
    assert edited["outcome"] == "from sqlite"
    assert edited["tags"] == ["_finished_", "shelf", "sqlite"]
    seen = _with_store(old, ".smt_orig", old.records)
    assert sorted(seen) == ["20110309-141849", "on-shelf", "on-sqlite"]
    assert seen["20110309-141849"]["tags"] == ["_finished_", "shelf", "sqlite"]
    assert seen["on-sqlite"]["stdout_stderr"].startswith("computed on-sqlite")
    assert "on-sqlite" in _with_store(old, ".smt_orig", lambda: old.list(long=True))
    assert "shelve package" in _with_store(old, ".smt_orig", old.info)


def test_a_second_sync_changes_no_byte(moved: SumatraProject, smtd: Smtd):
    """Of either store, as nothing has changed; with the names of the directories, and without its journal."""
    smtd.sync(".smt_orig/records", cwd=moved.directory)
    before = _bytes(moved.directory)

    again = smtd.sync(".smt_orig", ".", cwd=moved.directory)
    shutil.rmtree(smtd.home)
    anew = smtd.sync(".smt_orig/records", cwd=moved.directory)

    assert written(again) == written(anew) == NOTHING
    assert again["in_sync"] == anew["in_sync"] == 2
    assert _bytes(moved.directory) == before
    # A Python whose dbm is Berkeley's names the file of the shelf with an ending.
    assert again["left"]["location"].removesuffix(".db").endswith(".smt_orig/records")
    assert again["right"]["location"].endswith(".smt/records")


def test_records_go_back_into_a_new_shelf(moved: SumatraProject, plain_environment: Environment, smtd: Smtd):
    """From SQLite back to a shelf: `smt` without Django lists, runs, comments and deletes on it."""
    smtd.sync(".smt_orig/records", cwd=moved.directory)
    shutil.rmtree(moved.directory / ".smt_orig")
    (moved.directory / ".smt").rename(moved.directory / ".smt_sqlite")
    back = SumatraProject(moved.directory, plain_environment)
    back.init("MyProject")

    pair = smtd.sync(".smt_sqlite/records", cwd=back.directory)
    back.run("default.param", label="afterwards")
    back.comment("20110309-141849", "still works")
    back.delete("20110309-141853")

    assert written(pair)["right"] == (2, 0, 0)
    records = back.records()
    assert sorted(records) == ["20110309-141849", "afterwards"]
    assert records["20110309-141849"]["outcome"] == "still works"
    assert records["20110309-141849"]["reason"] == "a first look"


def test_an_unfinished_run_is_held_until_it_is_over(moved: SumatraProject, smtd: Smtd):
    """The report has it as held, and its complete record is copied afterwards."""
    with moved.running(label="long-run") as finish:
        during = smtd.sync(".smt_orig/records", cwd=moved.directory)
        finish()
    after = smtd.sync(".smt_orig/records", cwd=moved.directory)

    assert [(held["label"], held["reason"]) for held in during["held"]] == [("long-run", "running")]
    assert during["left"]["created"] == 0
    assert after["ok"]
    assert after["left"]["created"] == 1


def _with_store(project: SumatraProject, smt_directory: str, work):
    """Run *work* while *smt_directory* is the project's .smt."""
    current, aside = project.directory / ".smt", project.directory / ".smt_aside"
    chosen = project.directory / smt_directory
    current.rename(aside)
    chosen.rename(current)
    try:
        return work()
    finally:
        current.rename(chosen)
        aside.rename(current)


def _bytes(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for store in (".smt", ".smt_orig")
        for path in sorted((directory / store).iterdir())
    }
