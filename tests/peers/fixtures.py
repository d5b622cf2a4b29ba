"""Fixtures for `pytest_plugins = ["tests.peers.fixtures"]`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import Answer, Smtd
from tests.peers.environments import Environment, environment, only_one
from tests.peers.project import SumatraProject
from tests.peers.server import SumatraServer, serving
from tests.peers.stores import Kind, PeerStore, as_sqlite3_shelf, copy_store

# The project of the rich stores.
RICH = "MyProject"


@pytest.fixture(scope="session")
def django_environment() -> Environment:
    """Sumatra with everything: `smt init` makes an SQLite store."""
    return environment("django")


@pytest.fixture(scope="session")
def plain_environment() -> Environment:
    """Sumatra without Django: `smt init` makes a shelf."""
    return environment("plain")


@pytest.fixture(scope="session")
def dbm_environment() -> Environment:
    """Sumatra without Django, on a Python that has dbm.gnu and dbm.ndbm."""
    return environment("dbm")


def made_once(name: str, base: Path, make: Callable[[Path], object]) -> Path:
    """Return the store in *name*, which the first process of this run creates for all of them."""
    place = base.parent / name if "PYTEST_XDIST_WORKER" in os.environ else base / name
    store, made = place / "records", place / "made"
    place.mkdir(exist_ok=True)
    with only_one(place / "lock"):
        if not made.exists():
            make(store)
            made.touch()
    return store


def _rich(environment: Environment, kind: Kind) -> Callable[[Path], object]:
    return lambda path: PeerStore(environment, kind, path).make_rich(RICH)


@pytest.fixture(scope="session")
def made_rich_shelf(plain_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dumb shelf of which tests take copies."""
    return made_once("rich-shelf", tmp_path_factory.getbasetemp(), _rich(plain_environment, "shelf"))


@pytest.fixture(scope="session")
def made_rich_sqlite(django_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store of which tests take copies."""
    return made_once("rich-sqlite", tmp_path_factory.getbasetemp(), _rich(django_environment, "django"))


@pytest.fixture
def rich_shelf(made_rich_shelf: Path, tmp_path: Path) -> Path:
    """The stem of a dumb shelf for one test, with every kind of record in `MyProject`."""
    return copy_store(made_rich_shelf, tmp_path / "rich-shelf" / "records")


@pytest.fixture
def rich_sqlite3_shelf(made_rich_shelf: Path, tmp_path: Path) -> Path:
    """The same as `rich_shelf`, in a file as of Python 3.13."""
    directory = tmp_path / "rich-sqlite3-shelf"
    directory.mkdir()
    return as_sqlite3_shelf(made_rich_shelf, directory / "records")


@pytest.fixture
def rich_sqlite(made_rich_sqlite: Path, tmp_path: Path) -> Path:
    """An SQLite store for one test, with every kind of record in `MyProject`."""
    return copy_store(made_rich_sqlite, tmp_path / "rich-sqlite" / "records")


@pytest.fixture
def django_project(django_environment: Environment, tmp_path: Path) -> SumatraProject:
    """A directory in which `init` creates a project with an SQLite store."""
    return SumatraProject(tmp_path / "django-project", django_environment)


@pytest.fixture
def plain_project(plain_environment: Environment, tmp_path: Path) -> SumatraProject:
    """A directory in which `init` creates a project with a shelf."""
    return SumatraProject(tmp_path / "plain-project", plain_environment)


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SumatraServer]:
    """A Sumatra Server that all tests share."""
    with serving(environment("server"), tmp_path_factory.mktemp("server"), careless=True) as server:
        yield server


@pytest.fixture(scope="session")
def rich_server(
    made_rich_shelf: Path, running_server: SumatraServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Answer]:
    """The database of a server to which smtd has synced a shelf, as far as it can; and smtd's output."""

    def make(database: Path) -> None:
        running_server.clear()
        shelf = copy_store(made_rich_shelf, database.with_name("shelf"))
        answer = Smtd(database.parent)("sync", shelf, running_server.address, "--project", RICH, "--json")
        running_server.save_to(database)
        database.with_name("answer").write_text(json.dumps([answer.code, answer.out, answer.err]), "utf-8")

    database = made_once("rich-server", tmp_path_factory.getbasetemp(), make)
    return database, Answer(*json.loads(database.with_name("answer").read_text("utf-8")))


@pytest.fixture
def server(running_server: SumatraServer) -> SumatraServer:
    """A Sumatra Server without records."""
    running_server.clear()
    return running_server
