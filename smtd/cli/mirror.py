"""`smtd mirror`: from a project to its mirror in one command; `smtd unmirror` takes that back."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click
from yarl import URL

from smtd import pairing, private, regular
from smtd.cli import passwords, service, show, user_daemon
from smtd.cli.config_edit import ConfigFile, Keys
from smtd.cli.login import LoggedIn, log_in
from smtd.cli.say import complain, say, say_json
from smtd.cli.state import configuration, configuration_file, required_file, state_directory, usual_files
from smtd.cli.stores import located, same_place
from smtd.config import Config, StoreConfig, load
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport, Progress
from smtd.errors import StoreElsewhere, UsageError
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.output import shapes
from smtd.output.counts import plural
from smtd.spelling import did_you_mean
from smtd.stores.discovery import current_project
from smtd.stores.location import Location


@dataclass(frozen=True, slots=True)
class MirrorRequest:
    """The arguments of the command line."""

    target: str
    config: Path | None = None
    name: str | None = None
    user: str | None = None
    password_file: Path | None = None
    yes: bool = False
    no_input: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Setup:
    """What the configuration gets: new *stores*, and the pair *name* of the two stores *sides*.

    *secret*: the file for the password that a person typed, and the password.
    """

    name: str
    sides: Both[str]
    locations: Both[Location]
    stores: Mapping[str, Keys]
    secret: tuple[Path, str] | None


def run(request: MirrorRequest) -> int:
    """Set the mirror up, wait for its first sync, and return the exit code. Raises SmtdError."""
    file = ConfigFile(configuration_file(request.config) or usual_files()[0])
    directory = current_project(Path.cwd())
    project = located(str(directory), file.config, None)
    found = _existing(file.config, directory, request.target)
    if found is None:
        setup = _prepared(request, file, directory, project)
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
    file.remove(name, sorted(unused))
    if user_daemon.is_running():
        user_daemon.request("reload")
    say(
        f"pair {name} is no longer synced; both stores stay as they are, and so does the history"
        f" (smtd forget {name} removes that)"
    )
    return 0


def _existing(config: Config, directory: Path, target: str) -> str | None:
    """Return the pair of *config* that mirrors the project in *directory* to *target*, if there is one."""
    for name, pair in config.pairs.items():
        for mine, other in ((pair.left, pair.right), (pair.right, pair.left)):
            is_mine = _is_project(config.stores[mine].location, directory)
            if is_mine and (target == other or _is_at(config.stores[other].location, target)):
                return name
    return None


def _is_at(place: str, target: str) -> bool:
    """Say whether the store at *place* is that which a person calls *target*, with a user or without."""
    if "://" in place and "://" in target:
        one, other = (str(URL(each).with_user(None)).rstrip("/") for each in (place, target))
        return one.removesuffix("/records") == other.removesuffix("/records")
    return same_place(place, target)


def _pair_of(config: Config, directory: Path) -> str:
    found = [
        name
        for name, pair in config.pairs.items()
        if any(_is_project(config.stores[side].location, directory) for side in (pair.left, pair.right))
    ]
    if len(found) != 1:
        what = f"{directory} is in {len(found)} pairs" if found else f"{directory} is in no pair"
        raise UsageError(f"{what}; name one: smtd unmirror PAIR")
    return found[0]


def _is_project(place: str, directory: Path) -> bool:
    return same_place(place, str(directory))


def _prepared(request: MirrorRequest, file: ConfigFile, directory: Path, project: Location) -> Setup:
    """Find and log in to the target. Raises SmtdError."""
    try:
        return _prepared_for(request.target, request, file, directory, project)
    except StoreElsewhere as exc:  # a person types the address of the server, not that of its records
        return _prepared_for(_with_login(exc.address, request.target), request, file, directory, project)


def _with_login(address: str, target: str) -> str:
    """Return *address* with the user and the password that *target*, an address on the same server, has."""
    if "://" not in target:
        return address
    typed = URL(target)
    return str(URL(address).with_user(typed.user).with_password(typed.password))


def _prepared_for(
    place: str, request: MirrorRequest, file: ConfigFile, directory: Path, project: Location
) -> Setup:
    config = file.config
    target = located(place, config, None, may_be_new=True)
    if str(project) == str(target) or project.shares_file(target):
        raise UsageError(f"{target} is the store of this project itself; name another one")
    given = None
    if request.password_file is not None:
        asked = StoreConfig(place, password_file=str(request.password_file))
        given = passwords.password(_nickname(target), asked)
    logged_in = LoggedIn(target, (), None)
    if target.driver.server is not None:
        logged_in = log_in(target, request.user, given, may_ask=not request.no_input)
    taken = set(config.stores)
    stores: dict[str, Keys] = {}
    left = next(
        (name for name, store in config.stores.items() if _is_project(store.location, directory)), None
    )
    if left is None:
        left = file.free_name(directory.name, taken)
        stores[left] = {"location": str(directory)}
    right, secret = place, None
    if right not in config.stores:
        right = file.free_name(_nickname(target), taken | {left})
        secret = _secret(request, file, right, logged_in)
        password_file = request.password_file or (None if secret is None else secret[0])
        stores[right] = _store_keys(place, logged_in, password_file)
    name = request.name or file.free_name(project.project or directory.name, set(config.pairs))
    if name in config.pairs:
        raise UsageError(f"there is a pair {name!r} already; choose another name with --name")
    return Setup(name, Both(left, right), Both(project, logged_in.location), stores, secret)


def _nickname(target: Location) -> str:
    """Return a name for the store *target*: its host, or the name of its file."""
    if target.driver.server is None:
        return target.path.stem
    host = URL(target.url).host or ""
    is_number = re.fullmatch(r"[0-9.]*|.*:.*", host)
    return "server" if is_number else host.partition(".")[0]


def _secret(request: MirrorRequest, file: ConfigFile, name: str, found: LoggedIn) -> tuple[Path, str] | None:
    password = found.password or _typed_password(request.target)
    if password is None or request.password_file is not None:
        return None
    return _free_file(file.path.absolute().parent, name, password), password


def _free_file(directory: Path, name: str, password: str) -> Path:
    """Return the path of a file for *password* that is not there yet, or holds it: others may need theirs."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    files = (directory / f"{each}.password" for each in names)
    return next(each for each in files if not each.exists() or _holds(each, password))


def _holds(file: Path, password: str) -> bool:
    try:
        return regular.read(file, regular.SMALL) == f"{password}\n".encode()
    except OSError:
        return False


def _typed_password(target: str) -> str | None:
    return URL(target).password if "://" in target else None


def _store_keys(target: str, found: LoggedIn, password_file: Path | None) -> Keys:
    """Return what the configuration gets of a store; an address never has a password there."""
    if "://" not in target:
        return {"location": str(Path(target).expanduser().absolute())}
    keys = {"location": str(URL(target).with_user(None))}
    if found.location.access.username is not None:
        keys["username"] = found.location.access.username
    if password_file is not None:
        keys["password_file"] = str(password_file.absolute())
    return keys


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
    file.add(setup.stores, setup.name, {"left": setup.sides.left, "right": setup.sides.right})


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


def _by_daemon(name: str, progress: Progress) -> dict[str, Any]:
    answer = user_daemon.request("sync now", progress, pairs=[name], progress=True)
    if answer["errors"]:
        raise UsageError(f"pair {name}: {answer['errors'][0]['error']}")
    report: dict[str, Any] = answer["pairs"][0]
    return report


def _say_result(report: Mapping[str, Any], name: str) -> None:
    say(f"{plural(report['in_sync'], 'record')} in sync")
    for kind, verb in (("conflicts", "conflicts"), ("held", "holds")):
        if report[kind]:
            say(f"{plural(len(report[kind]), 'record')} wait for you: smtd {verb} {name}")
    for each in report["failed"][: show.MOST]:
        say(f"failed: {each['project']}/{each['label']}: {each['error']}")
