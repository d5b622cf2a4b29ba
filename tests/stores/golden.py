"""What the old stores of the corpus say: looked up once without smtd, by SQL and by an unpickler of no class.

That is beside each of them as JSON: the fields of each record by label, with times in UTC as seen from Paris,
and of parameters their type and their values.
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
    """Return what the records of the store *name* say, by label."""
    found: dict[str, Any] = json.loads((CORPUS / f"{name}.json").read_text("utf-8"))
    return found


def said(records: Mapping[Key, Record]) -> dict[str, Any]:
    """Return what *records* say, by label."""
    return {of.label: _said(one) for of, one in records.items()}


def _said(one: Record) -> Any:
    values = repr(content.read(one.parameters))
    fields = {name: getattr(one, name) for name in FIELDS}
    fields |= {"tags": sorted(one.tags), "parameters": [one.parameters.type, values]}
    return json.loads(msgspec.json.encode(fields))
