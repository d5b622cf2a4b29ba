"""A project directory stands for its project: nothing else in either store is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from smtd.records.record import Key
from tests.build import record
from tests.command import NOTHING, Smtd, written
from tests.daemon import sqlite_stores
from tests.daemon.process import DaemonProcess, daemon_process
from tests.daemon.sqlite_stores import keys
from tests.projects import make_project

MINE, THEIRS = Key("Mine", "run"), Key("Theirs", "run")


@pytest.fixture
def smtd(tmp_path: Path) -> Smtd:
    return Smtd(tmp_path)


def project(directory: Path, name: str, *there: Key) -> Path:
    """Create the directory of the project *name*, whose store has the records *there*."""
    store = directory / ".smt" / "records"
    make_project(directory, store, name=name)
    put(store, there)
    return directory


def put(path: Path, new: Sequence[Key]) -> None:
    """Write records into the SQLite store at *path*."""
    for each in new:
        sqlite_stores.put(path, record(each.label), project=each.project)


def test_project_directory_limits_the_sync_to_its_project(smtd: Smtd, tmp_path: Path) -> None:
    """In both directions, with deletions, and on either side."""
    here = project(tmp_path / "here", "Mine", MINE, THEIRS)
    other = tmp_path / "other.sqlite"
    put(other, [Key("Mine", "far"), Key("Far", "run")])

    pair = smtd.sync(here, other)
    again = smtd.sync(other, here)

    assert (pair["projects"], written(pair)) == (["Mine"], {"left": (1, 0, 0), "right": (1, 0, 0)})
    assert written(again) == NOTHING
    assert keys(other) == {MINE, Key("Mine", "far"), Key("Far", "run")}
    assert keys(here / ".smt" / "records") == {MINE, THEIRS, Key("Mine", "far")}


def test_star_syncs_all_projects_and_a_narrower_scope_deletes_none(smtd: Smtd, tmp_path: Path) -> None:
    """Records synced under another scope stay."""
    here = project(tmp_path / "here", "Mine", MINE, THEIRS)
    other = tmp_path / "other.sqlite"

    everything = smtd.sync(here, other, "--project", "*")
    one = smtd.sync(here, other)

    assert (sorted(everything["projects"]), written(everything)["right"]) == (["Mine", "Theirs"], (2, 0, 0))
    assert (one["projects"], one["in_sync"], written(one)) == (["Mine"], 1, NOTHING)
    assert keys(other) == {MINE, THEIRS}


def test_directories_of_two_projects_need_named_projects(smtd: Smtd, tmp_path: Path) -> None:
    """smtd cannot know which of the two is meant; it says what to do, and writes nothing."""
    here, there = project(tmp_path / "a", "Mine", MINE), project(tmp_path / "b", "Theirs", THEIRS)

    answer = smtd("sync", here, there)
    named = smtd.sync(here, there, "--project", "Mine")

    assert answer.code == 2
    assert answer.err == (
        "smtd: the left side is the directory of project Mine and the right side that of Theirs; choose the"
        " projects to sync with --project NAME (repeatable), or --project '*' for all\n"
    )
    assert written(named) == {"left": (0, 0, 0), "right": (1, 0, 0)}


def test_list_of_a_directory_shows_its_project(smtd: Smtd, tmp_path: Path) -> None:
    """A star, or the name of the store itself, lists all records of the store."""
    here = project(tmp_path / "here", "Mine", MINE, THEIRS)

    listed = [
        [each["project"] for each in smtd("list", "--json", *words).json["projects"]]
        for words in (
            [here],
            [here, "--project", "*"],
            [here, "--project", "Theirs"],
            [here / ".smt/records"],
        )
    ]

    assert listed == [["Mine"], ["Mine", "Theirs"], ["Theirs"], ["Mine", "Theirs"]]


def configuration(here: Path, other: Path, projects: str = "") -> str:
    """Return a configuration of one pair, with a line on its *projects*."""
    return (
        f'[stores.here]\nlocation = "{here}"\n[stores.other]\nlocation = "{other}"\npoll_interval = "1s"\n'
        f'[pairs.p]\nleft = "here"\nright = "other"\n{projects}\n'
    )


KEEPS = (
    "pair p syncs only project Mine, because one of its stores is the directory of that project; earlier"
    ' versions synced all projects: set projects = ["*"] in [pairs.p] for all, or projects = ["Mine"]'
)


@pytest.mark.parametrize(
    ("projects", "said"),
    [("", [KEEPS]), ('projects = ["*"]', []), ('projects = ["Mine"]', [])],
    ids=["not named", "all", "named"],
)
def test_check_reports_a_pair_that_synced_more_before(
    smtd: Smtd, tmp_path: Path, projects: str, said: list[str]
) -> None:
    """Only if a store has more; it is no mistake."""
    here = project(tmp_path / "here", "Mine", MINE, THEIRS)
    config = tmp_path / "config.toml"
    config.write_text(configuration(here, tmp_path / "other.sqlite", projects), "utf-8")

    answer = smtd("-c", config, "check")

    warnings = [line.partition(" p ")[2].strip() for line in answer.out.splitlines() if line[0] == "!"]
    assert (answer.code, answer.err, warnings) == (0, "", said)


def test_check_refuses_directories_of_two_projects(smtd: Smtd, tmp_path: Path) -> None:
    """With the pair, and the keys to set."""
    here, there = project(tmp_path / "a", "Mine", MINE), project(tmp_path / "b", "Theirs", THEIRS)
    config = tmp_path / "config.toml"
    config.write_text(configuration(here, there), "utf-8")

    answer = smtd("-c", config, "check")

    assert answer.code == 2
    assert 'choose the projects to sync in pair p: projects = ["NAME"], ["*"] for all' in answer.out


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon, now ended, whose pair has synced all projects of both stores so far."""
    here = project(tmp_path / "here", "Mine", MINE, THEIRS)
    text = configuration(here, tmp_path / "other.sqlite", 'projects = ["*"]')
    with daemon_process(tmp_path, text) as process:
        process.ctl("sync", "now")
        process.stop()
        yield process


def test_daemon_reports_a_pair_that_synced_more_before(daemon: DaemonProcess, tmp_path: Path) -> None:
    """Once, in the log; records of the other project are neither copied nor deleted."""
    here, other = tmp_path / "here", tmp_path / "other.sqlite"
    assert keys(other) == {MINE, THEIRS}
    daemon.config.write_text(configuration(here, other), "utf-8")
    put(here / ".smt" / "records", [Key("Mine", "new"), Key("Theirs", "new")])

    daemon.start()
    daemon.ctl("sync", "now")
    by_daemon = daemon.smtd("sync", here, other)
    daemon.stop()

    assert keys(other) == {MINE, THEIRS, Key("Mine", "new")}
    assert "the running daemon syncs this pair (p)" in by_daemon.err
    assert daemon.log.read_text("utf-8").count(KEEPS) == 1
