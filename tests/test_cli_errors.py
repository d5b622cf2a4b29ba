"""Errors on the command line are one sentence with the right exit code, and never a traceback."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import click
import pytest
from click.testing import CliRunner

from smtd.cli.main import main
from smtd.errors import (
    JournalError,
    RecordUnusable,
    SmtdError,
    StoreError,
    StoreRefused,
    StoreUnreachable,
    UsageError,
)
from smtd.records.record import Parameters
from tests.build import PROJECT, RUNNING, change, record
from tests.daemon.sqlite_stores import put

SECRET = "correct-horse"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with two equal stores, in which commands run."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.sqlite", "b.sqlite"):
        put(tmp_path / name, record("a"))
    return tmp_path


@pytest.fixture
def smtd(here):
    """Run a command in this process, with its own state and configuration."""
    home = str(here / "home")
    variables = {
        "XDG_STATE_HOME": home,
        "XDG_CONFIG_HOME": home,
        "SMTD_CONFIG": None,
        "STATE_DIRECTORY": None,
    }
    return lambda *words: CliRunner(env=variables).invoke(main, [str(word) for word in words])


#: The words of a command, its message, and its exit code.
ERRORS = [
    (["sync"], "name two stores to sync once", 2),
    (["sync", "a.sqlite", "b.sqlite", "c.sqlite"], "unexpected extra argument", 2),
    (["sync", "a.sqlite", "b.sqlite", "--mode", "both"], "'both' is not one of", 2),
    (["sync", "a.sqlite", "b.sqlite", "--deletes", "no"], "'no' is not one of", 2),
    (["sync", "a.sqlite", "b.sqlite", "--unfinished", "no"], "'no' is not one of", 2),
    (["sync", "a.sqlite", "b.sqlite", "--what"], "no option", 2),
    (["synch"], "no command", 2),
    (["sync", "a.sqlite", "a.sqlite"], "is on both sides; name two different stores", 2),
    (["sync", "a.sqlite", "./a.sqlite"], "is on both sides; name two different stores", 2),
    (["sync", "a.sqlite"], "project", 2),
    (
        ["sync", f"https://ada:{SECRET}@lab.example/?page=2", "b.sqlite"],
        "this is not the address of a Sumatra Server; write it like https://host/records/",
        2,
    ),
    (["list", f"oracle://ada:{SECRET}@db.example/x"], "oracle:// locations are not supported yet", 2),
    (["list", f"postgres://ada:{SECRET}@127.0.0.1:1/x"], "postgresql://127.0.0.1:1/x cannot be reached", 4),
    (["list", f"postgres://ada:{SECRET}@db.example/"], "this is not the address of a database", 2),
    (["--config", "missing.toml", "sync", "a.sqlite", "b.sqlite"], "missing.toml cannot be read", 2),
    (
        ["--config", "wrong.toml", "sync", "a.sqlite", "b.sqlite"],
        "wrong.toml:1: stats: unknown key",
        2,
    ),
    (["sync", "missing", "b.sqlite"], "there is no record store at missing", 4),
    (["sync", "a.sqlite", "missing"], "there is no record store at missing; to create one, give its name", 4),
    (["sync", "a.sqlite", "missing/new.sqlite"], "there is no directory", 4),
    (["list", "missing"], "there is no record store at missing", 4),
    (["list", "text.txt"], "text.txt is not a record store: it is neither a shelf nor an SQLite file", 4),
    (["sync", "a.sqlite", "other.sqlite"], "is an SQLite file, but not a Sumatra record store", 4),
    (
        ["sync", "a.sqlite", "b.sqlite", "--state", "text.txt"],
        "directory text.txt cannot be used",
        4,
    ),
    (
        ["sync", "a.sqlite", "b.sqlite", "--state", "newer"],
        "journal.sqlite was written by a newer smtd",
        4,
    ),
    (["sync", "torn.sqlite", "b.sqlite"], "torn.sqlite", 4),
]


@pytest.fixture
def broken(here):
    """Files that are no stores, beside the two that are."""
    (here / "text.txt").write_text("neither a shelf nor an SQLite file")
    (here / "wrong.toml").write_text("stats = 1\n")
    (here / "newer").mkdir()
    with closing(sqlite3.connect(here / "newer" / "journal.sqlite")) as db:
        db.execute("PRAGMA user_version = 999")
    whole = (here / "a.sqlite").read_bytes()
    (here / "torn.sqlite").write_bytes(whole[: len(whole) // 2])
    with closing(sqlite3.connect(here / "other.sqlite")) as db:
        db.execute("CREATE TABLE other (x)")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(("words", "message", "code"), ERRORS)
def test_error_is_a_sentence_and_an_exit_code(smtd, words, message, code):
    """The message goes to standard error, and nothing to standard output."""
    result = smtd(*words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stderr
    if code == 4:  # other errors than wrong usage are one line that begins with the program
        (line,) = result.stderr.splitlines()
        assert line.startswith("smtd: ")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("words", [["sync", "missing", "b.sqlite"], ["list", "text.txt"]])
def test_error_prints_no_json(smtd, words):
    """A script sees the exit code, and no partial object."""
    result = smtd(*words, "--json")

    assert (result.exit_code, result.stdout) == (4, "")


def test_nothing_left_is_exit_code_0(smtd):
    """Two stores are in sync."""
    result = smtd("sync", "a.sqlite", "b.sqlite", "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["ok"] is True


@pytest.mark.parametrize(
    ("made", "list_name"),
    [
        (change(record("a"), version="beef"), "conflicts"),
        (change(record("b"), tags=RUNNING, duration=None), "held"),
    ],
    ids=["conflict", "hold"],
)
def test_something_left_is_exit_code_1(smtd, here, made, list_name):
    """A conflict or a hold is no error, but something is left undone."""
    put(here / "c.sqlite", made)

    result = smtd("sync", "a.sqlite", "c.sqlite", "--json")

    (pair,) = json.loads(result.stdout)["pairs"]
    assert (result.exit_code, result.stderr) == (1, "")
    assert [each["label"] for each in pair[list_name]] == [made.label]


def test_unreadable_record_is_exit_code_1_and_reported(smtd, here):
    """One record that would have to be run; the others are listed."""
    put(here / "c.sqlite", record("good"), record("bad", parameters=Parameters("dict", "{'a': 1}")))
    with closing(sqlite3.connect(here / "c.sqlite")) as db:
        db.execute("UPDATE django_store_parameterset SET content = 'print(1)' WHERE type = 'dict'")
        db.commit()

    listed = smtd("list", "c.sqlite")
    synced = smtd("sync", "c.sqlite", "new.sqlite", "--json")

    assert listed.exit_code == synced.exit_code == 1
    assert f"{PROJECT}/good" in listed.stdout
    assert f"{PROJECT}/bad  cannot be read" in listed.stderr
    assert [each["label"] for each in json.loads(synced.stdout)["pairs"][0]["failed"]] == ["bad"]


def test_interruption_ends_with_a_message(smtd, monkeypatch):
    """Control-C causes no traceback."""

    def interrupted(*_words, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("smtd.cli.sync.run", interrupted)

    result = smtd("sync", "a.sqlite", "b.sqlite")

    assert (result.exit_code, result.stderr) == (130, "smtd: stopped; the next run continues from here\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SmtdError, 1),
        (UsageError, 2),
        (StoreError, 4),
        (StoreUnreachable, 4),
        (StoreRefused, 4),
        (RecordUnusable, 4),
        (JournalError, 4),
    ],
)
def test_exit_code_belongs_to_the_class_of_the_error(smtd, monkeypatch, error, code):
    """It tells the shell who has to act."""

    def failed(*_words, **_more):
        raise error("it is so")

    monkeypatch.setattr("smtd.cli.list_records.run", failed)

    result = smtd("list", "a.sqlite")

    assert (result.exit_code, result.stderr, error.exit_code) == (code, "smtd: it is so\n", code)


@pytest.mark.parametrize("command", [[], ["sync"], ["list"], ["demo"]])
def test_help_and_version_succeed(smtd, command):
    """With output on standard output."""
    helped = smtd(*command, "--help")

    assert helped.exit_code == 0
    assert helped.stdout.startswith("Usage: ")
    assert smtd("--version").stdout.startswith("smtd, version ")
    assert isinstance(main, click.Group)
