"""The records of each project, newest first, kept in memory as clients request them before each save."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Sequence

from smtd.server import targets
from smtd.server.change_log import LogRow
from smtd.server.database import ServedDatabase

#: The most labels kept for all projects together. A listing beyond that replaces all others, which are read
#: again when a client requests them.
MOST_LABELS = 500_000


class Listing:
    """The labels of one project with the times of their runs, and the number of its last change."""

    def __init__(self, found: Sequence[tuple[str, str]], seq: int) -> None:
        self.seq = seq
        self._moments = {label: moment for moment, label in found}
        self._order = sorted((moment, label) for label, moment in self._moments.items())
        #: The last part of each record's address, in the same order. Quoting ten thousand labels for each
        #: request would take as long as a whole save may.
        self._paths = [targets.path_of_label(label) for _, label in self._order]

    def __len__(self) -> int:
        return len(self._order)

    def paths(self, labels: Container[str] | None = None) -> list[str]:
        """Return the last parts of the addresses of the records with *labels* (None: all), newest first."""
        if labels is None:
            return self._paths[::-1]
        pairs = zip(reversed(self._order), reversed(self._paths), strict=True)
        return [path for (_, label), path in pairs if label in labels]

    @property
    def newest(self) -> str | None:
        """The label of the newest record, if there is any."""
        return self._order[-1][1] if self._order else None

    def change(self, row: LogRow) -> None:
        """Apply one more change."""
        if row.seq <= self.seq:
            return  # it was read with this change
        label, moment = row.key.label, row.content.moment
        before = self._moments.get(label)
        self.seq = row.seq
        if before is not None and (before != moment or not row.content.has_record):
            index = bisect_left(self._order, (before, label))
            del self._order[index], self._paths[index], self._moments[label]
        if row.content.has_record and label not in self._moments:
            self._moments[label] = moment
            index = bisect_left(self._order, (moment, label))
            self._order.insert(index, (moment, label))
            self._paths.insert(index, targets.path_of_label(label))


class Listings:
    """The listings of those projects of *database* that were requested; pass each change to `changed`."""

    def __init__(self, database: ServedDatabase) -> None:
        self._database = database
        self._listings: dict[str, Listing] = {}
        #: The changes that were committed while listings are being read: these may include them or not.
        self._changes_while_reading: list[LogRow] = []
        self._reading = 0
        #: How often all listings were forgotten.
        self._forgotten = 0

    async def of(self, project: str) -> Listing:
        """Return the current listing of *project*."""
        if (known := self._listings.get(project)) is not None:
            return known
        self._reading += 1
        forgotten = self._forgotten
        try:
            listing = Listing(*await self._database.listing(project))
            for row in self._changes_while_reading:
                if row.key.project == project:
                    listing.change(row)
        finally:
            self._reading -= 1
            if not self._reading:
                self._changes_while_reading.clear()
        if sum(map(len, self._listings.values())) + len(listing) > MOST_LABELS:
            self._listings.clear()
        if forgotten == self._forgotten:
            self._listings[project] = listing
        return listing

    def forget(self) -> None:
        """Forget all listings: changes were missed."""
        self._listings.clear()
        self._forgotten += 1

    def changed(self, rows: Sequence[LogRow]) -> None:
        """Apply committed changes, which are in order."""
        if self._reading:
            self._changes_while_reading += rows
        for row in rows:
            if (listing := self._listings.get(row.key.project)) is not None:
                listing.change(row)
