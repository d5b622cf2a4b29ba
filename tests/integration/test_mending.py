"""smtd restores what Sumatra's own bugs remove from a record, and does not copy the loss."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.command import NOTHING, Smtd, written
from tests.peers.environments import Environment
from tests.peers.stores import PeerStore

PROJECT = "MyProject"


@pytest.fixture
def stores(
    rich_shelf: Path, django_environment: Environment, tmp_path: Path, smtd: Smtd
) -> tuple[PeerStore, PeerStore]:
    """The rich shelf and an SQLite store in sync with it."""
    shelf = PeerStore(django_environment, "shelf", rich_shelf)
    database = PeerStore(django_environment, "django", tmp_path / "lab.sqlite")
    smtd.sync(shelf.path, database.path, "--unfinished", "mirror")
    return shelf, database


@pytest.mark.slow
def test_input_data_removed_by_smt_delete_is_restored(stores: tuple[PeerStore, PeerStore], smtd: Smtd):
    """Deleting the producer in SQLite empties its consumer; smtd restores that, and carries the deletion."""
    shelf, database = stores
    consumed = shelf.dump()[PROJECT]["data-consumed"]["input_data"]

    database.delete(PROJECT, "data-produced")
    emptied = database.dump()[PROJECT]["data-consumed"]["input_data"]
    pair = smtd.sync(shelf.path, database.path, "--unfinished", "mirror")

    assert len(emptied) < len(consumed)
    assert [pair["left"][count] for count in ("created", "updated", "deleted")] == [0, 0, 1]
    assert pair["right"]["updated"] == 1
    for store in stores:
        seen = store.dump()[PROJECT]
        assert "data-produced" not in seen
        assert _paths(seen["data-consumed"]["input_data"]) == _paths(consumed)


def test_output_data_moved_by_smt_to_another_record_is_restored(
    stores: tuple[PeerStore, PeerStore], smtd: Smtd
):
    """In SQLite smt's save moves it."""
    shelf, database = stores
    with closing(sqlite3.connect(database.path)) as db, db:
        db.execute(
            "UPDATE django_store_datakey SET output_from_record_id ="
            " (SELECT db_id FROM django_store_record WHERE label = 'data-none')"
            " WHERE output_from_record_id ="
            " (SELECT db_id FROM django_store_record WHERE label = 'data-several')"
        )
    before = shelf.dump()[PROJECT]["data-several"]["output_data"]

    pair = smtd.sync(shelf.path, database.path, "--unfinished", "mirror")

    assert before
    assert pair["ok"]
    for store in stores:
        assert _paths(store.dump()[PROJECT]["data-several"]["output_data"]) == _paths(before)
    assert written(smtd.sync(shelf.path, database.path, "--unfinished", "mirror")) == NOTHING


def _paths(keys: list[dict[str, str]]) -> list[str]:
    return sorted(key["path"] for key in keys)
