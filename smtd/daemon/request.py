"""What somebody waits for: a cycle of a pair, a plan of one, or other work on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import anyio

from smtd.engine.choose import Wish
from smtd.engine.findings import ProofReport
from smtd.engine.pair import Pair
from smtd.errors import SmtdError, StoreUnreachable
from smtd.records.record import Key

#: Something to do with a pair while no cycle runs; its result is what JSON can say.
Work: TypeAlias = Callable[[Pair], Awaitable[Any]]


@dataclass(eq=False)
class Request:
    """Somebody waits for a cycle, with *dry_run* for what it would do, or for *work* on the pair.

    With *only* the cycle is run if it does what the plan of that identity says. *wish* is written down
    before it. *doubtful* keys are looked at in any case. *insist*: a person asks, so what was refused is
    offered again, and what a proof has found is looked at. *outcome* is the report, the result of the work,
    or an error, once *done* is set.
    """

    include_unfinished: bool = False
    dry_run: bool = False
    only: str | None = None
    wish: Wish | None = None
    work: Work | None = None
    doubtful: frozenset[Key] = frozenset()
    insist: bool = True
    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: Any = None

    def answer(self, outcome: Any) -> None:
        """Tell how it went."""
        self.outcome = outcome
        self.done.set()

    def give_up(self) -> None:
        """Tell that it will not be done, if it has not been answered."""
        if not self.done.is_set():
            self.answer(StoreUnreachable("the pair was stopped before its cycle ended; ask again"))

    @property
    def error(self) -> SmtdError | None:
        """What went wrong, if so."""
        return self.outcome if isinstance(self.outcome, SmtdError) else None


@dataclass(eq=False)
class ProofRequest:
    """Somebody waits for a proof, until they leave *scope*; *outcome* is its report, or its error."""

    deep: bool = False
    done: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    outcome: ProofReport | SmtdError | None = None

    def answer(self, outcome: ProofReport | SmtdError) -> None:
        """Tell what was found."""
        self.outcome = outcome
        self.done.set()

    def give_up(self) -> None:
        """Tell that it will not be done, if it has not been answered."""
        if self.outcome is None:
            self.answer(StoreUnreachable("the pair was stopped before its proof ended; ask again"))
