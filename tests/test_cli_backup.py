"""`smtd backup`: a copy of a served store, which can be restored."""

from __future__ import annotations

import json
import shutil
import signal
import stat
from pathlib import Path

import pytest

from tests.command import Smtd
from tests.server.process import server_process
from tests.server.test_serve_command import LISTED, ask, put


def test_copy_of_a_served_store_has_all_acknowledged_writes(tmp_path: Path) -> None:
    """In one private file, which can be served in place of the store."""
    with server_process(tmp_path) as server:
        ask(server, "PUT", LISTED, b"{}")
        assert put(server, "early") == 201
        copied = server.smtd("-c", server.config, "backup", tmp_path / "copy.sqlite")
        assert put(server, "late") == 201
        cursor = json.loads(ask(server, "GET", "/api/v1/changes?since=0")[1])["next"]
        server.signal(signal.SIGTERM)
        assert server.ended() == 0

        assert (copied.code, copied.err) == (0, "")
        assert copied.out.startswith(f"{tmp_path}/copy.sqlite  ")
        assert stat.filemode((tmp_path / "copy.sqlite").stat().st_mode) == "-rw-------"
        assert [path.name for path in tmp_path.glob("copy*")] == ["copy.sqlite"]
        shutil.rmtree(server.store.parent)
        server.store.parent.mkdir(mode=0o700)
        shutil.copy(tmp_path / "copy.sqlite", server.store)
        server.start()

        assert ask(server, "GET", f"{LISTED}early/")[0] == 200  # ada still owns the project
        assert ask(server, "GET", f"{LISTED}late/")[0] == 404
        assert ask(server, "GET", f"/api/v1/changes?since={cursor}")[0] == 410
        assert put(server, "after") == 201


def test_any_sqlite_store_can_be_copied(smtd: Smtd, tmp_path: Path, rich_sqlite: Path) -> None:
    """By its path, whether it is served or not."""
    answer = smtd("backup", tmp_path / "copy.sqlite", "--store", rich_sqlite)

    assert answer.code == 0, answer.err
    assert smtd("list", tmp_path / "copy.sqlite").out == smtd("list", rich_sqlite).out


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("there", "already exists; name a new file"),
        ("no/copy", "cannot be created: No such file or directory"),
    ],
)
def test_failed_copy_is_an_error(
    smtd: Smtd, tmp_path: Path, rich_sqlite: Path, file: str, sentence: str
) -> None:
    """And existing files stay."""
    (tmp_path / "there").write_text("mine", "utf-8")

    answer = smtd("backup", tmp_path / file, "--store", rich_sqlite)

    assert answer.code == 2
    assert sentence in answer.err
    assert (tmp_path / "there").read_text("utf-8") == "mine"


def test_store_that_cannot_be_copied_is_an_error(smtd: Smtd, tmp_path: Path, rich_shelf: Path) -> None:
    """A shelf, no store at all, a server without a store: and no file is left."""
    missing = smtd("backup", tmp_path / "copy.sqlite")
    shelf = smtd("backup", tmp_path / "copy.sqlite", "--store", rich_shelf)

    assert (missing.code, shelf.code) == (2, 2)
    assert "the server has no store yet" in missing.err
    assert "it is no SQLite file" in shelf.err
    assert not (tmp_path / "copy.sqlite").exists()
