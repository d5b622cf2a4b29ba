"""The contents of the old stores of the corpus, read once without smtd, by SQL and by an inert unpickler.

They are in the JSON file beside each store: the fields of each record by label, with times in UTC as seen
from Paris, and of parameters their type and values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from smtd.records.parameters import content
from smtd.records.record import FIELDS, Key, Record
from tests.stores.places import CORPUS


def expected(name: str) -> dict[str, Any]:
    """Return the expected contents of the records of the store *name*, by label."""
    found: dict[str, Any] = json.loads((CORPUS / f"{name}.json").read_text("utf-8"))
    return found


def said(records: Mapping[Key, Record]) -> dict[str, Any]:
    """Return the contents of *records*, by label."""
    return {of.label: _said(one) for of, one in records.items()}


def _said(one: Record) -> Any:
    values = repr(content.read(one.parameters))
    fields = {name: getattr(one, name) for name in FIELDS}
    fields |= {"tags": sorted(one.tags), "parameters": [one.parameters.type, values]}
    return json.loads(msgspec.json.encode(fields))
