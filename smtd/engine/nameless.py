"""Report a record that has lost its name as one failure, not as the deletion of the key that it had."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from smtd.records.record import Key
from smtd.stores.base import Scan


class Hidden(str):
    """Stands for the reason why a record is unreadable: it may be one that has lost its name."""


def kept(scan: Scan, agreed: Collection[Key]) -> Scan:
    """Return *scan*, in which each missing *agreed* key that a nameless record may have had is unreadable."""
    if not (projects := scan.nameless):
        return scan
    there = scan.digests.keys() | scan.unreadable.keys()
    hidden = {key: Hidden() for key in agreed if key.project in projects and key not in there}
    return replace(scan, unreadable={**scan.unreadable, **hidden})
