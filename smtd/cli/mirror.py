"""`smtd mirror`: from a project to its mirror in one command; `smtd unmirror` takes that back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click

from smtd import pairing, private
from smtd.cli import service, show, user_daemon
from smtd.cli.config_edit import ConfigFile
from smtd.cli.mirror_setup import MirrorRequest, Setup, existing_pair, is_project, prepare
from smtd.cli.say import complain, say, say_json
from smtd.cli.state import configuration, configuration_file, required_file, state_directory, usual_files
from smtd.cli.stores import located
from smtd.config import Config, load
from smtd.control.client import Result
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport, Progress
from smtd.errors import UsageError
from smtd.journal.journal import open_journal
from smtd.output import shapes
from smtd.output.counts import plural
from smtd.spelling import did_you_mean
from smtd.stores.discovery import current_project
from smtd.text import shown


def run(request: MirrorRequest) -> int:
    """Set the mirror up, wait for its first sync, and return the exit code. Raises SmtdError."""
    file = ConfigFile(configuration_file(request.config) or usual_files()[0])
    directory = current_project(Path.cwd())
    project = located(str(directory), file.config, None)
    found = existing_pair(file.config, directory, request.target)
    if found is None:
        setup = prepare(request, file, directory, project)
        plan = _preview(setup, state_directory(None, file.config), request)
        if not (request.as_json and request.yes):
            _show(setup, plan, file.path)
        if not (request.yes or _confirmed(request)):
            complain("smtd: nothing was changed")
            return 1
        _store(setup, file)
        return _first_sync(request, setup.name, setup)
    return _first_sync(request, found, None)


def remove(chosen: Path | None, pair: str | None) -> int:
    """Remove *pair* (None: that of the current project) from the configuration; its stores stay."""
    path = required_file(chosen)
    load(path)  # says so if it does not exist
    file = ConfigFile(path)
    name = pair or _pair_of(file.config, current_project(Path.cwd()))
    if name not in file.config.pairs:
        known = ", ".join(file.config.pairs) or "none"
        hint = did_you_mean(name, file.config.pairs, f"its pairs: {known}")
        raise UsageError(f"there is no pair {name!r} in {file.path}{hint}")
    removed = file.config.pairs[name]
    served = None if file.config.server is None else file.config.server.store
    others = {
        side for key, each in file.config.pairs.items() if key != name for side in (each.left, each.right)
    }
    unused = {removed.left, removed.right} & file.config.stores.keys() - others - {served}
    secrets = {file.config.stores[each].password_file for each in unused} - {
        store.password_file for key, store in file.config.stores.items() if key not in unused
    }
    file.remove(name, sorted(unused))
    if user_daemon.is_running():
        user_daemon.request("reload")
    say(
        f"pair {name} is no longer synced; both stores stay as they are, and so does the history"
        f" (smtd forget {name} removes that)"
    )
    for secret in filter(None, secrets):
        say(f"{shown(secret)} still has the password; remove it if nothing else uses it")
    return 0


def _pair_of(config: Config, directory: Path) -> str:
    found = [
        name
        for name, pair in config.pairs.items()
        if any(is_project(config.stores[side].location, directory) for side in (pair.left, pair.right))
    ]
    if len(found) != 1:
        what = f"{directory} is in {len(found)} pairs" if found else f"{directory} is in no pair"
        raise UsageError(f"{what}; name one: smtd unmirror PAIR")
    return found[0]


def _preview(setup: Setup, state: Path, request: MirrorRequest) -> PairReport:
    """Return what the first sync would do. Raises SmtdError."""
    with show.progress(quiet=request.as_json) as progress:
        return anyio.run(partial(_cycle, setup, state, progress, dry_run=True))


async def _cycle(setup: Setup, state: Path, progress: Progress, *, dry_run: bool) -> PairReport:
    """Run the first cycle of a new pair, whose settings are the defaults, in this process."""
    project = setup.locations.left.project
    policy = Policy(projects=None if project is None else frozenset({project}))
    async with open_journal(state) as journal, pairing.open_stores(setup.locations) as stores:
        pair = (journal, setup.name, setup.locations, stores, policy)
        if dry_run:
            return await pairing.preview(*pair, progress=progress)
        return await pairing.sync(
            *pair, progress=progress, ended=lambda opened: opened.journal.set_name(setup.name)
        )


def _show(setup: Setup, plan: PairReport, file: Path) -> None:
    """Say what will be synced, and what is written where."""
    project = setup.locations.left.project or "all projects"
    complain(f"{project}: {setup.locations.left}")
    user = setup.locations.right.access.username
    complain(f"   <-> {setup.locations.right}{f' as {user}' if user else ''}")
    here, there = plan.left, plan.right
    parts = [
        _records(there.written, "goes there", "go there"),
        _records(here.written, "comes here", "come here"),
        _records(max(0, plan.in_sync - plan.written), "is the same", "are the same"),
    ]
    complain(f"The first sync: {', '.join(parts)}.")
    if plan.conflicts:
        differ = _records(len(plan.conflicts), "differs and waits", "differ and wait")
        complain(f"{differ} for you: smtd conflicts")
    complain(f"{file} gets the pair {setup.name}, and every later change is synced in both directions.")
    if setup.secret is not None:
        complain(f"{setup.secret[0]} gets the password; only you can read it.")
    if not user_daemon.is_running() and (unit := service.place_for_user()):
        complain(f"The daemon starts as a service of systemd: {unit}.")


def _records(count: int, one: str, many: str) -> str:
    """Return what *count* records do, in the words for one or for many."""
    return f"{plural(count, 'record')} {one if count == 1 else many}"


def _confirmed(request: MirrorRequest) -> bool:
    if request.no_input or not sys.stdin.isatty():
        raise UsageError("nobody can be asked here; look at the plan above, and give --yes")
    return click.confirm("Set it up?", default=True, err=True)


def _store(setup: Setup, file: ConfigFile) -> None:
    if setup.secret is not None:
        path, password = setup.secret
        private.make_directory(path.parent)
        private.replace(path, password.encode() + b"\n")
    keys: dict[str, str | list[str]] = {"left": setup.sides.left, "right": setup.sides.right}
    if (project := setup.locations.left.project) is not None:
        keys["projects"] = [project]  # the server may have many, so the file says which one is mirrored
    file.add(setup.stores, setup.name, keys)


def _first_sync(request: MirrorRequest, name: str, setup: Setup | None) -> int:
    """Have the daemon sync the pair, or this process if there is none and the pair is new (*setup*).

    A pair that was there before may have settings of its own, so only the daemon syncs it.
    """
    has_daemon = (user_daemon.is_running() or service.start_for_user(request.config)) and _has_pair(name)
    report: Mapping[str, Any] | None = None
    with show.progress(quiet=request.as_json) as progress:
        if has_daemon:
            report = _by_daemon(name, progress)
        elif setup is not None:
            state = state_directory(None, configuration(request.config))
            report = shapes.pair(anyio.run(partial(_cycle, setup, state, progress, dry_run=False)))
    is_ok = report is None or bool(report["ok"])
    if request.as_json:
        is_new = setup is not None
        say_json({"ok": is_ok, "pair": name, "new": is_new, "daemon": has_daemon, "sync": report})
        return 0 if is_ok else 1
    say(f"pair {name} {'was set up before' if setup is None else 'is set up'}")
    if report is not None:
        _say_result(report, name)
    if has_daemon:
        say("the daemon syncs every change from now on: smtd status")
    else:
        say("no daemon syncs it yet: start one with smtd run, or as a service: smtd service install")
    return 0 if is_ok else 1


def _has_pair(name: str) -> bool:
    """Have the daemon read its configuration; say whether it then has the pair (smtd serve has none)."""
    user_daemon.request("reload")
    return any(pair["pair"] == name for pair in user_daemon.request("status")["pairs"])


def _by_daemon(name: str, progress: Progress) -> Result:
    return user_daemon.cycle("sync now", progress, pairs=[name], progress=True)


def _say_result(report: Mapping[str, Any], name: str) -> None:
    say(f"{plural(report['in_sync'], 'record')} in sync")
    for kind, verb in (("conflicts", "conflicts"), ("held", "holds")):
        if report[kind]:
            say(f"{plural(len(report[kind]), 'record')} wait for you: smtd {verb} {name}")
    for each in report["failed"][: show.MOST]:
        say(f"failed: {each['project']}/{each['label']}: {each['error']}")
