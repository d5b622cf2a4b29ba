"""All operations of all clients on a few records, by the monotonic clock of this machine. No I/O."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from campaigns.registers.linearizability import violation
from campaigns.registers.operation import Effect, Operation, Value, one_of
from smtd.records.record import Record
from tests.build import record
from tests.server.bulk import digest

#: Operations before a violation that are shown.
SHOWN = 12


@dataclass(eq=False)
class Attempt:
    """An operation of *client* on *label*; while it has no answer, *effect* is what it may do."""

    label: str
    client: str
    what: str
    effect: Effect
    called: float
    returned: float = math.inf

    def answered(self, effect: Effect, answer: str) -> None:
        """Note the answer, which says what the operation did; *answer* is for people."""
        self.effect, self.returned = effect, time.monotonic()
        self.what = f"{self.what}: {answer}"

    @property
    def operation(self) -> Operation:
        return Operation(self.client, self.what, self.effect, self.called, self.returned)


@dataclass
class History:
    """The history of *labels* since they were read while no client was at work, with what they held then.

    The value of a record is its outcome: a word that is written once.
    """

    labels: list[str]
    initial: dict[str, Value] = field(default_factory=dict)
    attempts: defaultdict[str, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    _digests: dict[str, str] = field(default_factory=dict)
    _words: dict[str, str] = field(default_factory=dict)

    def new(self, label: str) -> tuple[str, Record]:
        """Return a new word, and the record *label* with it."""
        word = f"word{len(self._digests)}x"
        made = record(label, outcome=word)
        self._digests[word] = digest(made)
        self._words[self._digests[word]] = word
        return word, made

    def digest(self, value: Value) -> str | None:
        """Return the digest of the record that holds *value*, or None if there is no record."""
        return None if value is None else self._digests[value]

    def value(self, digest: str | None) -> Value:
        """Return what the record with *digest* holds; the digest itself if no client has written it."""
        return None if digest is None else self._words.get(digest, digest)

    def begin(self, client: str, label: str, what: str, effect: Effect) -> Attempt:
        """Note that *client* calls an operation, which has *effect* if it is done without an answer."""
        attempt = Attempt(label, client, what, effect, time.monotonic())
        self.attempts[label].append(attempt)
        return attempt

    def withdraw(self, attempts: Iterable[Attempt]) -> None:
        """Forget *attempts*, which never left the client."""
        for each in attempts:
            self.attempts[each.label].remove(each)

    def saw(self, client: str, label: str, what: str, value: Value, called: float) -> None:
        """Note that *client* has just learned *value*, which the record held at some time since *called*."""
        effect = Effect(one_of(value))
        attempt = Attempt(label, client, what, effect, called)
        attempt.answered(effect, str(value))
        self.attempts[label].append(attempt)

    def violations(self) -> list[str]:
        """Return for each label whose history is not linearizable where it is not."""
        found = []
        for label in self.labels:
            history = [each.operation for each in self.attempts[label]]
            stuck = violation(history, self.initial[label])
            if stuck is not None:
                until = max(each.returned for each in stuck.next)
                before = [each for each in history if each.called <= until and each not in stuck.next]
                before.sort(key=lambda each: min(each.returned, until))
                shown = "; ".join(map(str, before[-SHOWN:]))
                found.append(f"{label} is not linearizable: {stuck}. Before that: {shown}")
        return found

    def restart(self, values: dict[str, Value]) -> None:
        """Forget all operations: from now on the records hold *values*."""
        self.initial = dict(values)
        self.attempts.clear()
