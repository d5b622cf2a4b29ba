"""What a commit was, and who learns of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from smtd.records.record import Key, Record
from smtd.server.change_log import LogRow


class Committed(NamedTuple):
    """The outcome of a transaction: the result or the error of each job, and the logged changes, in order.

    *records* has the records that were written, as they are after the transaction.
    """

    results: Sequence[Any]
    changes: Sequence[LogRow]
    records: Mapping[Key, Record]


class Listeners:
    """Learns of commits, in their order. Methods must not wait."""

    def committed(self, what: Committed) -> None:
        """Learn of the next transaction of this process, or of changes of others."""

    def fell_behind(self) -> None:
        """Learn that many changes were not reported."""

    def access_changed(self) -> None:
        """Learn that projects or rights have changed."""

    def want_records(self) -> bool:
        """Say whether `committed` should have the records that other processes wrote."""
        return False
