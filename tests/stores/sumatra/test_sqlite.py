"""smtd and real Sumatra 0.8.1 exchange SQLite stores, and neither notices the other."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smtd.records.record import (
    Component,
    DataKey,
    Dependency,
    Executable,
    Key,
    Parameters,
    Platform,
    Record,
    Repository,
)
from smtd.stores.base import DONE, Change
from smtd.stores.django.mapping import SHARED
from tests.build import MOMENT, change, full, record
from tests.peers.environments import Environment
from tests.peers.fixtures import RICH
from tests.peers.stores import PeerStore, Seen
from tests.stores.asking import write_to
from tests.stores.places import CODE, DjangoPlace
from tests.stores.samples import ROOT, SHA1, TYPED, at_home
from tests.stores.sumatra.contract import RichContract, as_in_a_database, copy, fill


@pytest.fixture
def rich(rich_sqlite: Path) -> DjangoPlace:
    return DjangoPlace(rich_sqlite)


@pytest.fixture
def place(tmp_path: Path) -> DjangoPlace:
    """A store that does not exist yet."""
    directory = tmp_path / "new"
    directory.mkdir()
    return DjangoPlace(directory / "records")


@pytest.fixture
def peer(django_environment: Environment, place: DjangoPlace) -> PeerStore:
    """Sumatra at work on that store."""
    return PeerStore(django_environment, "django", place.path)


@pytest.fixture(scope="session")
def seen(django_environment: Environment, made_rich_sqlite: Path) -> Seen:
    """What Sumatra sees in a rich SQLite store."""
    return PeerStore(django_environment, "django", made_rich_sqlite).dump()


class TestSqlite(RichContract):
    """An SQLite file."""

    @pytest.fixture
    def rich_peer(self, django_environment: Environment, rich: DjangoPlace) -> PeerStore:
        return PeerStore(django_environment, "django", rich.path)

    def said(self, one: Record) -> Record:
        return as_in_a_database(one)

    def to_the_letter(self, one: Record) -> Any:
        texts = ("reason", "version", "outcome", "stdout_stderr", "diff", "user")
        keys = sorted((key.path, key.creation) for key in one.output_data)
        return one.timestamp, one.duration, one.tags, [getattr(one, name) for name in texts], keys


def schema(path: Path) -> set[tuple[str, ...]]:
    """Return the tables and indexes of a database, without the layout of their text."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {
        (*names, re.sub(r"\s+|(?<=[(),])|(?=[(),])", " ", sql).replace("  ", " ").strip())
        for *names, sql in rows
    }


def migrations(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT app, name FROM django_migrations ORDER BY app, name").fetchall()


def content_types(path: Path) -> set[Any]:
    with closing(sqlite3.connect(path)) as db:
        return set(db.execute("SELECT app_label, model FROM django_content_type"))


async def test_new_store_has_the_schema_of_sumatra(
    place: DjangoPlace, peer: PeerStore, made_rich_sqlite: Path
) -> None:
    """Exactly, so that Sumatra has nothing to change."""
    await fill(place, at_home(full()))
    made = schema(place.path)

    seen = peer.dump()

    assert made == schema(made_rich_sqlite)
    assert schema(place.path) == made
    assert migrations(place.path) == migrations(made_rich_sqlite)
    assert content_types(place.path) == content_types(made_rich_sqlite)
    assert list(seen[RICH]) == ["full"]


def texts(path: Path) -> dict[str, set[Any]]:
    """Return the rows that records refer to, without the numbers of the rows."""
    with closing(sqlite3.connect(path)) as db:
        return {
            table: set(db.execute(f"SELECT {', '.join(columns)} FROM django_store_{table}"))
            for table, columns in {**SHARED, "record": ['"user"', "label", "timestamp", "duration"]}.items()
        }


async def test_rows_equal_those_of_sumatra(rich: DjangoPlace, place: DjangoPlace) -> None:
    """Exactly those that Sumatra looks for, so that it finds them and makes no others."""
    await copy(rich, place)

    theirs, ours = texts(rich.path), texts(place.path)
    assert {table: ours[table] - theirs[table] for table in ours} == {table: set() for table in ours}
    assert ours["record"] == theirs["record"]
    assert ours["datakey"] == theirs["datakey"]


LIST = """
import sys
from sumatra.recordstore.django_store import DjangoRecordStore, db_config

db_config.update_settings(DEBUG=False)
store = DjangoRecordStore(sys.argv[1])
for project in store.list_projects():
    try:
        store.list(project)
    except Exception as exc:
        print(repr(project), "cannot be listed:", str(exc).splitlines()[-1])
"""
#: Nested parameters that another store may hold: whole sets, and single values, by class.
NESTED = [
    *("{}", "{} # a: b", "{'names': 1}", "{'a': {'b': {}}}", "{'a': {'parameters': 1}}"),
    *("{'a': [{'names': 1}]}", "{'a': 1, 'b': ref('a')}", "{'a': {'b.c': 2}}", "{'a': {1: 2}}"),
    *("{1: 2}", "{None: 2}", "{'': 2}", "{b'a': 2}", "{'a.b': 2}", "{'a/b': 1}", "{'a': 1, 'b/c': 2}"),
    *("{'a:b/c': 1}", "{ # /\n'a': 1}", "{'label': 1, 'flat': {'_url': 1}}", "{**{}}"),
]
VALUES = [
    *("nan", "-inf", "1e999", "(1e999-1e999)", "'nan or inf'", "ref()", "ref(1)", "ref(reference='b')"),
    *("'file:\\x2f/etc/passwd'", "'http://localhost'", "'\\x00'", "{1, 2}"),
]
ARGUMENTS = {
    "ParameterRange": [
        *("[]", "()", "{}", "'ab'", "1", "", "[1], 2, 3, 4, 5", "{1, 2}", "{1: 2}", "[[]]", "(1,), 'mV'"),
        *("[1, 2], shuffle=True", "(1, 2), shuffle=True", "{1, 2}, shuffle=True", "{1: 2}, shuffle=True"),
        *("GammaDist()", "ref('b')", "ParameterRange([1])", "value=[1]", "[1], unit='mV'", "[1], value=[2]"),
        *("[1], units={}", "[1], name=2"),
    ],
    "GammaDist": [
        *("", "1", "1, 2", "1, 2, 'ab'", "1, 2, 3, 4", "0", "1, 0", "'1'", "a=-1", "a='1'", "c=1"),
        *("m=1, mean=2", "1, mean=1", "a=1, a=2", "None", "1e200", "1, 1e-200", "[1]", "True", "m={}"),
    ],
    "NormalDist": ["", "1, 2", "1, 2, 3", "m=1", "'a'", "None", "[1]", "1, mean=1"],
    "UniformDist": ["1", "1, 2, int", "1, 2, None", "low=1", "max=pi", "min=true"],
}
NESTED += [f"{{'a': {value}}}" for value in VALUES]
NESTED += [f"{{'a': {name}({words})}}" for name, each in ARGUMENTS.items() for words in each]
#: Records that some other store may hold.
ODD: dict[str, dict[str, Any]] = {
    "no executable": {"executable": None},
    "no repository": {"repository": None},
    "a repository that nobody knows": {"repository": Repository("CvsRepository", "/code")},
    "a label that starts with a dash": {"label": "-o"},
    "a label without a letter": {"label": "\N{GRINNING FACE}"},
    "no label": {"label": ""},
    **{f"nested parameters {text}": {"parameters": Parameters("NTParameterSet", text)} for text in NESTED},
    **{
        f"{name} parameters {text}": {"parameters": Parameters(name, text)}
        for name, texts in TYPED.items()
        for text in texts
    },
    "parameters of a plugin": {"parameters": Parameters("PluginParameterSet", "a: 1")},
    "parameters of a class that is none": {"parameters": Parameters("build_parameters", "a = 1")},
    # Sumatra calls what has the name of the type, and this one runs its argument.
    "parameters of a function": {"parameters": Parameters("parse_command_line_parameter", "1=2=3")},
    "simple parameters with code": {"parameters": Parameters("SimpleParameterSet", f"a = {CODE}")},
    "simple parameters that are broken": {"parameters": Parameters("SimpleParameterSet", 'a = "b"c"')},
    "JSON that is none": {"parameters": Parameters("JSONParameterSet", "{")},
    "JSON that is a list": {"parameters": Parameters("JSONParameterSet", "[1]")},
    "JSON of nothing": {"parameters": Parameters("JSONParameterSet", "")},
    "YAML with an object": {"parameters": Parameters("YAMLParameterSet", "!!python/name:os.abort")},
    "YAML that is a text": {"parameters": Parameters("YAMLParameterSet", "hello")},
    "sections that are none": {"parameters": Parameters("ConfigParserParameterSet", "a = 1")},
    "sections with percent signs": {"parameters": Parameters("ConfigParserParameterSet", "[a]\nb = 50%\n")},
    "a launch mode that takes nothing of this": {"launch_mode": Component("SerialLaunchMode", {"a": 1})},
    "a launch mode that lacks everything": {"launch_mode": Component("DistributedLaunchMode", {})},
    "a launch mode that nobody knows": {"launch_mode": Component("PluginLaunchMode", {})},
    "a data store without a root": {"datastore": Component("FileSystemDataStore", {})},
    "a data store with more": {"datastore": Component("FileSystemDataStore", {"root": ROOT, "a": 1})},
    "a data store that lacks its archive": {
        "datastore": Component("ArchivingFileSystemDataStore", {"root": ROOT})
    },
    "metadata with a path": {"output_data": (DataKey("a", SHA1, None, {"path": "b"}),)},
    "metadata with odd names": {"output_data": (DataKey("a", SHA1, None, {"a b": 1, "": 2}),)},
    "a dependency of a language": {"dependencies": (Dependency("cobol", "a", "/a", "1"),)},
    "a dependency of a module": {"dependencies": (Dependency("core", "a", "/a", "1"),)},
    "a platform with a name for an address": {"platforms": (Platform(ip_addr="here"),)},
    "an executable without a version": {"executable": Executable("/bin/echo", "echo", "")},
    "an executable without anything": {"executable": Executable(None, None, None, None)},
    "a year that has three digits": {"timestamp": MOMENT.replace(year=999)},
}


async def test_sumatra_can_list_everything_that_smtd_writes(
    place: DjangoPlace, django_environment: Environment
) -> None:
    """smtd refuses a record that would make Sumatra fail to list its whole project, with a reason."""
    odd = {name: at_home(change(record(), **fields)) for name, fields in ODD.items()}
    changes = [Change(Key(name, one.label), one, None) for name, one in odd.items()]

    outcomes = await write_to(place, changes)
    listed = django_environment.run("python", "-c", LIST, place.path, cwd=place.path.parent)

    assert [line for line in listed.stdout.splitlines() if "cannot be listed" in line] == []
    assert all(outcome == DONE or outcome.reason for outcome in outcomes)
    landed = {name for name, outcome in zip(ODD, outcomes, strict=True) if outcome == DONE}
    assert landed >= {
        *("sections with percent signs", "JSON of nothing", "nested parameters {'a': 'nan or inf'}"),
        *("nested parameters {'a': {'b': {}}}", "nested parameters {'a': 1, 'b': ref('a')}"),
        *("a platform with a name for an address", "an executable without a version"),
    }
