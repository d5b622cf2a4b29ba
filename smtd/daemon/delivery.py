"""The error for a notification that could not be delivered."""

from __future__ import annotations


class Undelivered(Exception):
    """A notification could not be delivered; the text says why, and holds no secret.

    *again*: a retry may succeed, but not before *after* seconds (None: unknown).
    """

    def __init__(self, message: str, *, again: bool = False, after: float | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.after = after
