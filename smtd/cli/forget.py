"""`smtd forget`: remove what the journal remembers of a pair that is no longer configured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click

from smtd.cli import user_daemon
from smtd.cli.say import complain, say, say_json
from smtd.cli.state import configuration, state_directory
from smtd.cli.stores import located
from smtd.config import Config
from smtd.daemon import added, settings
from smtd.errors import SmtdError, UsageError
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.output import shapes
from smtd.output.counts import plural
from smtd.output.local_time import local_time
from smtd.spelling import did_you_mean

#: What the journal remembers of a pair, as `shapes.remembered`.
Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """The arguments of the command line; *pair* None: list what is remembered."""

    pair: str | None
    config: Path | None = None
    yes: bool = False
    no_input: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class _Memory:
    """What the journal remembers, and how to *forget* the pair of two stores there."""

    pairs: Sequence[Found]
    forget: Callable[[Both[str]], None]


def run(wanted: ForgetRequest) -> int:
    """Show what the journal remembers of the pair, forget it, and return the exit code. Raises SmtdError."""
    config = configuration(wanted.config)
    state = state_directory(None, config).absolute()
    memory = _of_daemon(state) or _of_journal(state)
    configured = _configured(config, state)
    pairs = [{**each, "synced": each["synced"] or _is_synced(each, configured)} for each in memory.pairs]
    if wanted.pair is None:
        return _list(pairs, as_json=wanted.as_json)
    chosen = _chosen(wanted.pair, pairs, configured)
    if not (wanted.as_json and wanted.yes):
        for each in chosen:
            _show(each)
    if not (wanted.yes or _confirmed(wanted)):
        complain("smtd: nothing was forgotten")
        return 1
    for each in chosen:
        memory.forget(Both(*each["stores"]))
    if wanted.as_json:
        say_json({"ok": True, "pair": wanted.pair, "forgotten": chosen})
    else:
        say(f"forgot the pair {wanted.pair}; both stores stay as they are")
    return 0


def _of_daemon(state: Path) -> _Memory | None:
    """Return what a running daemon remembers (None: none runs with this state directory)."""
    answer = user_daemon.request_if_running("remembered", state=str(state))
    if answer is None or answer["pairs"] is None:
        return None

    def forget(stores: Both[str]) -> None:
        user_daemon.request("forget", lambda *_: None, stores=[stores.left, stores.right])

    return _Memory(answer["pairs"], forget)


def _of_journal(state: Path) -> _Memory:
    """Return what the journal in the directory *state* remembers; it is not created."""

    async def read() -> Sequence[Found]:
        async with open_journal(state) as journal:
            return [shapes.remembered(each, synced=False) for each in await journal.remembered()]

    async def forget(stores: Both[str]) -> None:
        async with open_journal(state) as journal:
            await journal.forget(stores)

    found = anyio.run(read) if (state / "journal.sqlite").exists() else []
    return _Memory(found, lambda stores: anyio.run(forget, stores))


def _configured(config: Config, state: Path) -> dict[str, frozenset[str]]:
    """Return the identities of the stores of each configured or added pair, by name; empty: not found.

    Asks for no password, which an identity does not have.
    """
    locate = partial(located, timezone=None, may_be_new=True, passwords=lambda *_: None)
    found: dict[str, frozenset[str]] = {}
    for name, pair in settings.of(config, added.peek(state / added.FILE)).items():
        try:
            left, right = locate(pair.words.left, config), locate(pair.words.right, config)
            found[name] = frozenset({left.identity, replace(right, renames=pair.renames).identity})
        except SmtdError:
            found[name] = frozenset()
    return found


def _is_synced(found: Found, configured: Mapping[str, frozenset[str]]) -> bool:
    """Say whether a configured pair has the stores of *found*, or its name and stores that are not found."""
    return frozenset(found["stores"]) in configured.values() or configured.get(found["pair"]) == frozenset()


def _chosen(name: str, pairs: Sequence[Found], configured: Collection[str]) -> list[Found]:
    """Return what is remembered of the pair *name*, and not synced. Raises UsageError if there is nothing."""
    called = [each for each in pairs if each["pair"] == name]
    chosen = [each for each in called if not each["synced"]]
    if not chosen and (called or name in configured):
        raise UsageError(
            f"pair {name} is still synced; remove it first (smtd unmirror {name}, or smtd pair remove {name})"
        )
    if not chosen:
        hint = did_you_mean(name, {each["pair"] for each in pairs}, "smtd forget lists what it remembers")
        raise UsageError(f"the journal remembers no pair {name!r}{hint}")
    if any(each["unfinished"] for each in chosen):
        raise UsageError(
            f"a crash interrupted writes of the pair {name}, and the journal may have the only copy of a"
            " record: sync the pair once more, so that smtd finishes them"
        )
    return chosen


def _show(found: Found) -> None:
    """Say what goes if the pair is forgotten."""
    complain(f"{found['pair']}: {' <-> '.join(map(_place, found['stores']))}")
    complain(f"  what both stores last agreed on: {plural(found['agreed'], 'record')}")
    if found["history"]:
        when = f"from {local_time(found['since'])} to {local_time(found['until'])}"
        kept = f"{found['bytes']:,} bytes of overwritten and deleted records"
        complain(f"  the history {when}: {plural(found['history'], 'write')}, {kept}")
        complain("  smtd can then undo or restore none of this.")
    complain("  Both stores stay as they are.")


def _confirmed(wanted: ForgetRequest) -> bool:
    if wanted.no_input or not sys.stdin.isatty():
        raise UsageError("nobody can be asked here; look above at what goes, and give --yes")
    return click.confirm("Forget it?", default=False, err=True)


def _list(pairs: Sequence[Found], *, as_json: bool) -> int:
    if as_json:
        say_json({"pairs": pairs})
        return 0
    for each in pairs:
        counts = (
            f"{plural(each['agreed'], 'record')} agreed, {plural(each['history'], 'write')} in the history"
        )
        state = "synced" if each["synced"] else "no longer configured"
        say(f"{each['pair']}: {' <-> '.join(map(_place, each['stores']))}: {counts}; {state}")
    if not pairs:
        complain("smtd: the journal remembers no pair")
    return 0


def _place(identity: str) -> str:
    """Return the store with *identity* as people call it, without its kind."""
    place = identity.partition(":")[2]
    user, has_user, address = place.partition("@")
    if not has_user or "/" in user or "://" not in address:  # a path may have the sign, too
        return place
    return address.replace("://", f"://{user}@", 1)
