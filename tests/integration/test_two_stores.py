"""Two stores that users work on, in all combinations of shelf and SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.command import NOTHING, Smtd, written
from tests.peers.environments import Environment
from tests.peers.stores import PeerStore, copy_store

pytestmark = pytest.mark.halved

#: What a relational store cannot hold, or returns in another order (sumatra-formats 2.4).
NOT_RELATIONAL = {"on_changed", "extra"}


@pytest.fixture
def sqlite_pair(django_environment: Environment, tmp_path: Path) -> tuple[PeerStore, PeerStore]:
    """Two SQLite stores that Sumatra filled: a- and b-records, and one equal output in both."""
    left = PeerStore(django_environment, "django", tmp_path / "a.db")
    right = PeerStore(django_environment, "django", tmp_path / "b.db")
    left.make_many("P", 4)
    right.make_many("P", 4, first=100)
    left.edit("P", "sweep-00000", tag="ta")
    right.edit("P", "sweep-00100", tag="tb")
    return left, right


def test_two_sqlite_stores_become_equal_with_their_tags_and_outputs(
    sqlite_pair: tuple[PeerStore, PeerStore], smtd: Smtd
):
    """Real `smt sync` puts tags on the wrong records here and moves outputs; smtd does neither."""
    left, right = sqlite_pair
    before = {**left.dump()["P"], **right.dump()["P"]}

    pair = smtd.sync("a.db", "b.db")

    assert written(pair) == {"left": (4, 0, 0), "right": (4, 0, 0)}
    assert _content(left.dump()["P"]) == _content(right.dump()["P"]) == _content(before)


def test_edits_on_both_sides_of_two_sqlite_stores_are_merged(
    sqlite_pair: tuple[PeerStore, PeerStore], smtd: Smtd
):
    """Both stores then have the tags of both sides, and an outcome of each."""
    left, right = sqlite_pair
    smtd.sync("a.db", "b.db")
    left.edit("P", "sweep-00001", tag="left", outcome="fine")
    right.edit("P", "sweep-00001", tag="right")
    right.edit("P", "sweep-00002", outcome="odd")
    left.delete("P", "sweep-00003")

    pair = smtd.sync("a.db", "b.db")

    assert pair["ok"]
    assert pair["right"]["deleted"] == 1
    for store in (left, right):
        seen = store.dump()["P"]
        assert {"left", "right"} <= set(seen["sweep-00001"]["tags"])
        assert seen["sweep-00001"]["outcome"] == "fine"
        assert seen["sweep-00002"]["outcome"] == "odd"
        assert "sweep-00003" not in seen
    assert written(smtd.sync("a.db", "b.db")) == NOTHING


def test_every_kind_of_record_is_copied_from_a_shelf(
    rich_shelf: Path, django_environment: Environment, tmp_path: Path, smtd: Smtd
):
    """Real Sumatra sees the same in SQLite, except what the schema cannot hold.

    Two records with equal output data keep it, where Sumatra would move it.
    """
    source = PeerStore(django_environment, "shelf", rich_shelf).dump()

    pair = smtd.sync(rich_shelf, "new.sqlite", "--unfinished", "mirror")
    found = PeerStore(django_environment, "django", tmp_path / "new.sqlite").dump()

    assert pair["ok"]
    assert _relational(found) == _relational(source)
    one, other = (found["MyProject"][f"data-same-output-{number}"]["output_data"] for number in (1, 2))
    assert one == other != []


def test_every_kind_of_record_keeps_its_classes_through_sqlite(
    rich_shelf: Path, django_environment: Environment, tmp_path: Path, smtd: Smtd
):
    """In a new shelf, classes, parameter values and comments are those of the first one."""
    source = PeerStore(django_environment, "shelf", rich_shelf).dump()

    smtd.sync(rich_shelf, "new.sqlite", "--unfinished", "mirror")
    smtd.sync("new.sqlite", "new.shelf", "--unfinished", "mirror")
    found = PeerStore(django_environment, "shelf", tmp_path / "new.shelf").dump()

    assert _relational(found) == _relational(source)
    for project, records in source.items():
        for label, record in records.items():
            came = found[project][label]
            assert came["class"] == record["class"], label
            assert came["parameters_as_dict"] == record["parameters_as_dict"], label
            assert came["parameters_comments"] == record["parameters_comments"], label


def test_a_tag_from_sqlite_changes_nothing_else_in_the_shelf(
    rich_shelf: Path, django_environment: Environment, tmp_path: Path, smtd: Smtd
):
    """Everything else stays as Sumatra pickled it."""
    smtd.sync(rich_shelf, "new.sqlite", "--unfinished", "mirror")
    shelf = PeerStore(django_environment, "shelf", rich_shelf)
    before = shelf.dump()
    PeerStore(django_environment, "django", tmp_path / "new.sqlite").edit(
        "MyProject", "parameters-nt-drawn", tag="seen"
    )

    smtd.sync(rich_shelf, "new.sqlite", "--unfinished", "mirror")
    after = shelf.dump()

    tags = after["MyProject"]["parameters-nt-drawn"].pop("tags")
    assert "seen" in tags
    before["MyProject"]["parameters-nt-drawn"].pop("tags")
    assert after == before


def test_records_overwritten_by_a_program_with_an_open_shelf_are_repeated(
    plain_environment: Environment, django_environment: Environment, tmp_path: Path, smtd: Smtd
):
    """It saves over smtd's records in a dumb shelf; they return, and nothing is deleted."""
    shelf = PeerStore(plain_environment, "shelf", tmp_path / "held.shelf")
    database = PeerStore(django_environment, "django", tmp_path / "other.sqlite")
    shelf.make_many("P", 2)
    smtd.sync("held.shelf", "other.sqlite")
    database.make_many("P", 3, first=10)
    database.edit("P", "sweep-00000", outcome="edited on the other side")

    with shelf.held("P", "holder") as release:
        smtd.sync("held.shelf", "other.sqlite")
        release()
    lost = set(shelf.dump()["P"])
    pair = smtd.sync("held.shelf", "other.sqlite")

    assert lost == {"sweep-00000", "sweep-00001", "holder", "holder-2"}
    assert pair["ok"]
    assert pair["right"]["deleted"] == 0
    assert _content(shelf.dump()["P"]) == _content(database.dump()["P"])
    assert shelf.dump()["P"]["sweep-00000"]["outcome"] == "edited on the other side"
    assert len(database.dump()["P"]) == 7


def test_stores_synced_by_smt_are_adopted_without_a_write(made_rich_sqlite: Path, tmp_path: Path, smtd: Smtd):
    """They are equal, and new to smtd."""
    copy_store(made_rich_sqlite, tmp_path / "one.sqlite")
    copy_store(made_rich_sqlite, tmp_path / "two.sqlite")

    pair = smtd.sync("one.sqlite", "two.sqlite")

    assert written(pair) == NOTHING
    assert pair["ok"]
    assert pair["in_sync"] > 50


def _content(records: dict[str, Any]) -> dict[str, Any]:
    """Return the records as a relational store can return them."""
    relational: dict[str, Any] = _relational({"": records})[""]
    return relational


def _relational(seen: dict[str, Any]) -> dict[str, Any]:
    """Return what Sumatra sees, without order and without what the schema cannot hold."""
    return {
        project: {label: _record(record) for label, record in records.items()}
        for project, records in _in_utc(seen).items()
    }


def _record(record: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in record.items() if name not in NOT_RELATIONAL}
    for name in ("reason", "main_file", "version"):
        plain[name] = plain[name] or ""
    for name in ("dependencies", "output_data", "input_data", "platforms"):
        plain[name] = sorted(plain[name], key=repr)
    for name in ("input_creations_us", "output_creations_us"):
        plain[name] = sorted(plain[name], key=repr)
    if plain["parameters"]["type"] in ("dict", "str"):  # a filled dictionary comes back as its text
        plain["parameters"]["type"] = "dict"
        for name in ("class", "parameters_as_dict"):
            del plain[name]
    else:
        # A simple set is read back from its text: the same values, the same comments.
        del plain["class"]
    return plain


def _in_utc(seen: dict[str, Any]) -> dict[str, Any]:
    """Return what Sumatra sees, with the one time in another zone in UTC."""
    for records in seen.values():
        record = records.get("timestamp-offset")
        if record is not None and record["timestamp"].endswith("+0200"):
            record["timestamp"] = "2024-03-31 00:30:00+0000"
            record["timestamp_us"] = "2024-03-31T00:30:00.123456+00:00"
    return seen
