"""A record that has lost its name is one record's failure, and not the deletion of the one that it was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from smtd.records.record import Key
from smtd.stores.base import Scan


class Hidden(str):
    """In place of the reason why a record is unreadable: it may be one that has lost its name."""


def kept(scan: Scan, agreed: Collection[Key]) -> Scan:
    """Return *scan* with each *agreed* key as unreadable that a record without a name may have borne."""
    if not (projects := scan.nameless):
        return scan
    there = scan.digests.keys() | scan.unreadable.keys()
    hidden = {key: Hidden() for key in agreed if key.project in projects and key not in there}
    return replace(scan, unreadable={**scan.unreadable, **hidden})
