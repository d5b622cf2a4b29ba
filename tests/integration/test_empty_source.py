"""From a source without records smtd creates an empty new store."""

from __future__ import annotations

import dbm.dumb
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Smtd
from tests.projects import make_project
from tests.stores import old_databases as old


def shelf(directory: Path) -> Path:
    dbm.dumb.open(str(directory / "records"), "c").close()
    return directory / "records"


def database(directory: Path) -> Path:
    (directory / "records").touch()
    return directory / "records"


def old_database(directory: Path) -> Path:
    path = old.make(directory / "records", "0.6")
    old.run(path, "DELETE FROM django_store_record")
    return path


def export(directory: Path) -> Path:
    (directory / "records.json").write_text("[]")
    return directory / "records.json"


def project(directory: Path) -> Path:
    """A project in which nothing was run yet."""
    database(make_project(directory, ".smt/records", name="Empty"))
    return directory


@pytest.mark.parametrize(
    ("source", "new"),
    [(each, "new.sqlite") for each in (shelf, database, old_database, export, project)]
    + [(old_database, "new.shelf")],
)
def test_empty_source_creates_the_new_store(
    source: Callable[[Path], Path], new: str, tmp_path: Path, smtd: Smtd
) -> None:
    """The output says that it has no records, as does `smtd list`; the next sync has nothing to do."""
    (tmp_path / "old").mkdir()
    place = source(tmp_path / "old")

    first = smtd("sync", place, tmp_path / new, "--state", tmp_path / "state")
    listed = smtd("list", tmp_path / new)
    second = smtd("sync", place, tmp_path / new, "--state", tmp_path / "state", "--json")

    assert (first.code, first.out.splitlines()[-1].startswith("0 records")) == (0, True)
    assert (listed.code, listed.err) == (0, f"smtd: {tmp_path / new} has no projects yet\n")
    assert (second.code, second.pair["in_sync"]) == (0, 0)


def test_dry_run_creates_no_store(tmp_path: Path, smtd: Smtd) -> None:
    place = shelf(tmp_path)

    answer = smtd("sync", place, tmp_path / "new.sqlite", "--state", tmp_path / "state", "--dry-run")

    assert (answer.code, (tmp_path / "new.sqlite").exists()) == (0, False)


def test_missing_source_creates_no_store(tmp_path: Path, smtd: Smtd) -> None:
    """Its name is misspelt."""
    smtd("sync", tmp_path / "odl.sqlite", tmp_path / "new.sqlite", "--state", tmp_path / "state")

    assert list(tmp_path.glob("*.sqlite")) == []
