"""The peers work as described: nothing here is about smtd."""

from __future__ import annotations

import dbm
import dbm.dumb
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.peers.environments import Environment, environment
from tests.peers.fixtures import RICH
from tests.peers.project import SumatraProject
from tests.peers.stores import PeerStore

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=["django", "plain"])
def peer(request: pytest.FixtureRequest) -> Environment:
    return environment(request.param)


@pytest.fixture
def shelf(plain_environment: Environment, tmp_path: Path) -> PeerStore:
    return PeerStore(plain_environment, "shelf", tmp_path / "shelf" / "records")


@pytest.fixture
def database(django_environment: Environment, tmp_path: Path) -> PeerStore:
    return PeerStore(django_environment, "django", tmp_path / "database" / "records")


def ask_for_environment(cache: Path, requirements: str) -> subprocess.Popen[str]:
    """Start a process that needs an environment with *requirements*, kept in *cache*."""
    (cache / "requirements").mkdir(exist_ok=True)
    (cache / "requirements" / "asked.txt").write_text(requirements, encoding="utf-8")
    ask = (
        "import pathlib, sys; from tests.peers import environments as made;"
        "made.HERE = pathlib.Path(sys.argv[1]); print(made.environment('asked').directory)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", ask, cache],
        env={**os.environ, "SMTD_PEERS": str(cache), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_environment_has_no_network(peer: Environment, tmp_path: Path) -> None:
    """Sumatra looks for the internet in every run; here it finds none and sends no request."""
    code = "from sumatra.core import have_internet_connection as asked; print(asked())"

    assert peer.run("python", "-c", code, cwd=tmp_path).stdout == "False\n"


@pytest.mark.soak
def test_environment_needed_by_many_is_built_once(tmp_path: Path) -> None:
    """One of several processes builds it, for all."""
    processes = [ask_for_environment(tmp_path, "") for _ in range(3)]
    answers = {process.communicate()[0].strip() for process in processes}

    directory = Path(answers.pop())
    assert not answers
    assert (directory / "bin" / "python").exists()
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.soak
def test_environment_that_pip_cannot_build_is_an_error(tmp_path: Path) -> None:
    """With the reason, and no environment is left."""
    hashed = f"no-such-package==1 --hash=sha256:{'0' * 64}"
    _, errors = ask_for_environment(tmp_path, f"--no-index\n{hashed}\n").communicate()

    assert "No matching distribution found for no-such-package==1" in errors
    assert not list(tmp_path.glob("asked-*/bin"))


def test_project_code_has_the_same_commit_every_time(
    django_project: SumatraProject, plain_project: SumatraProject
) -> None:
    """The same files make the same commit, whoever commits them and when."""
    assert django_project.create_code() == plain_project.create_code()


def test_rich_shelf_has_every_class(plain_environment: Environment, rich_shelf: Path) -> None:
    """Of Sumatra's classes that load without a server."""
    records = PeerStore(plain_environment, "shelf", rich_shelf).dump()[RICH].values()
    seen = {name.rsplit(".", 1)[1] for record in records for name in record["class"].values()}
    languages = {d["module"] for record in records for d in record["dependencies"]}

    assert seen >= {
        *("Executable", "PythonExecutable", "MatlabExecutable", "RExecutable"),
        *("NEURONSimulator", "NESTSimulator", "GENESISSimulator"),
        *("GitRepository", "MercurialRepository", "Repository"),
        *("SerialLaunchMode", "SerialTqdmLaunchMode"),
        *("DistributedLaunchMode", "SlurmMPILaunchMode"),
        *("FileSystemDataStore", "ArchivingFileSystemDataStore", "MirroredFileSystemDataStore"),
        *("SimpleParameterSet", "ConfigParserParameterSet", "NTParameterSet"),
        *("JSONParameterSet", "YAMLParameterSet", "dict", "NoneType"),
    }
    assert languages == {"python", "neuron", "matlab", "r", "genesis"}


@pytest.mark.soak
def test_many_records_are_equal_in_both_kinds_of_store(shelf: PeerStore, database: PeerStore) -> None:
    """The same number makes the same record."""
    lost = {"extra": {}, "on_changed": "error"}  # a database has no columns for these
    root = shelf.path.parent.parent

    assert shelf.make_many("sweep", 3, root=root) == 3
    assert database.make_many("sweep", 2, root=root) == 2
    assert database.make_many("sweep", 1, first=2, root=root) == 1

    in_shelf, in_database = shelf.dump()["sweep"], database.dump()["sweep"]
    assert sorted(in_shelf) == ["sweep-00000", "sweep-00001", "sweep-00002"]
    assert {label: {**record, **lost} for label, record in in_shelf.items()} == in_database


def test_sqlite3_shelf_has_the_contents_of_the_dumb_one(rich_shelf: Path, rich_sqlite3_shelf: Path) -> None:
    """It is the file that Python 3.13 would have made."""
    with dbm.dumb.open(str(rich_shelf), "r") as dumb:
        content = {key: dumb[key] for key in dumb}
    with closing(sqlite3.connect(rich_sqlite3_shelf)) as converted:
        rows = dict(converted.execute("SELECT key, value FROM Dict"))
        mode = converted.execute("PRAGMA journal_mode").fetchone()

    assert rows == content
    assert mode == ("wal",)
