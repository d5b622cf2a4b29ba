"""What `smtd check` prints: a line for each store, pair and the server, or one JSON object. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from smtd.cli.check_pairs import PairFinding
from smtd.cli.check_stores import StoreFinding
from smtd.cli.status_table import ARROWS
from smtd.errors import SmtdError
from smtd.output.counts import plural

#: The symbols for what is right and wrong, and the same in ASCII.
_SYMBOLS, _ASCII = {True: "\u2713", False: "\u2717"}, {True: "ok", False: "NO"}


@dataclass(slots=True)
class PartFinding:
    """What was found about smtd's own server or the state directory; *notes* are shown if all is right."""

    name: str
    notes: list[str] = field(default_factory=list)
    errors: list[SmtdError] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """All that was found."""

    configuration: str
    stores: Sequence[StoreFinding]
    pairs: Sequence[PairFinding]
    state: PartFinding
    server: PartFinding | None = None

    @property
    def errors(self) -> list[SmtdError]:
        """Everything that is wrong."""
        parts = [self.state] if self.server is None else [self.state, self.server]
        errors = [error for store in self.stores for error in store.errors]
        errors += [error for pair in self.pairs for error in pair.errors]
        return errors + [error for part in parts for error in part.errors]


def lines(report: Report, *, is_unicode: bool) -> Iterator[str]:
    """Yield the lines for a person; without *is_unicode* their symbols are ASCII."""
    symbols = _SYMBOLS if is_unicode else _ASCII
    for store in report.stores:
        yield from _with_symbol(symbols, store.name, _store_notes(store), store.errors, store.warnings)
    for part in (report.server, report.state):
        if part is not None:
            yield from _with_symbol(symbols, part.name, part.notes, part.errors)
    for pair in report.pairs:
        arrow = ARROWS[pair.settings.policy.mode.value]
        sides = f"{pair.settings.words.left} {arrow} {pair.settings.words.right}"
        scope = "all projects" if pair.projects is None else ", ".join(sorted(pair.projects))
        yield from _with_symbol(
            symbols, f"pair {pair.name}", [f"{sides}  {scope}"], pair.errors, pair.warnings
        )
    yield _summary(report)


def _store_notes(store: StoreFinding) -> list[str]:
    return [f"{store.location}  {'; '.join(store.notes)}"] if store.notes else []


def _with_symbol(
    symbols: dict[bool, str],
    name: str,
    notes: Sequence[str],
    errors: Sequence[SmtdError],
    warnings: Sequence[str] = (),
) -> Iterator[str]:
    width = len(symbols[True])
    if notes or not errors:
        symbol = "" if errors else symbols[True]
        yield f"{symbol:<{width}} {name:<12} {'; '.join(notes)}".rstrip()
    for error in errors:
        yield f"{symbols[False]} {name:<12} {error}"
    for warning in warnings:
        yield f"{'!':<{width}} {name:<12} {warning}"


def _summary(report: Report) -> str:
    counts = f"{plural(len(report.stores), 'store')}, {plural(len(report.pairs), 'pair')}"
    counts += "" if report.server is None else ", 1 server"
    if errors := report.errors:
        return f"{counts}: {plural(len(errors), 'problem')}"
    if not report.pairs and report.server is None:
        return f"{counts}: nothing is synced yet; smtd mirror TARGET, in a project, adds a pair"
    return f"{counts}: all is well"


def as_json(report: Report) -> dict[str, Any]:
    """Return all that was found as plain values."""
    return {
        "ok": not report.errors,
        "configuration": report.configuration,
        "stores": [_store_json(each) for each in report.stores],
        "pairs": [_pair_json(each) for each in report.pairs],
        "server": None if report.server is None else _part_json(report.server),
        "state": _part_json(report.state),
    }


def _store_json(store: StoreFinding) -> dict[str, Any]:
    return {
        "store": store.name,
        "location": None if store.location is None else str(store.location),
        "ok": not store.errors,
        "projects": sorted(store.projects),
        "records": store.records,
        "writable": False if store.read_only else store.is_writable,
        "notes": store.notes,
        "warnings": store.warnings,
        "problems": [str(error) for error in store.errors],
    }


def _pair_json(pair: PairFinding) -> dict[str, Any]:
    return {
        "pair": pair.name,
        "left": pair.settings.words.left,
        "right": pair.settings.words.right,
        "mode": pair.settings.policy.mode.value,
        "ok": not pair.errors,
        "projects": None if pair.projects is None else sorted(pair.projects),
        "warnings": pair.warnings,
        "problems": [str(error) for error in pair.errors],
    }


def _part_json(part: PartFinding) -> dict[str, Any]:
    return {"ok": not part.errors, "notes": part.notes, "problems": [str(error) for error in part.errors]}
