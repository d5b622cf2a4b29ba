"""`smtd sync OLD NEW --timezone ZONE` of docs/how-to/old-sumatra.md, with stores of real Sumatra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import NOTHING, Smtd, written
from tests.peers.stores import copy_store
from tests.stores.old_exports import V07
from tests.stores.places import contents

CORPUS = Path(__file__).parents[1] / "stores" / "corpus"
#: How many records each has.
OLD = {"c021_py27": 4, "c074_py37": 7, "django074.sqlite": 2, "django_0.4.0.sqlite": 2}


@pytest.fixture
def smtd(tmp_path: Path) -> Smtd:
    """The command, in a directory of its own."""
    (tmp_path / "work").mkdir()
    return Smtd(tmp_path / "work")


@pytest.mark.parametrize("name", OLD)
def test_one_command_copies_an_old_store_into_a_new_one(name: str, smtd: Smtd) -> None:
    """Every record arrives, the old store does not change, and a second sync has nothing to do."""
    copy_store(CORPUS / name, smtd.directory / name)
    before = contents(smtd.directory)

    first = smtd.sync(name, "new.sqlite", "--timezone", "Europe/Paris")
    second = smtd.sync(name, "new.sqlite", "--timezone", "Europe/Paris")

    assert first["ok"]
    assert written(first) == {"left": (0, 0, 0), "right": (OLD[name], 0, 0)}
    assert first["left"]["read_only"].endswith("does not write it: sync it into a new store")
    assert written(second) == NOTHING
    assert {file: held for file, held in contents(smtd.directory).items() if file in before} == before


def test_times_are_converted_from_the_given_zone(smtd: Smtd) -> None:
    """Noon on a summer's day in Paris is ten o'clock in UTC."""
    (smtd.directory / "records_export.json").write_text(json.dumps([V07]), encoding="utf-8")

    smtd.sync("records_export.json", "new.sqlite", "--timezone", "Europe/Paris")

    ((project,),) = (smtd("list", "new.sqlite", "--json").json["projects"],)
    assert [one["timestamp"] for one in project["records"]] == ["2012-07-01T10:00:00+00:00"]


@pytest.mark.parametrize("name", ["c053_py27", "django074.sqlite"])
def test_old_store_is_refused_as_a_target(name: str, smtd: Smtd) -> None:
    """Nothing is written to it; the message says what to do, and the exit code is 4."""
    copy_store(CORPUS / name, smtd.directory / name)
    copy_store(CORPUS / "c081_dumb", smtd.directory / "new")
    before = contents(smtd.directory)

    answer = smtd("sync", "new", name, "--mode", "left-to-right")

    assert answer.code == 4
    assert "cannot be written: it" in answer.err
    assert "sync it into a new store" in answer.err
    assert contents(smtd.directory) == before
