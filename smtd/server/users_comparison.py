"""Notice that two servers of one database have different users files."""

from __future__ import annotations

import logging

log = logging.getLogger("smtd")

#: Seconds for which two users files must differ: a change reaches the machines one after the other.
PATIENCE = 10.0


class UsersComparison:
    """Compares the users file of this process with that of another server of the database *name*."""

    def __init__(self, name: str) -> None:
        self._name = name
        #: The two fingerprints that differ, and since when; None: there is no difference.
        self._difference: tuple[str, str] | None = None
        self._since = 0.0
        self._has_warned = False

    def compare(self, own: str, other: str, now: float) -> None:
        """Compare two fingerprints (empty: unknown) at the time *now*; warn once of a lasting difference."""
        difference = (own, other) if own and other and own != other else None
        if difference != self._difference:
            self._difference, self._since, self._has_warned = difference, now, False
        if difference is not None and not self._has_warned and now - self._since >= PATIENCE:
            self._has_warned = True
            log.warning(
                "%s is also served with another users file: users and rights differ from server to server;"
                " copy one users file to all of them",
                self._name,
            )
