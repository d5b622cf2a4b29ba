"""The peers do what they say: nothing here is about smtd."""

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

from tests.peers.environments import Environment, PeerFailed, environment
from tests.peers.fixtures import RICH
from tests.peers.project import SumatraProject
from tests.peers.stores import PeerStore, copy_store, sync_with_sumatra

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=["django", "plain"])
def peer(request: pytest.FixtureRequest) -> Environment:
    return environment(request.param)


@pytest.fixture
def project(peer: Environment, tmp_path: Path) -> SumatraProject:
    return SumatraProject(tmp_path / "project", peer)


@pytest.fixture
def shelf(plain_environment: Environment, tmp_path: Path) -> PeerStore:
    return PeerStore(plain_environment, "shelf", tmp_path / "shelf" / "records")


@pytest.fixture
def database(django_environment: Environment, tmp_path: Path) -> PeerStore:
    return PeerStore(django_environment, "django", tmp_path / "database" / "records")


def ask_for_environment(cache: Path, requirements: str) -> subprocess.Popen[str]:
    """Start a process that wants an environment with *requirements*, kept in *cache*."""
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


def test_environment_has_sumatra(peer: Environment, tmp_path: Path) -> None:
    """Both environments have Sumatra 0.8.1, and their scripts name their own Python."""
    code = "import sys, sumatra; print(sumatra.__version__, sys.prefix)"

    assert "0.8.1" in peer.run(peer.smt, "version", cwd=tmp_path).stdout
    assert peer.run("python", "-c", code, cwd=tmp_path).stdout == f"0.8.1 {peer.directory}\n"


def test_environment_failing_command(plain_environment: Environment, tmp_path: Path) -> None:
    """A command that fails is reported with its exit code and both of its streams."""
    code = "import sys; print('out'); sys.exit('err')"

    with pytest.raises(PeerFailed, match=r"exited with 1\n--- stdout:\nout\n--- stderr:\nerr"):
        plain_environment.run("python", "-c", code, cwd=tmp_path)


def test_environment_network(peer: Environment, tmp_path: Path) -> None:
    """Sumatra, which looks for the internet in every run, finds none and asks nobody."""
    code = "from sumatra.core import have_internet_connection as asked; print(asked())"

    assert peer.run("python", "-c", code, cwd=tmp_path).stdout == "False\n"


@pytest.mark.soak
def test_environment_wanted_by_many(tmp_path: Path) -> None:
    """Of several processes that want a missing environment one builds it, for all."""
    processes = [ask_for_environment(tmp_path, "") for _ in range(3)]
    answers = {process.communicate()[0].strip() for process in processes}

    directory = Path(answers.pop())
    assert not answers
    assert (directory / "bin" / "python").exists()
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.soak
def test_environment_that_pip_refuses(tmp_path: Path) -> None:
    """An environment that cannot be built says why, and leaves none behind."""
    hashed = f"no-such-package==1 --hash=sha256:{'0' * 64}"
    _, errors = ask_for_environment(tmp_path, f"--no-index\n{hashed}\n").communicate()

    assert "No matching distribution found for no-such-package==1" in errors
    assert not list(tmp_path.glob("asked-*/bin"))


@pytest.mark.soak
def test_project_life(project: SumatraProject) -> None:
    """A project is made, runs, is annotated, listed and pruned by `smt` alone."""
    project.init("MyProject")
    assert project.labels() == []
    (project.directory / "default.json").write_text('{"seed": 1, "é": [null]}', encoding="utf-8")
    printed = project.run(label="first", reason="to begin with", tag="good")
    project.run("default.json", "seed=2", label="second")
    project.comment("first", "it works")
    project.tag("figure-1", "first", "second")
    project.tag("good", "first", remove=True)

    assert "computed first from 0 characters" in printed
    assert project.labels() == ["second", "first"]
    assert "to begin with" in project.list(long=True)
    assert "MyProject" in project.info()
    records = project.records()
    assert records["first"]["outcome"] == "it works"
    assert records["first"]["tags"] == ["_finished_", "figure-1"]
    assert records["first"]["user"] == "Ada Lovelace <ada@lab.example>"
    assert [key["path"] for key in records["second"]["output_data"]] == ["result.txt"]
    assert "model" in [dependency["name"] for dependency in records["second"]["dependencies"]]
    assert '"seed": 2' in records["second"]["parameters"]["content"]

    project.delete("first")
    assert project.labels() == ["second"]


def test_project_run_going_on(django_project: SumatraProject) -> None:
    """A run can be looked at while it works; it ends when told to, or is killed."""
    django_project.init("MyProject")

    with django_project.running(label="told") as finish:
        during = django_project.records()
        printed = finish()
    with django_project.running(label="killed"):
        pass

    after = django_project.records()
    assert during["told"]["tags"] == ["_running_"]
    assert "Record label for this run: 'told'" in printed
    assert after["told"]["tags"] == ["_finished_"]
    assert after["killed"]["tags"] == ["_running_"]
    assert after["killed"]["duration"] is None


def test_project_run_going_on_in_shelf(plain_project: SumatraProject) -> None:
    """A run holds its shelf until it is told to finish, and then is there whole.

    Whether another `smt` may look meanwhile depends on the dbm: one of GNU is locked.
    """
    plain_project.init("MyProject")

    with plain_project.running(label="told") as finish:
        finish()

    assert plain_project.records()["told"]["tags"] == ["_finished_"]


def test_project_store_kind(django_project: SumatraProject, plain_project: SumatraProject) -> None:
    """Without Django `smt init` makes a shelf, with it an SQLite store."""
    django_project.init("MyProject", prepared=False)
    plain_project.init("MyProject")

    assert "Django" in django_project.info()
    assert "shelve" in plain_project.info()
    assert django_project.store_path.read_bytes().startswith(b"SQLite format 3\0")
    assert dbm.whichdb(str(plain_project.store_path))


def test_project_code(django_project: SumatraProject, plain_project: SumatraProject) -> None:
    """The same files make the same commit, whoever commits them and when."""
    assert django_project.create_code() == plain_project.create_code()


def test_rich_shelf_classes(plain_environment: Environment, rich_shelf: Path) -> None:
    """A rich shelf has every class of Sumatra's that loads without a server."""
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
def test_rich_stores_agree(
    plain_environment: Environment,
    django_environment: Environment,
    rich_shelf: Path,
    rich_sqlite: Path,
) -> None:
    """The rich stores hold the same labels, and the shelf what a database has no place for."""
    shelf = PeerStore(plain_environment, "shelf", rich_shelf).dump()[RICH]
    database = PeerStore(django_environment, "django", rich_sqlite).dump()[RICH]

    assert shelf.keys() == database.keys()
    assert shelf["extra-attributes"]["extra"]["note"] == "not Sumatra's"
    assert shelf["diff"]["timestamp_us"] == database["diff"]["timestamp_us"]
    assert shelf["status-running"]["tags"] == database["status-running"]["tags"] == ["_running_"]


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["shelf", "sqlite"])
def test_rich_store_in_project(
    kind: str,
    plain_project: SumatraProject,
    django_project: SumatraProject,
    request: pytest.FixtureRequest,
) -> None:
    """`smt` works on a rich store as on one of its own making."""
    project = plain_project if kind == "shelf" else django_project
    project.init(RICH)
    for old in project.smt_directory.glob("records*"):
        old.unlink()
    copy_store(request.getfixturevalue(f"rich_{kind}"), project.store_path)

    assert "parameters-nt-drawn" in project.list(long=True)
    project.comment("outcome-lines", "and more")
    project.tag("figure-9", "odd label/1:2|3.x é")
    project.delete("repeats")
    project.run(label="one-more")
    records = project.records()
    assert records["outcome-lines"]["outcome"].endswith("\nand more")
    assert "figure-9" in records["odd label/1:2|3.x é"]["tags"]
    assert "repeats" not in records
    assert records["one-more"]["tags"] == ["_finished_"]


@pytest.mark.soak
def test_many_records(shelf: PeerStore, database: PeerStore) -> None:
    """The same number makes the same record in both kinds of store."""
    lost = {"extra": {}, "on_changed": "error"}  # that a database has no columns for
    root = shelf.path.parent.parent

    assert shelf.make_many("sweep", 3, root=root) == 3
    assert database.make_many("sweep", 2, root=root) == 2
    assert database.make_many("sweep", 1, first=2, root=root) == 1

    in_shelf, in_database = shelf.dump()["sweep"], database.dump()["sweep"]
    assert sorted(in_shelf) == ["sweep-00000", "sweep-00001", "sweep-00002"]
    assert {label: {**record, **lost} for label, record in in_shelf.items()} == in_database


@pytest.mark.parametrize("kind", ["shelf", "database"])
def test_edit(kind: str, request: pytest.FixtureRequest) -> None:
    """Sumatra's own classes edit and delete one record, and leave the others."""
    store: PeerStore = request.getfixturevalue(kind)
    store.make_many("sweep", 3)
    store.edit("sweep", "sweep-00001", tag="été", untag="sweep", outcome="a\nb", reason="none")
    store.delete("sweep", "sweep-00002")

    records = store.dump()["sweep"]
    edited = records["sweep-00001"]
    assert sorted(records) == ["sweep-00000", "sweep-00001"]
    assert edited["tags"] == ["_finished_", "été"]
    assert (edited["outcome"], edited["reason"]) == ("a\nb", "none")
    assert records["sweep-00000"]["tags"] == ["_finished_", "sweep"]


def test_held_shelf(shelf: PeerStore) -> None:
    """What is written to a dumb shelf that another process holds is lost when that saves."""
    shelf.make_many("sweep", 1)

    with shelf.held("sweep", "held") as release:
        shelf.edit("sweep", "sweep-00000", outcome="precious")
        before = shelf.dump()["sweep"]
        release()

    after = shelf.dump()["sweep"]
    assert before["sweep-00000"]["outcome"] == "precious"
    assert sorted(after) == ["held", "held-2", "sweep-00000"]
    assert after["sweep-00000"]["outcome"] == ""


@pytest.mark.soak
def test_sumatra_sync(shelf: PeerStore, database: PeerStore, django_environment: Environment) -> None:
    """Sumatra's own sync copies records from a shelf, when it is told that it is one."""
    shelf.make_many("sweep", 2)
    source = PeerStore(django_environment, "shelf", shelf.path)
    database.path.parent.mkdir()

    assert sync_with_sumatra(source, database, "sweep") == []
    assert database.dump()["sweep"].keys() == shelf.dump()["sweep"].keys()


def test_sqlite3_shelf(rich_shelf: Path, rich_sqlite3_shelf: Path) -> None:
    """A dumb shelf becomes the file that Python 3.13 would have made of the same content."""
    with dbm.dumb.open(str(rich_shelf), "r") as dumb:
        content = {key: dumb[key] for key in dumb}
    with closing(sqlite3.connect(rich_sqlite3_shelf)) as converted:
        rows = dict(converted.execute("SELECT key, value FROM Dict"))
        mode = converted.execute("PRAGMA journal_mode").fetchone()

    assert rows == content
    assert mode == ("wal",)
