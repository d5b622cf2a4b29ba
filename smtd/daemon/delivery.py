"""How a notice could not be delivered."""

from __future__ import annotations


class Undelivered(Exception):
    """A notification could not be delivered; the text says why, and holds no secret.

    *again*: it may go well later, *after* so many seconds if they said so.
    """

    def __init__(self, message: str, *, again: bool = False, after: float | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.after = after
