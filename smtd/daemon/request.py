"""What somebody waits for: a cycle of a pair, or a plan of one."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from smtd.engine.report import PairReport
from smtd.errors import SmtdError, StoreUnreachable


@dataclass(eq=False)
class Request:
    """Somebody waits for a cycle, or with *dry_run* for what it would do."""

    include_unfinished: bool = False
    dry_run: bool = False
    _done: anyio.Event = field(default_factory=anyio.Event)
    _outcome: PairReport | SmtdError | None = None

    def answer(self, outcome: PairReport | SmtdError) -> None:
        """Tell how it went."""
        self._outcome = outcome
        self._done.set()

    def give_up(self) -> None:
        """Tell that it will not be done, if it has not been answered."""
        if self._outcome is None:
            self.answer(StoreUnreachable("the pair was stopped before its cycle ended; ask again"))

    async def result(self) -> PairReport:
        """Wait for the report. Raises what the cycle raised."""
        await self._done.wait()
        if isinstance(self._outcome, PairReport):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome
