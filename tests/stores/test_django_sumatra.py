"""SQLite stores go to and fro between smtd and real Sumatra 0.8.1, and neither notices the other."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from smtd.records import canonical
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
from tests.build import INPUT, MOMENT, OUTPUT, change, full, record, tagged
from tests.peers.environments import Environment
from tests.peers.fixtures import RICH
from tests.peers.stores import PeerStore, Seen
from tests.stores import seen as sumatra
from tests.stores.asking import scan_and_read, write_to
from tests.stores.places import CODE, DjangoPlace, Place, dumb_place
from tests.stores.samples import ALL, ROOT, SHA1, TYPED, UNSPEAKABLE, at_home


@pytest.fixture(scope="session")
def rich_database_seen(django_environment: Environment, made_rich_sqlite: Path) -> Seen:
    """What Sumatra sees in a rich SQLite store."""
    return PeerStore(django_environment, "django", made_rich_sqlite).dump()


@pytest.fixture
def rich(rich_sqlite: Path) -> DjangoPlace:
    return DjangoPlace(rich_sqlite)


@pytest.fixture
def place(tmp_path: Path) -> DjangoPlace:
    """A store that is not there yet."""
    directory = tmp_path / "new"
    directory.mkdir()
    return DjangoPlace(directory / "records")


@pytest.fixture
def peer(django_environment: Environment, place: DjangoPlace) -> PeerStore:
    """Sumatra, at work on that store."""
    return PeerStore(django_environment, "django", place.path)


def own(label: str) -> Key:
    return Key(RICH, label)


async def fill(place: Place, *records: Record) -> None:
    """Let smtd write *records* into the store at *place*."""
    assert set(await write_to(place, [Change(own(one.label), one, None) for one in records])) == {DONE}


async def copy(source: Place, target: Place) -> dict[Key, Record]:
    """Let smtd copy everything from *source* to *target*, and return it."""
    async with source.open() as left, target.open() as right:
        scan = await left.scan()
        found = await left.read(scan.digests)
        assert set(await right.write([Change(of, one, None) for of, one in found.items()])) == {DONE}
    assert scan.unreadable == {}
    return found


def schema(path: Path) -> set[tuple[str, ...]]:
    """Return the tables and indexes of a database, however their text is laid out."""
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
    """A store that smtd makes is to the letter what Sumatra makes, and Sumatra finds nothing to do."""
    await fill(place, at_home(full()))
    made = schema(place.path)

    seen = peer.dump()

    assert made == schema(made_rich_sqlite)
    assert schema(place.path) == made
    assert migrations(place.path) == migrations(made_rich_sqlite)
    assert content_types(place.path) == content_types(made_rich_sqlite)
    assert list(seen[RICH]) == ["full"]


async def test_rich_store_is_read_whole(rich: DjangoPlace, rich_database_seen: Seen) -> None:
    """Of a store with every sort of record smtd reads what Sumatra does, field by field."""
    expected = sumatra.records(rich_database_seen)

    scan, found = await scan_and_read(rich, expected)

    assert scan.unreadable == {}
    assert scan.digests.keys() == found.keys() == expected.keys()
    assert {of: to_the_letter(one) for of, one in found.items()} == {
        of: to_the_letter(one) for of, one in expected.items()
    }
    assert {of: differing for of in expected if (differing := differences(found[of], expected[of]))} == {}


def to_the_letter(one: Record) -> tuple[Any, ...]:
    """Return what no store and no reader may lose anything of."""
    names = ("timestamp", "reason", "duration", "version", "outcome", "stdout_stderr", "diff", "tags", "user")
    keys = sorted((key.path, key.creation) for key in one.output_data)
    return (*(getattr(one, name) for name in names), keys)


def differences(one: Record, other: Record) -> list[str]:
    """Return the fields in which Sumatra sees something else than smtd, but for what it makes up.

    It looks programs up on its own machine, and asks a repository on it for its upstream.
    """
    return canonical.differences(_given(one), _given(other))


def _given(one: Record) -> Record:
    assert one.executable is not None
    assert one.repository is not None
    return change(
        one,
        executable=msgspec.structs.replace(one.executable, path=""),
        repository=msgspec.structs.replace(one.repository, upstream=None),
    )


async def test_every_record_that_smtd_copies_is_read_by_sumatra(
    rich: DjangoPlace, place: DjangoPlace, peer: PeerStore, rich_database_seen: Seen
) -> None:
    """Sumatra sees in a copy what it sees in the original, and can make every object of it."""
    await copy(rich, place)

    assert peer.dump() == rich_database_seen


def texts(path: Path) -> dict[str, set[Any]]:
    """Return what the tables say that records refer to, whatever the numbers of the rows."""
    with closing(sqlite3.connect(path)) as db:
        return {
            table: set(db.execute(f"SELECT {', '.join(columns)} FROM django_store_{table}"))
            for table, columns in {**SHARED, "record": ['"user"', "label", "timestamp", "duration"]}.items()
        }


async def test_rows_are_as_sumatra_writes_them(rich: DjangoPlace, place: DjangoPlace) -> None:
    """Rows are to the letter those that Sumatra looks for, so that it finds them and makes no others."""
    await copy(rich, place)

    theirs, ours = texts(rich.path), texts(place.path)
    assert {table: ours[table] - theirs[table] for table in ours} == {table: set() for table in ours}
    assert ours["record"] == theirs["record"]
    assert ours["datakey"] == theirs["datakey"]


async def test_every_record_of_a_shelf_is_read_by_sumatra(
    rich_shelf: Path, place: DjangoPlace, peer: PeerStore
) -> None:
    """Sumatra sees in a database what smtd read in a shelf, shared outputs and all."""
    copied = await copy(dumb_place(rich_shelf), place)

    found = sumatra.records(peer.dump())

    assert found.keys() == copied.keys()
    assert {of: differing for of in copied if (differing := differences(found[of], copied[of]))} == {}
    same = found[own("data-same-output-1")].output_data
    assert same == found[own("data-same-output-2")].output_data != ()


async def test_every_record_that_smtd_makes_is_read_by_sumatra(place: DjangoPlace, peer: PeerStore) -> None:
    """What came from elsewhere Sumatra reads from the database and sees the same."""
    records = [at_home(one) for one in ALL]
    await fill(place, *records)

    seen = peer.dump()

    found, expected = sumatra.records(seen), {own(one.label): one for one in records}
    assert found.keys() == expected.keys()
    assert {label: seen[RICH][label]["parameters_as_dict"] for label in UNSPEAKABLE} == UNSPEAKABLE
    spoken = [of for of in expected if of.label not in UNSPEAKABLE]
    assert {of: differing for of in spoken if (differing := differences(found[of], expected[of]))} == {}


async def test_sumatra_goes_on_where_smtd_wrote(place: DjangoPlace, peer: PeerStore) -> None:
    """Sumatra gets, tags, comments, saves and deletes records that smtd made, and smtd reads on."""
    ours, gone = at_home(full("ours", input_data=())), at_home(record("gone"))
    await fill(place, gone, ours)

    peer.edit(RICH, "ours", tag="theirs", outcome="été")
    peer.delete(RICH, "gone")
    peer.make_many(RICH, 2, root=place.path.parent)
    scan, found = await scan_and_read(place, [own("ours")])

    assert set(scan.digests) == {own("ours"), own("sweep-00000"), own("sweep-00001")}
    theirs = change(tagged(ours, "theirs"), outcome="été")
    assert canonical.differences(found[own("ours")], theirs) == []


async def test_smtd_goes_on_where_sumatra_wrote(
    rich: DjangoPlace, rich_database_seen: Seen, django_environment: Environment
) -> None:
    """A write changes what it is asked to, and Sumatra sees no other record changed."""
    before = rich.forms()

    async with rich.open() as store:
        found = await store.read([own("diff"), own("repeats")])
        diff, repeats = found[own("diff")], found[own("repeats")]
        outcomes = await store.write(
            [
                Change(own("diff"), tagged(diff, "good"), canonical.digest(diff)),
                Change(own("repeats"), None, canonical.digest(repeats)),
                Change(own("new"), at_home(record("new")), None),
            ]
        )

    assert outcomes == [DONE, DONE, DONE]
    touched = {own("diff"), own("repeats"), own("new")}
    after = rich.forms()
    assert {of: after[of] for of in before.keys() - touched} == {
        of: before[of] for of in before.keys() - touched
    }
    seen = PeerStore(django_environment, "django", rich.path).dump()[RICH]
    assert seen.pop("new")["reason"] == "a first look"
    was = {label: one for label, one in rich_database_seen[RICH].items() if label != "repeats"}
    assert seen == {**was, "diff": {**was["diff"], "tags": ["_finished_", "good", "sweep"]}}


async def test_outputs_and_inputs_of_what_is_deleted(place: DjangoPlace, peer: PeerStore) -> None:
    """Sumatra sees that smtd deletes a record, and leaves its data to those that took it as input."""
    producer = at_home(record("producer", output_data=(OUTPUT, INPUT)))
    consumer = at_home(record("consumer", input_data=(OUTPUT,)))
    await fill(place, producer, consumer)

    assert await write_to(place, [Change(own("producer"), None, canonical.digest(producer))]) == [DONE]

    seen = peer.dump()[RICH]
    assert list(seen) == ["consumer"]
    assert [key["path"] for key in seen["consumer"]["input_data"]] == [OUTPUT.path]


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
#: Nested parameters that some other store may hold.
NESTED = [
    *(
        "{}",
        "{} # a: b",
        "{'names': 1}",
        "{'a': {'b': {}}}",
        "{'a': {'parameters': 1}}",
        "{'a': [{'names': 1}]}",
    ),
    *("{'a': nan}", "{'a': -inf}", "{'a': 1e999}", "{'a': (1e999-1e999)}", "{'a': 'nan or inf'}"),
    *("{'a': 1, 'b': ref('a')}", "{'a': ref()}", "{'a': ref(1)}", "{'a': ref(reference='b')}"),
    *("{1: 2}", "{None: 2}", "{'': 2}", "{b'a': 2}", "{'a.b': 2}", "{'a': {'b.c': 2}}", "{'a': {1: 2}}"),
    *(
        "{'a/b': 1}",
        "{'a': 1, 'b/c': 2}",
        "{'a:b/c': 1}",
        "{ # /\n'a': 1}",
        "{'label': 1, 'flat': {'_url': 1}}",
    ),
    *(
        f"{{'a': ParameterRange({words})}}"
        for words in ("[]", "()", "{}", "'ab'", "1", "", "[1], 2, 3, 4, 5")
    ),
    *(
        f"{{'a': ParameterRange({words})}}"
        for words in ("{1, 2}", "{1: 2}", "[[]]", "(1,), 'mV'", "value=[1]")
    ),
    *(
        f"{{'a': ParameterRange({words}, shuffle=True)}}"
        for words in ("[1, 2]", "(1, 2)", "{1, 2}", "{1: 2}")
    ),
    *(f"{{'a': ParameterRange({words})}}" for words in ("GammaDist()", "ref('b')", "ParameterRange([1])")),
    *(f"{{'a': ParameterRange([1], {words})}}" for words in ("unit='mV'", "value=[2]", "units={}", "name=2")),
    *(
        f"{{'a': GammaDist({words})}}"
        for words in ("", "1", "1, 2", "1, 2, 'ab'", "1, 2, 3, 4", "0", "1, 0", "'1'")
    ),
    *(
        f"{{'a': GammaDist({words})}}"
        for words in ("a=-1", "a='1'", "c=1", "m=1, mean=2", "1, mean=1", "a=1, a=2")
    ),
    *(f"{{'a': GammaDist({words})}}" for words in ("None", "1e200", "1, 1e-200", "[1]", "True", "m={}")),
    *(
        f"{{'a': NormalDist({words})}}"
        for words in ("", "1, 2", "1, 2, 3", "m=1", "'a'", "None", "[1]", "1, mean=1")
    ),
    *(
        f"{{'a': UniformDist({words})}}"
        for words in ("1", "1, 2, int", "1, 2, None", "low=1", "max=pi", "min=true")
    ),
    *(
        "{'a': 'file:\\x2f/etc/passwd'}",
        "{'a': 'http://localhost'}",
        "{'a': '\\x00'}",
        "{'a': {1, 2}}",
        "{**{}}",
    ),
]
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
    # Sumatra calls whatever has the name of the type, and this one runs its argument.
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


async def test_whatever_smtd_writes_sumatra_lists(
    place: DjangoPlace, django_environment: Environment
) -> None:
    """A record that would keep Sumatra from listing its whole project is refused, with a reason."""
    odd = {name: at_home(change(record(), **fields)) for name, fields in ODD.items()}
    changes = [Change(Key(name, one.label), one, None) for name, one in odd.items()]

    outcomes = await write_to(place, changes)
    listed = django_environment.run("python", "-c", LIST, place.path, cwd=place.path.parent)

    assert [line for line in listed.stdout.splitlines() if "cannot be listed" in line] == []
    assert all(outcome == DONE or outcome.reason for outcome in outcomes)
    landed = {name for name, outcome in zip(ODD, outcomes, strict=True) if outcome == DONE}
    assert landed >= {
        *("sections with percent signs", "nested parameters {'a': 'nan or inf'}"),
        *(
            "nested parameters {'a': {'b': {}}}",
            "nested parameters {'a': 1, 'b': ref('a')}",
            "JSON of nothing",
        ),
        *("a platform with a name for an address", "an executable without a version"),
    }
