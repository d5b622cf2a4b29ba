"""Two users edit a record with real Sumatra on two machines: docs/explanation/merging.md has the result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Smtd
from tests.peers.environments import Environment
from tests.peers.stores import PeerStore


@pytest.fixture
def machines(django_environment: Environment, tmp_path: Path, smtd: Smtd) -> tuple[PeerStore, PeerStore]:
    """Two project directories with a SQLite store each, in sync."""
    left, right = (
        PeerStore(django_environment, "django", tmp_path / name / "records.db") for name in ("l", "r")
    )
    left.make_many("P", 4)
    right.path.parent.mkdir()
    smtd.sync("l/records.db", "r/records.db")
    return left, right


def test_edits_of_two_users_are_merged_as_documented(
    machines: tuple[PeerStore, PeerStore], smtd: Smtd
) -> None:
    """Appended on both sides: both. Replaced on both: a conflict. Edited and deleted: the edit. Tags: all."""
    left, right = machines
    was = left.dump()["P"]["sweep-00000"]["outcome"]
    left.edit("P", "sweep-00000", outcome=f"{was}\nfrom the left", tag="left")
    right.edit("P", "sweep-00000", outcome=f"{was}\nfrom the right", tag="right")
    left.edit("P", "sweep-00001", reason="another, on the left")
    right.edit("P", "sweep-00001", reason="another, on the right")
    left.delete("P", "sweep-00002")
    right.edit("P", "sweep-00002", outcome="kept")
    left.delete("P", "sweep-00003")

    pair = smtd.sync("l/records.db", "r/records.db")

    here, there = left.dump()["P"], right.dump()["P"]
    merged = here["sweep-00000"]
    assert merged["outcome"] == f"{was}\nfrom the left\nfrom the right"
    assert {"left", "right"} <= set(merged["tags"])
    assert pair["conflicts"] == [{"project": "P", "label": "sweep-00001", "fields": ["reason"]}]
    assert (here["sweep-00001"]["reason"], there["sweep-00001"]["reason"]) == (
        "another, on the left",
        "another, on the right",
    )
    assert here["sweep-00002"]["outcome"] == there["sweep-00002"]["outcome"] == "kept"
    assert "sweep-00003" not in here.keys() | there.keys()
