# mypy: disable-error-code="import-not-found,import-untyped"
"""Code that the scripts share: opening a store with a given class of Sumatra."""

from __future__ import annotations

import argparse
import dbm
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

KINDS = ("shelf", "django")


def add_kind(parser: argparse.ArgumentParser) -> None:
    """Add `--shelf` and `--django` to the command line, one of which is required."""
    kinds = parser.add_mutually_exclusive_group(required=True)
    for kind in KINDS:
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind)


def add_dbm(parser: argparse.ArgumentParser) -> None:
    """Add the dbm with which a shelf is created to the command line; every machine has dumb."""
    parser.add_argument("--dbm", default="dumb", choices=("dumb", "gnu", "ndbm", "sqlite3"))


def open_store(kind: str, path: str, dbm_name: str = "dumb") -> Any:
    """Return Sumatra's store at *path*, created if it is absent: a new shelf with that dbm."""
    if kind == "shelf":
        from sumatra.recordstore.shelve_store import ShelveRecordStore

        _make_new_shelves_with(dbm_name)
        return ShelveRecordStore(path)
    from sumatra.recordstore.django_store import DjangoRecordStore, db_config

    # Otherwise Django keeps every query in memory, and 10,000 records need a quarter of a million.
    db_config.update_settings(DEBUG=False)
    return DjangoRecordStore(path if "://" in path else os.path.abspath(path))


def close_store(store: Any) -> None:
    """Close the files: a dumb or Berkeley shelf is complete only then."""
    if hasattr(store, "shelf"):
        store.shelf.close()


def _make_new_shelves_with(dbm_name: str) -> None:
    # With a default, dbm.open no longer looks for the modules that open what is there.
    for name in dbm._names:  # type: ignore[attr-defined]
        with suppress(ImportError):
            dbm._modules[name] = importlib.import_module(name)  # type: ignore[attr-defined]
    dbm._defaultmod = importlib.import_module(f"dbm.{dbm_name}")  # type: ignore[attr-defined]


@contextmanager
def only_answers() -> Iterator[None]:
    """Send Sumatra's own output to standard error: standard output is for the results."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = answers
