"""`smtd list` of a store without a record says so on standard error, and prints nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.build import PROJECT, full
from tests.command import Smtd
from tests.daemon.sqlite_stores import put, write


def test_store_without_a_record_is_named(smtd: Smtd, tmp_path: Path) -> None:
    """Without a project, or with projects that have none."""
    for name in ("new", "empty"):
        put(tmp_path / f"{name}.sqlite")
    put(tmp_path / "empty.sqlite", full("gone"))
    write(tmp_path / "empty.sqlite", deleted=["gone"])

    new, empty = smtd("list", "new.sqlite"), smtd("list", "empty.sqlite")
    chosen = smtd("list", "empty.sqlite", "--project", PROJECT)

    assert [(each.code, each.out) for each in (new, empty, chosen)] == [(0, "")] * 3
    assert new.err == f"smtd: {tmp_path}/new.sqlite has no projects yet\n"
    assert empty.err == f"smtd: {tmp_path}/empty.sqlite has no records\n"
    assert chosen.err == f"smtd: {tmp_path}/empty.sqlite has no records of {PROJECT}\n"


def test_json_of_a_store_without_a_record_has_no_sentence(smtd: Smtd, tmp_path: Path) -> None:
    """The empty list says it."""
    put(tmp_path / "new.sqlite")

    answer = smtd("list", "new.sqlite", "--json")

    assert (answer.json["projects"], answer.err) == ([], "")
