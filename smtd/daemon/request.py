"""What somebody waits for: a cycle of a pair, or a plan of one."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from smtd.engine.report import PairReport
from smtd.errors import SmtdError, StoreUnreachable


@dataclass(eq=False)
class Request:
    """Somebody waits for a cycle, or with *dry_run* for what it would do.

    *outcome* is its report, or its error, once *done* is set.
    """

    include_unfinished: bool = False
    dry_run: bool = False
    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: PairReport | SmtdError | None = None

    def answer(self, outcome: PairReport | SmtdError) -> None:
        """Tell how it went."""
        self.outcome = outcome
        self.done.set()

    def give_up(self) -> None:
        """Tell that it will not be done, if it has not been answered."""
        if self.outcome is None:
            self.answer(StoreUnreachable("the pair was stopped before its cycle ended; ask again"))
