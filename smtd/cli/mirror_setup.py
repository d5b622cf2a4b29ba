"""What `smtd mirror` adds to the configuration: the stores, the file of the password, and the pair."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from smtd import regular
from smtd.cli import passwords
from smtd.cli.config_edit import ConfigFile, Keys
from smtd.cli.login import LoggedIn, log_in
from smtd.cli.stores import located, same_place
from smtd.config import Config, StoreConfig
from smtd.errors import StoreElsewhere, UsageError
from smtd.merge.sides import Both
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


def existing_pair(config: Config, directory: Path, target: str) -> str | None:
    """Return the pair of *config* that mirrors the project in *directory* to *target*, if there is one."""
    for name, pair in config.pairs.items():
        for mine, other in ((pair.left, pair.right), (pair.right, pair.left)):
            is_mine = is_project(config.stores[mine].location, directory)
            if is_mine and (target == other or _is_at(config.stores[other].location, target)):
                return name
    return None


def _is_at(place: str, target: str) -> bool:
    """Say whether the store at *place* is that which a person calls *target*, with a user or without."""
    if "://" in place and "://" in target:
        one, other = (str(URL(each).with_user(None)).rstrip("/") for each in (place, target))
        return one.removesuffix("/records") == other.removesuffix("/records")
    return same_place(place, target)


def is_project(place: str, directory: Path) -> bool:
    return same_place(place, str(directory))


@dataclass(frozen=True, slots=True)
class _Target:
    """The store to mirror to, at *place*: its name if it is *configured*, and the login there."""

    place: str
    configured: str | None
    login: LoggedIn


def prepare(request: MirrorRequest, file: ConfigFile, directory: Path, project: Location) -> Setup:
    """Find the target and log in to it. Raises SmtdError."""
    try:
        target = _target(request.target, request, file.config, project)
    except StoreElsewhere as exc:  # a person types the address of the server, not that of its records
        place = _with_login(exc.address, request.target)
        target = _target(place, request, file.config, project)
    return _setup(target, request, file, directory, project)


def _with_login(address: str, target: str) -> str:
    """Return *address* with the user and the password that *target*, an address on the same server, has."""
    if "://" not in target:
        return address
    typed = URL(target)
    return str(URL(address).with_user(typed.user).with_password(typed.password))


def _target(place: str, request: MirrorRequest, config: Config, project: Location) -> _Target:
    known = [name for name, store in config.stores.items() if name == place or _is_at(store.location, place)]
    configured = next((name for name in known if _has_login(name, config.stores[name], request)), None)
    if configured is None and place in known:
        raise UsageError(
            f"the store {place} of the configuration has another login; name its address with --user"
        )
    # A login of the configuration is not tried for another user.
    config = config if configured is not None or not known else Config()
    location = located(configured or place, config, None, may_be_new=True)
    if str(project) == str(location) or project.shares_file(location):
        raise UsageError(f"{location} is the store of this project itself; name another one")
    return _Target(place, configured, _logged_in(location, configured, request))


def _has_login(name: str, store: StoreConfig, request: MirrorRequest) -> bool:
    """Say whether the configured *store* has the user and the password that *request* gives, if it does."""
    typed = URL(request.target) if "://" in request.target else URL()
    user, password = request.user or typed.user, typed.password
    try:
        if request.password_file is not None:
            password = _from_file(name, request.password_file)
        return user in (None, store.username) and password in (None, passwords.secret(name, store))
    except UsageError:  # the password of the store cannot be read; it is another one
        return password is None


def _logged_in(location: Location, configured: str | None, request: MirrorRequest) -> LoggedIn:
    if location.driver.server is None:
        return LoggedIn(location, (), None)
    if configured is not None:
        step = f"correct the login of the store {configured} in the configuration"
        return log_in(location, None, None, step, may_ask=False)
    given = None
    if request.password_file is not None:
        given = _from_file(_nickname(location), request.password_file)
    step = "give the user with --user, and the password in a file with --password-file"
    return log_in(location, request.user, given, step, may_ask=not request.no_input)


def _from_file(name: str, file: Path) -> str | None:
    return passwords.password(name, StoreConfig("", password_file=str(file)))


def _setup(
    target: _Target, request: MirrorRequest, file: ConfigFile, directory: Path, project: Location
) -> Setup:
    config, login = file.config, target.login
    taken = set(config.stores)
    stores: dict[str, Keys] = {}
    left = next(
        (name for name, store in config.stores.items() if is_project(store.location, directory)), None
    )
    if left is None:
        left = file.free_name(directory.name, taken)
        stores[left] = {"location": str(directory)}
    right, secret = target.configured, None
    if right is None:
        right = file.free_name(_nickname(login.location), taken | {left})
        secret = _secret(request, file, right, login)
        password_file = request.password_file or (None if secret is None else secret[0])
        stores[right] = _store_keys(target.place, login, password_file)
    name = request.name or file.free_name(project.project or directory.name, set(config.pairs))
    if name in config.pairs:
        raise UsageError(f"there is a pair {name!r} already; choose another name with --name")
    return Setup(name, Both(left, right), Both(project, login.location), stores, secret)


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
        keys["password_file"] = os.path.realpath(password_file)
    return keys
