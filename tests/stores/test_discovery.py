"""smtd recognizes a store by its contents, not by its name."""

from __future__ import annotations

import dbm.dumb
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from smtd.errors import SmtdError, StoreRefused, StoreUnreachable, UsageError
from smtd.stores import registry
from smtd.stores.access import Access
from smtd.stores.discovery import current_project, find
from smtd.stores.django.driver import MYSQL, POSTGRESQL, SQLITE
from smtd.stores.driver import Driver
from smtd.stores.http.driver import HTTP
from smtd.stores.legacy.driver import EXPORT, OLD_SQLITE
from smtd.stores.location import Location
from smtd.stores.shelf.driver import DUMB, GNU, NDBM, SQLITE3
from tests.stores.places import CORPUS, sqlite3_pickles

GDBM_MAGIC = b"\xcf\x9a\x57\x13"
DJANGO = "sumatra.recordstore.django_store.DjangoRecordStore"
SHELVE = "sumatra.recordstore.shelve_store.ShelveRecordStore"
HTTP_STORE = "sumatra.recordstore.http_store.HttpRecordStore"


def run(path: Path, *statements: str) -> None:
    """Run statements in a database, as another program could."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def make_old_django(path: Path) -> None:
    run(path, "CREATE TABLE django_store_record (label text)")


def make_django(path: Path) -> None:
    make_old_django(path)
    run(
        path,
        "CREATE TABLE django_migrations (app text, name text)",
        "INSERT INTO django_migrations VALUES ('django_store', '0002_tag_taggeditem')",
    )


def make_dumb(path: Path) -> None:
    with dbm.dumb.open(str(path), "c") as file:
        file[b"MyProject"] = b"a pickle"


def make_sqlite3(path: Path) -> None:
    with sqlite3_pickles(path):
        pass


def make_project(directory: Path, kind: str, **store: Any) -> Path:
    """Create a project in *directory* as `smt init` does, and return its `.smt`."""
    home = directory / ".smt"
    home.mkdir(parents=True)
    project = {"name": "MyProject", "record_store": {"type": kind, **store}, "on_changed": "error"}
    (home / "project").write_text(json.dumps(project), encoding="utf-8")
    return home


# By content, whatever the name

MAKERS = {
    SQLITE: make_django,
    OLD_SQLITE: make_old_django,
    DUMB: make_dumb,
    SQLITE3: make_sqlite3,
    GNU: lambda path: path.write_bytes(GDBM_MAGIC + bytes(100)),
    NDBM: lambda path: shutil.copy(CORPUS / "c081_ndbm.db", path),
}
NAMES = ["records", "records.db", "records.shelf", "records.sqlite", "a b.tar.gz", "récords"]
#: Names like those of dumb shelves: a copy of a database that is set aside may have one.
NAMES_OF_FILES = ["records.bak", "records.dat", "records.dir"]
KINDS_BY_NAME = [
    *product(MAKERS, NAMES),
    *product((SQLITE, SQLITE3), NAMES_OF_FILES),
]


@pytest.mark.parametrize(("kind", "name"), KINDS_BY_NAME, ids=lambda each: getattr(each, "name", each))
def test_kind_is_recognized_by_content(tmp_path: Path, kind: Driver, name: str) -> None:
    """Every kind of store is found under every name, even one that is usual for another kind."""
    MAKERS[kind](tmp_path / name)

    assert find(str(tmp_path / name)) == Location(kind, tmp_path / name)


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.name)
def test_order_of_the_drivers_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Driver
) -> None:
    """No two kinds recognize the same file."""
    monkeypatch.setattr(registry, "DRIVERS", registry.DRIVERS[::-1])
    MAKERS[kind](tmp_path / "records")

    assert find(str(tmp_path / "records")).driver is kind


@pytest.mark.parametrize(
    ("kind", "shelf", "endings"),
    [(DUMB, "c081_dumb", (".dat", ".dir", ".bak")), (NDBM, "c081_ndbm", (".db",))],
    ids=["dumb", "ndbm"],
)
def test_shelf_is_found_by_its_name_or_any_of_its_files(
    tmp_path: Path, kind: Driver, shelf: str, endings: tuple[str, ...]
) -> None:
    """Its name as in Sumatra."""
    for ending in endings:
        shutil.copy(CORPUS / f"{shelf}{ending}", tmp_path / f"my.records{ending}")
    path = tmp_path / ("my.records" if kind is DUMB else "my.records.db")

    for ending in ("", *endings):
        assert find(str(tmp_path / f"my.records{ending}")) == Location(kind, path)


def a_database_with_a_table_of_a_shelf(path: Path) -> None:
    """Create what Sumatra on Python 3.13 leaves of a database."""
    make_django(path)
    make_sqlite3(path)


FOUND: dict[str, tuple[str, Callable[[Path], object], Driver]] = {
    "a database with an empty table of a shelf": ("", a_database_with_a_table_of_a_shelf, SQLITE),
    "an empty file": ("", Path.touch, SQLITE),
    "a database without tables": ("", lambda path: run(path, "PRAGMA user_version = 0"), SQLITE),
    "a database of an old Sumatra": (
        "",
        lambda path: shutil.copy(CORPUS / "django074.sqlite", path),
        OLD_SQLITE,
    ),
    "an export without records": (".json", lambda path: path.write_text("[]"), EXPORT),
    "an export": (".json", lambda path: path.write_text(' \n{"label": "one"}'), EXPORT),
    "an export of another editor, with a byte order mark": (
        ".json",
        lambda path: path.write_bytes(b"\xef\xbb\xbf[]"),
        EXPORT,
    ),
}


@pytest.mark.parametrize(("ending", "make", "kind"), FOUND.values(), ids=FOUND)
def test_kind_is_recognized_by_the_tables_of_a_file(
    tmp_path: Path, ending: str, make: Callable[[Path], object], kind: Driver
) -> None:
    """However many there are."""
    make(tmp_path / f"records{ending}")

    assert find(str(tmp_path / f"records{ending}")).driver is kind


def test_location_has_the_settings_of_its_store(tmp_path: Path) -> None:
    """What the user configures for a store is found with it, and does not change its identity."""
    make_dumb(tmp_path / "records")
    access = Access("Europe/Paris", "/usr/bin/python3")

    found = find(str(tmp_path / "records"), access)

    assert found.access == access
    assert found == find(str(tmp_path / "records"))


# Projects


@pytest.mark.parametrize("kind", [SQLITE, DUMB, SQLITE3], ids=lambda kind: kind.name)
@pytest.mark.parametrize("named", [".", ".smt"])
def test_project_leads_to_its_store(tmp_path: Path, kind: Driver, named: str) -> None:
    """A project directory, or its .smt, stands for the store in its project file."""
    path = tmp_path / "elsewhere"
    store = {"db_file": str(path)} if kind is SQLITE else {"shelf_name": str(path)}
    make_project(tmp_path / "project", DJANGO if kind is SQLITE else SHELVE, **store)
    MAKERS[kind](path)

    assert find(str(tmp_path / "project" / named)) == Location(kind, path, "MyProject")


def test_store_of_another_kind_than_in_the_project_file_is_found(tmp_path: Path) -> None:
    """The existing store counts."""
    home = make_project(tmp_path, SHELVE, shelf_name=str(tmp_path / ".smt" / "records"))
    make_django(home / "records")

    assert find(str(tmp_path)).driver is SQLITE


@pytest.mark.parametrize(
    ("kind", "store", "found"),
    [(DJANGO, "db_file", SQLITE), (SHELVE, "shelf_name", DUMB)],
    ids=["django", "shelve"],
)
def test_project_file_says_which_store_to_create(
    tmp_path: Path, kind: str, store: str, found: Driver
) -> None:
    """If nothing was recorded yet."""
    home = make_project(tmp_path, kind, **{store: str(tmp_path / ".smt" / "records")})

    assert find(str(tmp_path)) == Location(found, home / "records", "MyProject")


def test_relative_path_starts_at_the_project_directory(tmp_path: Path) -> None:
    """In the project file."""
    home = make_project(tmp_path / "project", DJANGO, db_file=".smt/records")
    make_django(home / "records")

    assert find(str(tmp_path / "project")).path == tmp_path / "project" / ".smt" / "records"


def test_renamed_smt_directory_leads_to_its_own_store(tmp_path: Path) -> None:
    """A .smt that was renamed to .smt_orig stands for the store in it, not for the new one."""
    home = make_project(tmp_path, SHELVE, shelf_name=str(tmp_path / ".smt" / "records"))
    make_dumb(home / "records")
    home.rename(tmp_path / ".smt_orig")
    make_django(make_project(tmp_path, DJANGO, db_file=str(tmp_path / ".smt" / "records")) / "records")

    old, new = find(str(tmp_path / ".smt_orig")), find(str(tmp_path))

    assert old == Location(DUMB, tmp_path / ".smt_orig" / "records", "MyProject")
    assert new == Location(SQLITE, tmp_path / ".smt" / "records", "MyProject")


@pytest.mark.parametrize("still_there", [True, False], ids=["copied", "moved"])
def test_moved_project_leads_to_its_moved_store(tmp_path: Path, still_there: bool) -> None:
    """It has its store with it."""
    home = make_project(tmp_path / "old", DJANGO, db_file=str(tmp_path / "old" / ".smt" / "records"))
    make_django(home / "records")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    if not still_there:
        shutil.rmtree(tmp_path / "old")

    assert find(str(tmp_path / "new")).path == tmp_path / "new" / ".smt" / "records"


def test_project_may_share_the_store_of_another(tmp_path: Path) -> None:
    """Without a store in its own .smt it stands for the one in its file."""
    home = make_project(tmp_path / "one", DJANGO, db_file=str(tmp_path / "one" / ".smt" / "records"))
    make_django(home / "records")
    make_project(tmp_path / "other", DJANGO, db_file=str(home / "records"))

    assert find(str(tmp_path / "other")).path == home / "records"


def test_current_project_is_the_nearest_parent(tmp_path: Path) -> None:
    """Any directory inside a project stands for it."""
    make_project(tmp_path, DJANGO, db_file=str(tmp_path / ".smt" / "records"))
    below = tmp_path / "code" / "model"
    below.mkdir(parents=True)

    assert current_project(below) == tmp_path


def test_error_outside_of_projects_says_where_to_go(tmp_path: Path) -> None:
    """There is no current project."""
    with pytest.raises(UsageError, match="go to the directory of one"):
        current_project(tmp_path)


# Stores that do not exist yet


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("new.sqlite", SQLITE),
        ("new.sqlite3", SQLITE),
        ("new.db", SQLITE),
        ("new.shelf", DUMB),
    ],
)
def test_kind_of_a_new_store_follows_from_its_name(tmp_path: Path, name: str, kind: Driver) -> None:
    """From the ending; a look creates nothing."""
    assert find(str(tmp_path / name), may_be_new=True) == Location(kind, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "may_be_new", "said"),
    [
        ("new.sqlite", False, "there is no record store"),
        ("new", True, r"\.sqlite, \.sqlite3, \.db, \.shelf"),
        ("gone/new.sqlite", True, "there is no directory"),
        ("x" * 300, False, "cannot be read: File name too long"),
    ],
    ids=["not asked for", "no known ending", "no directory", "too long a name"],
)
def test_new_store_needs_an_ending_and_an_existing_directory(
    tmp_path: Path, name: str, may_be_new: bool, said: str
) -> None:
    """Otherwise smtd does not create it."""
    with pytest.raises(StoreUnreachable, match=said):
        find(str(tmp_path / name), may_be_new=may_be_new)


# Identity


def test_identity_is_that_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Different paths to the same files have the same identity and location."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "there").symlink_to("here")
    make_django(tmp_path / "here" / "records")

    ways = ["here/records", "there/records", "here/../here/records", str(tmp_path / "here" / "records")]

    assert len({find(way).identity for way in ways}) == 1
    assert {str(find(way)) for way in ways} == {str(tmp_path / "here" / "records")}


@pytest.mark.parametrize("kind", [SQLITE, SQLITE3], ids=lambda kind: kind.name)
def test_symbolic_link_has_the_identity_of_its_store(tmp_path: Path, kind: Driver) -> None:
    """So that smtd never syncs a store with itself."""
    MAKERS[kind](tmp_path / "records")
    (tmp_path / "link").symlink_to("records")

    assert find(str(tmp_path / "link")).identity == find(str(tmp_path / "records")).identity


# What is no store


def a_damaged_database(path: Path) -> None:
    make_django(path)
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 8000)


def make_bookmarks(path: Path) -> None:
    run(path, "CREATE TABLE moz_bookmarks (id integer)")


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda path: None, StoreUnreachable, "there is no record store at"),
        (Path.mkdir, StoreUnreachable, "is not a Sumatra project"),
        (lambda path: path.write_text("notes to myself"), StoreRefused, "is not a record store"),
        (lambda path: path.write_bytes(b"SQLite form"), StoreRefused, "is not a record store"),
        (a_damaged_database, StoreUnreachable, "cannot be read"),
        (make_bookmarks, StoreRefused, "not a Sumatra record store"),
    ],
    ids=["nothing", "a directory", "a text", "half a database", "a damaged database", "another database"],
)
def test_path_without_a_store_is_an_error(
    tmp_path: Path, make: Callable[[Path], object], error: type[SmtdError], said: str
) -> None:
    """In one sentence, with the path."""
    make(tmp_path / "records")

    with pytest.raises(error, match=said) as told:
        find(str(tmp_path / "records"))

    assert str(tmp_path / "records") in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", ["notes", ""])
def test_file_with_the_ending_of_a_shelf_is_no_store(tmp_path: Path, content: str) -> None:
    """A lone file with the name of a part of a dumb shelf."""
    (tmp_path / "notes.dat").write_text(content, encoding="utf-8")

    with pytest.raises(SmtdError, match=r"notes"):
        find(str(tmp_path / "notes.txt"))


def test_empty_name_is_no_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable of a shell does not mean the current project."""
    make_django(tmp_path / "records.sqlite")
    make_project(tmp_path, DJANGO, db_file=str(tmp_path / "records.sqlite"))
    monkeypatch.chdir(tmp_path)
    assert find(".").project == "MyProject"
    with pytest.raises(UsageError, match="it is empty"):
        find("", may_be_new=True)


# Servers


@pytest.mark.parametrize(
    ("address", "url", "user"),
    [
        ("https://lab.example/records/", "https://lab.example/records/", None),
        ("HTTPS://Lab.Example/records", "https://lab.example/records/", None),
        ("http://lab.example", "http://lab.example/", None),
        ("http://lab.example:80/records/", "http://lab.example/records/", None),
        ("https://lab.example:443/records/", "https://lab.example/records/", None),
        ("https://lab.example:80/records/", "https://lab.example:80/records/", None),
        ("http://ada:s%2Fecret@lab.example:8000/", "http://lab.example:8000/", ("ada", "s/ecret")),
        ("http://ada@[::1]:8000/a%20b", "http://[::1]:8000/a%20b/", ("ada", None)),
    ],
)
def test_server_is_named_by_its_address(address: str, url: str, user: tuple[str, str | None] | None) -> None:
    """The user goes with the location, and is not shown."""
    found = find(address)

    assert (found.driver, found.url, str(found)) == (HTTP, url, url)
    assert (found.access.username, found.access.password) == (user or (None, None))
    assert "ecret" not in repr(found)


#: Messages for invalid addresses; some contain `secret`.
NO_ADDRESSES = {
    "address of a": [
        *("http://[", "http://", "https://ada:secret@/records", "http://ada:secret@lab:port/", "http://h/?q"),
    ],
    "not the address of a database": [
        *("postgres://ada:secret@db", "mysql://ada:secret@db:port/lab", "postgres://ada:secret@[/lab"),
        *("postgres://ada:secret@db/lab?sslmode=maybe", "postgres://ada:secret@db/lab?user=x"),
    ],
    "not supported": ["oracle://ada:secret@db/records", "ftp://ada:secret@[", "x://"],
    "no-such-person": ["~no-such-person/records"],
}


@pytest.mark.parametrize(
    ("said", "address"), [(said, each) for said, addresses in NO_ADDRESSES.items() for each in addresses]
)
def test_invalid_address_is_an_error_without_its_secrets(said: str, address: str) -> None:
    """The user has to correct it."""
    with pytest.raises(UsageError, match=said) as told:
        find(address)

    assert "secret" not in str(told.value)
    assert "secret" not in repr(told.value.__cause__)


@pytest.mark.parametrize("name", ["http", "https", "postgres", "mysql", "mariadb", "postgresql"])
def test_file_with_the_name_of_a_scheme_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A scheme alone makes no address, in a project file neither."""
    monkeypatch.chdir(tmp_path)
    make_django(tmp_path / name)
    make_project(tmp_path, DJANGO, db_file=name)

    assert find(name).path == Path(name)
    assert find(".").identity == f"django:{tmp_path / name}"


def test_other_settings_in_a_project_file_are_no_account_at_a_database(tmp_path: Path) -> None:
    """Sumatra uses only what is in the address; the identity has always been built like that, too."""
    address = "postgresql://h/db"
    make_project(tmp_path, DJANGO, db_file=address, username="bob", password="of the Sumatra Server")

    found = find(str(tmp_path))

    assert (found.identity, found.access.password) == (f"postgresql:{address}", None)


@pytest.mark.parametrize(("kind", "key"), [(DJANGO, "db_file"), (SHELVE, "shelf_name")])
def test_path_with_a_nul_is_an_error_of_the_project_file(tmp_path: Path, kind: str, key: str) -> None:
    """As any other name that cannot be used."""
    make_project(tmp_path, kind, **{key: "a\0b"})

    with pytest.raises(SmtdError):
        find(str(tmp_path))


@pytest.mark.parametrize("address", ["ftp://lab.example/", "lab.example", ""])
def test_invalid_address_in_a_project_file_is_an_error(tmp_path: Path, address: str) -> None:
    """The user has to correct it."""
    make_project(tmp_path, HTTP_STORE, server_url=address)

    with pytest.raises(UsageError, match="not the address of a Sumatra Server"):
        find(str(tmp_path))


@pytest.mark.parametrize("make", [make_django, make_dumb], ids=["sqlite", "dumb"])
def test_hard_links_of_one_file_are_one_store(make: Callable[[Path], None], tmp_path: Path) -> None:
    """They cannot be the two sides of a pair; another file of the same kind can."""
    for name in ("a", "b"):
        make(tmp_path / name)
    for ending in ("", ".dat", ".dir"):
        if (tmp_path / f"a{ending}").exists():
            (tmp_path / f"link{ending}").hardlink_to(tmp_path / f"a{ending}")
    one, link, other = (find(str(tmp_path / name)) for name in ("a", "link", "b"))

    assert (one.shares_file(link), one.shares_file(other)) == (True, False)


def test_two_users_of_one_server_have_different_stores() -> None:
    """A server shows each user their own records."""
    ada, bob = (find(f"http://{name}:pw@lab/") for name in ("ada", "bob"))

    assert ada.identity != bob.identity
    assert "pw" not in ada.identity


# Databases on servers


@pytest.mark.parametrize(
    ("address", "kind", "shown", "user"),
    [
        ("postgres://db/lab", POSTGRESQL, "postgresql://db/lab", None),
        ("postgresql://DB:5432/lab", POSTGRESQL, "postgresql://db/lab", None),
        ("POSTGRES://db:5433/lab", POSTGRESQL, "postgresql://db:5433/lab", None),
        ("postgres:///lab", POSTGRESQL, "postgresql:///lab", None),
        (
            "postgres://ada:p%40ss@[::1]/a/lab",
            POSTGRESQL,
            "postgresql://[::1]/lab",
            ("ada", "p%40ss"),
        ),
        ("mysql://ada@db:3306/lab", MYSQL, "mysql://db/lab", ("ada", None)),
        ("mariadb://ada:secret@db/lab", MYSQL, "mysql://db/lab", ("ada", "secret")),
    ],
)
def test_database_address_is_read_as_sumatra_does(
    address: str, kind: Driver, shown: str, user: tuple[str, str | None] | None
) -> None:
    """The last name in it is the database, and nothing is unquoted."""
    found = find(address)

    assert (found.driver, found.url, str(found), found.files) == (kind, shown, shown, ())
    assert (found.access.username, found.access.password) == (user or (None, None))
    assert user is None or user[1] is None or user[1] not in repr(found).replace("password=", "")
    assert not found.is_missing()


def test_database_tls_settings_do_not_change_the_identity() -> None:
    """They are those of PostgreSQL's programs."""
    plain, secured = find("postgres://db/lab"), find("postgres://db/lab?sslmode=verify-full")

    assert (plain.access.tls, secured.access.tls) == ("", "verify-full")
    assert plain.identity == secured.identity


@pytest.mark.parametrize(
    ("kind", "store", "found", "url"),
    [
        (DJANGO, {"db_file": "postgres://ada:secret@db/lab"}, POSTGRESQL, "postgresql://db/lab"),
        (
            HTTP_STORE,
            {"server_url": "https://lab.example/", "username": "ada", "password": "secret"},
            HTTP,
            "https://lab.example/",
        ),
    ],
    ids=["database", "Sumatra Server"],
)
def test_project_with_records_on_a_server_leads_there(
    tmp_path: Path, kind: str, store: dict[str, str], found: Driver, url: str
) -> None:
    """With the user and password in its file."""
    home = make_project(tmp_path, kind, **store)

    location = find(str(tmp_path))

    assert (location.driver, location.url, location.project) == (found, url, "MyProject")
    assert (location.access.username, location.access.password) == ("ada", "secret")
    assert (location.files, location.signposts) == ((), (home / "project",))


@pytest.mark.parametrize(
    ("kind", "store", "error", "said"),
    [
        (DJANGO, {"db_file": "oracle://ada:secret@db/records"}, StoreRefused, "MyProject"),
        (
            SHELVE,
            {"shelf_name": "~nobody-of-this-name/records"},
            UsageError,
            r"the home directory in .* is unknown; give the full path",
        ),
    ],
    ids=["a kind that smtd does not know", "a home that is not known"],
)
def test_project_with_an_unusable_store_is_an_error_without_its_password(
    tmp_path: Path, kind: str, store: dict[str, str], error: type[SmtdError], said: str
) -> None:
    """With the next step."""
    make_project(tmp_path, kind, **store)

    with pytest.raises(error, match=said) as told:
        find(str(tmp_path))

    assert "secret" not in str(told.value)


BROKEN = {
    "nothing": b"",
    "no JSON": b"(dp0\nS'name'\n.",
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "no name": b'{"record_store": {"type": "a.ShelveRecordStore", "shelf_name": "x"}}',
    "no store": b'{"name": "MyProject"}',
    "no type": b'{"name": "MyProject", "record_store": {"shelf_name": "x"}}',
    "a store that is a text": b'{"name": "MyProject", "record_store": "x"}',
    "a type that is none": b'{"name": "MyProject", "record_store": {"type": null}}',
    "no database": b'{"name": "MyProject", "record_store": {"type": "a.DjangoRecordStore"}}',
    "no shelf": b'{"name": "MyProject", "record_store": {"type": "a.ShelveRecordStore"}}',
    "a database that is none": b'{"name": "x", "record_store": {"type": "a.DjangoRecordStore",'
    b' "db_file": null}}',
    "nested too deeply": b"[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_project_file_is_an_error_with_its_path(tmp_path: Path, content: bytes) -> None:
    """Sumatra could not use it either."""
    file = make_project(tmp_path, DJANGO) / "project"
    file.write_bytes(content)

    with pytest.raises(StoreRefused, match="is not a project file") as told:
        find(str(tmp_path))

    assert str(file) in str(told.value)


def test_project_file_of_any_editor_is_read(tmp_path: Path) -> None:
    """With a byte order mark, and with line ends as on Windows."""
    home = make_project(tmp_path, SHELVE, shelf_name=".smt/records")
    plain = (home / "project").read_bytes()
    (home / "project").write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"))

    assert find(str(tmp_path)).project == json.loads(plain)["name"]


@pytest.mark.parametrize(
    "store", [r".smt\records", r"C:\Users\ada\work\.smt\records", "C:/work/records", r"\\lab\work\records"]
)
@pytest.mark.parametrize("kind", [DJANGO, SHELVE])
def test_project_created_on_windows_is_an_error(tmp_path: Path, kind: str, store: str) -> None:
    """Its path is useless here: smtd creates no store of such a name, and says what to do."""
    file = make_project(tmp_path, kind, db_file=store, shelf_name=store) / "project"

    with pytest.raises(StoreRefused, match="was made on Windows") as told:
        find(str(tmp_path), may_be_new=True)

    assert store in str(told.value)
    assert str(file) in str(told.value)


WRITES = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    db.execute("BEGIN IMMEDIATE")
    print("let in")
except sqlite3.OperationalError as exc:
    print(exc)
"""


def test_recognizing_a_database_releases_no_lock_of_this_process(tmp_path: Path) -> None:
    """Another pair of the same daemon may be writing to it: its transaction must stay locked."""
    path = tmp_path / "records"
    make_django(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")

        assert find(str(path)).driver is SQLITE

        other = subprocess.run(
            [sys.executable, "-c", WRITES, path], capture_output=True, text=True, check=True
        )
    assert other.stdout == "database is locked\n"
