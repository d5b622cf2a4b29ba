"""Projects of Sumatra, as far as smtd reads them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.build import PROJECT


def make_project(
    directory: Path, store: Path | str, *, name: str = PROJECT, kind: str = "DjangoRecordStore"
) -> Path:
    """Write the file of the project *name* in *directory*, whose records are at *store*; return its `.smt`.

    *kind* is the class of the store: DjangoRecordStore or ShelveRecordStore.
    """
    home = directory / ".smt"
    home.mkdir(parents=True, exist_ok=True)
    record_store = {"type": f"sumatra.recordstore.{kind}"}
    record_store["db_file" if kind == "DjangoRecordStore" else "shelf_name"] = str(store)
    (home / "project").write_text(json.dumps({"name": name, "record_store": record_store}), "utf-8")
    return home
