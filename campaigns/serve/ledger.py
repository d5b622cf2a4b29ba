"""What all clients of a server know together, to check what they find later. No I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from campaigns.campaign import Tally
from smtd.server.changes_api import VIEWS


class Held(NamedTuple):
    """What a label holds: the outcome of its record (None: no record), and the ETag (None: not known)."""

    outcome: str | None = None
    etag: str | None = None


NOTHING = Held()


@dataclass
class Ledger:
    """All requests and their answers; whatever contradicts them is added to *tally*.

    A label has one owner, who sends one request after the other; or it is shared, and each line of its
    outcome is a word that one of several clients appended.
    """

    tally: Tally
    held: dict[str, Held] = field(default_factory=dict)
    #: Outcomes that an owner has asked for, until the answer arrives (None: no record).
    wanted: dict[str, str | None] = field(default_factory=dict)
    #: Words on shared labels: those acknowledged, and those not answered yet.
    words: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unanswered: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: Labels that another program writes to past the server. The feed gives the digest of the current record,
    #: even if the server has not entered that write yet, so one number may come with several digests.
    elsewhere: set[str] = field(default_factory=set)
    #: The label and digest that the feed gave with each number.
    numbers: dict[int, tuple[str, str | None]] = field(default_factory=dict)

    def holds(self, label: str) -> Held:
        """Return what *label* holds, as far as its owner knows."""
        return self.held.get(label, NOTHING)

    def wants(self, label: str, outcome: str | None) -> None:
        """Note that the owner of *label* asks for a record with that *outcome*, or for none (None)."""
        self.wanted[label] = outcome

    def acknowledged(self, label: str, etag: str | None) -> None:
        """Note that the request of the owner of *label* was done; *etag* is None if the owner got none."""
        self.held[label] = Held(self.wanted.pop(label), etag)

    def refused(self, label: str) -> None:
        """Note that the request of the owner of *label* was refused."""
        del self.wanted[label]

    def appends(self, label: str, word: str) -> None:
        """Note that a client sends *word*, to append it to a shared *label*."""
        self.unanswered[label].add(word)

    def appended(self, label: str, word: str, *, done: bool) -> None:
        """Note the answer to such a request: *done*, or refused."""
        self.unanswered[label].remove(word)
        if done:
            self.words[label].add(word)

    def found(self, label: str, now: Held) -> None:
        """Compare what *label* holds *now*, while no client writes, with what was acknowledged."""
        before = self.holds(label)
        was_asked = label in self.wanted
        wanted = self.wanted.pop(label, None)
        if was_asked and now.outcome == wanted:
            self.tally.counts["requests without an answer that were done"] += 1
        elif now.outcome == before.outcome and before.etag in (None, now.etag):
            self.tally.counts["requests without an answer that were not done"] += was_asked
        elif now.outcome == before.outcome:
            self.tally.differences.append(f"{label}: {now.etag}, where {before.etag} was acknowledged")
        else:
            sent = f" and {wanted} was sent" if was_asked else ""
            self.tally.losses.append(f"{label}: {now.outcome}, where {before.outcome} was acknowledged{sent}")
        self.held[label] = now

    def found_shared(self, label: str, now: Held) -> None:
        """Compare the words of a shared *label* with those that were acknowledged; see `found`."""
        there = Counter(now.outcome.split("\n") if now.outcome else ())
        sent = self.unanswered.pop(label, set())
        for word in sorted(self.words[label] - there.keys()):
            self.tally.losses.append(f"{label}: {word} was acknowledged")
        for word in sorted(there.keys() - self.words[label] - sent):
            self.tally.differences.append(f"{label}: {word} was refused, or never sent")
        for word in sorted(word for word, count in there.items() if count > 1):
            self.tally.doubles.append(f"{label}: {word} is there {there[word]} times")
        done = len(sent & there.keys())
        self.tally.counts["requests without an answer that were done"] += done
        self.tally.counts["requests without an answer that were not done"] += len(sent) - done
        self.words[label] = set(there)

    def numbered(self, change: Any) -> None:
        """Note the number of one change in the feed; report a number that two changes have."""
        label = change["label"]
        what = (label, None if label in self.elsewhere else change["digest"])
        before = self.numbers.setdefault(change["seq"] // VIEWS, what)
        if before != what:
            self.tally.doubles.append(f"{change['seq']} was given to {before} and {what}")

    def differs(self, what: str) -> None:
        """Report *what*, a difference that nothing explains."""
        self.tally.differences.append(what)
