"""Project files whose store has the name of a kind of server, or an unusable name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from smtd.errors import SmtdError
from smtd.stores.discovery import find
from tests.build import record
from tests.stores.places import DjangoPlace


def project(tmp_path: Path, **store: Any) -> str:
    home = tmp_path / "laptop" / ".smt"
    home.mkdir(parents=True)
    store = {"type": "sumatra.recordstore.django_store.DjangoRecordStore", **store}
    (home / "project").write_text(json.dumps({"name": "P", "record_store": store}))
    return str(home.parent)


@pytest.mark.parametrize("name", ["mysql", "mariadb", "postgres", "postgresql"])
async def test_file_with_the_name_of_a_kind_of_server_is_a_file(tmp_path: Path, name: str) -> None:
    """Only an address has a scheme."""
    word = project(tmp_path, db_file=name)
    await DjangoPlace(tmp_path / "laptop" / name).put(record("run"))

    found = await to_thread.run_sync(find, word)
    assert found.identity == f"django:{tmp_path / 'laptop' / name}"


def test_other_settings_are_no_account_at_a_database(tmp_path: Path) -> None:
    """Sumatra uses only what is in the address; the identity has always been built like that, too."""
    word = project(tmp_path, db_file="postgresql://h/db", username="bob", password="of the Sumatra Server")

    assert find(word).identity == "postgresql:postgresql://h/db"
    assert find(word).access.password is None


@pytest.mark.parametrize("kind", ["db_file", "shelf_name"])
def test_path_with_a_nul_is_an_error_of_the_project_file(tmp_path: Path, kind: str) -> None:
    types = {"db_file": "x.DjangoRecordStore", "shelf_name": "x.ShelveRecordStore"}
    word = project(tmp_path, **{"type": types[kind], kind: "a\0b"})

    with pytest.raises(SmtdError):
        find(word)
