"""`smtd user`: manage the users of smtd's own server. Never shows a secret, except a new token, once."""

from __future__ import annotations

import functools
import getpass
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from smtd import denied
from smtd.cli import own_server
from smtd.cli.login import with_typed_login
from smtd.cli.say import complain, say, say_json
from smtd.cli.state import configuration
from smtd.config import ServerConfig, seconds
from smtd.errors import UsageError
from smtd.output.local_time import local_time
from smtd.pairing import ALL
from smtd.paths import expanded
from smtd.server.accounts import credentials, users_file
from smtd.server.accounts.rights import Right
from smtd.server.accounts.users_file import Account, StoredToken
from smtd.server.project_rights import ProjectRights
from smtd.spelling import did_you_mean
from smtd.stores.location import Location
from smtd.textfile import decode

#: Returns the store with the rights in single projects, or None if there is none yet; see `store_of`.
Store: TypeAlias = Callable[[], "Path | Location | None"]
#: The longest password, in characters: a longer one may not fit into a header.
LONGEST_PASSWORD = 1000
#: The most bytes of standard input to read for a password.
_LONGEST_LINE = 2**16


def users_path(chosen: Path | None, config: Path | None) -> Path:
    """Return the users file: *chosen*, else the one of the server in the configuration *config*.

    Raises ConfigError if the configuration has mistakes.
    """
    if chosen is not None:
        return expanded(chosen)
    return own_server.users_file(configuration(config).server or ServerConfig(), config)


def store_of(word: str | None, config: Path | None, *, may_ask: bool) -> Store:
    """Return a function that finds the store `own_server.chosen_store` once, when it is first needed.

    It asks for the password of a database if nothing else has it.
    """

    @functools.cache
    def found() -> Path | Location | None:
        store = own_server.chosen_store(word, configuration(config))
        return with_typed_login(store, may_ask=may_ask) if isinstance(store, Location) else store

    return found


def add(
    path: Path,
    store: Store,
    *,
    name: str,
    admin: bool,
    read_all: bool,
    write_all: bool,
    projects: Sequence[str],
    password_stdin: bool,
    may_ask: bool,
) -> int:
    """Add a user, and return the exit code.

    Raises UsageError if the name is invalid or taken, or a right cannot be granted.
    """
    words = [*projects, *([f"{ALL}:read"] if read_all else []), *([f"{ALL}:write"] if write_all else [])]
    rights = sorted(_right(word) for word in words)  # the highest of a project is last, and so applies
    # Check all this before asking for a password.
    _check_new(name, users_file.read(path))
    for project, _ in rights:
        if project != ALL:
            _needed(store).check_project(project)
    everywhere = max((right for project, right in rights if project == ALL), default=Right.NONE)
    stored = credentials.hashed(_password(name, from_stdin=password_stdin, may_ask=may_ask))

    def change(accounts: dict[str, Account]) -> Mapping[str, Account]:
        _check_new(name, accounts)
        return accounts | {name: Account(name, stored, admin=admin, everywhere=_word(everywhere))}

    users_file.edit(path, change)
    for project, right in rights:
        if project != ALL:
            _needed(store).set(project, name, right)
    say(f"added user {name}")
    return 0


def change_password(path: Path, *, name: str, password_stdin: bool) -> int:
    """Change a user's password, and return the exit code. Raises UsageError if there is no such user."""
    _found(name, users_file.read(path))
    stored = credentials.hashed(_password(name, from_stdin=password_stdin))
    _edit_one(path, name, lambda account: msgspec.structs.replace(account, password=stored))
    say(f"changed the password of {name}")
    return 0


def add_token(path: Path, *, name: str, expires: str | None, revoke: bool) -> int:
    """Print a new token of a user, and return the exit code. Raises UsageError if there is no such user."""
    now = int(time.time())
    token = credentials.new_token()
    stored = StoredToken(
        credentials.token_digest(token), now, None if expires is None else now + _duration(expires)
    )

    def change(account: Account) -> Account:
        others = (
            ()
            if revoke
            else [other for other in account.tokens if other.expires is None or other.expires > now]
        )
        return msgspec.structs.replace(account, tokens=(*others, stored))

    _edit_one(path, name, change)
    say(token)
    complain(
        f"smtd: this token of {name} is not shown again; put it into a file that the token_file of a store"
        " names, or use it in place of the password"
    )
    return 0


def list_users(path: Path, store: Store, *, as_json: bool) -> int:
    """Print the users, with their rights in the projects of *store*, and return the exit code."""
    accounts = [account for _, account in sorted(users_file.read(path).items())]
    rights: dict[str, dict[str, str]] = {}
    place = store()
    for project, username, level in ProjectRights(place).all() if place is not None else ():
        rights.setdefault(username, {})[project] = level
    if as_json:
        say_json({"users": [_shape(account, rights.get(account.name, {})) for account in accounts]})
        return 0
    if not accounts:
        complain(f"smtd: there are no users in {path}; add one with smtd user add")
    width = max((len(account.name) for account in accounts), default=0)
    for account in accounts:
        own = [f"{level} in {project}" for project, level in rights.get(account.name, {}).items()]
        say(f"{account.name:<{width}}  {', '.join([_rights(account), *own])}; {_logins(account)}")
    return 0


def remove(path: Path, name: str, store: Store) -> int:
    """Remove a user, with their rights in the projects of *store*, and return the exit code.

    Raises UsageError if there is no such user.
    """

    def change(accounts: dict[str, Account]) -> Mapping[str, Account]:
        _found(name, accounts)
        return {other: account for other, account in accounts.items() if other != name}

    _found(name, users_file.read(path))
    if (place := store()) is not None:
        ProjectRights(place).remove_user(name)  # first: if it fails, the same command can be run again
    users_file.edit(path, change)
    say(f"removed user {name}")
    return 0


def grant(path: Path, *, name: str, project: str, right: str, store: Store) -> int:
    """Give a user a right in a project of *store*, or in all projects; return the exit code.

    Raises UsageError if there is no such user or project.
    """
    _found(name, users_file.read(path))
    if project == ALL:
        word = _word(Right.of(right))
        _edit_one(path, name, lambda account: msgspec.structs.replace(account, everywhere=word))
    else:
        _needed(store).set(project, name, Right.of(right))
    say(f"{name}: {right} in {'all projects' if project == ALL else project}")
    return 0


def _right(word: str) -> tuple[str, Right]:
    """Return project and right of a word such as MyProject:read."""
    project, _, right = word.rpartition(":")
    if not project or not (found := Right.of(right)):
        raise UsageError(f"{word!r} is not a project and read, write or owner, such as 'MyProject:read'")
    if project == ALL:
        _word(found)
    return project, found


def _word(everywhere: Right) -> Literal["none", "read", "write"]:
    """Return *everywhere* as the users file writes it. Raises UsageError for OWNER."""
    if everywhere is Right.OWNER:
        raise UsageError("only an admin owns all projects; add one with --admin")
    return "write" if everywhere is Right.WRITE else "read" if everywhere is Right.READ else "none"


def _needed(store: Store) -> ProjectRights:
    if (place := store()) is None:
        raise UsageError("the server has no store yet; run smtd serve, or name the store with --store")
    return ProjectRights(place)


def _edit_one(path: Path, name: str, change: Callable[[Account], Account]) -> None:
    def all_changed(accounts: dict[str, Account]) -> Mapping[str, Account]:
        return accounts | {name: change(_found(name, accounts))}

    users_file.edit(path, all_changed)


def _found(name: str, accounts: Mapping[str, Account]) -> Account:
    if account := accounts.get(name):
        return account
    raise UsageError(f"there is no user {name!r}{did_you_mean(name, accounts, 'smtd user list shows all')}")


def _check_new(name: str, accounts: Mapping[str, Account]) -> None:
    if why := users_file.misnamed(name):
        raise UsageError(f"{name[: users_file.LONGEST_NAME]!r} cannot be the name of a user: {why}")
    if known := next((known for known in accounts if known.lower() == name.lower()), None):
        raise UsageError(
            f"there is a user {known} already; change the password with smtd user password, or add a token"
            " with smtd user token"
        )


def _password(name: str, *, from_stdin: bool, may_ask: bool = True) -> str:
    """Read a new password, and warn if `smt` could not use it. Raises UsageError, with no part of it."""
    password = _first_line() if from_stdin else _typed_twice(name, may_ask=may_ask)
    if not password:
        raise UsageError("the password is empty; nothing was changed")
    if len(password) > LONGEST_PASSWORD:
        raise UsageError(f"the password is longer than {LONGEST_PASSWORD} characters; nothing was changed")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise UsageError("the password has characters that cannot be typed; nothing was changed")
    if not credentials.is_safe_in_address(password):
        complain(
            "smtd: Sumatra does not understand this password in the address of a store, where only letters"
            f" (a-z), digits, _ and - are safe; for smt use a token: smtd user token {name}"
        )
    return password


def _first_line() -> str:
    try:
        return decode(sys.stdin.buffer.readline(_LONGEST_LINE)).split("\n", 1)[0]
    except (OSError, ValueError) as exc:
        why = denied.why(exc) if isinstance(exc, OSError) else exc
        raise UsageError(f"the password on standard input cannot be read: {why}") from None


def _typed_twice(name: str, *, may_ask: bool) -> str:
    if not may_ask:
        raise UsageError("nobody may be asked for the password; use --password-stdin")
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password; use --password-stdin")
    try:
        first = getpass.getpass(f"Password for {name}: ")
        if getpass.getpass("Repeat the password: ") != first:
            raise UsageError("the two passwords differ; nothing was changed")
    except EOFError:
        raise UsageError("no password was given; nothing was changed") from None
    return first


def _duration(text: str) -> int:
    try:
        return int(seconds(text))
    except ValueError:
        raise UsageError(f"{text!r} is not a duration such as '12h' or '90d'") from None


def _rights(account: Account) -> str:
    if account.admin:
        return "admin"
    return {"none": "own projects", "read": "reads all projects", "write": "writes all projects"}[
        account.everywhere
    ]


def _logins(account: Account) -> str:
    logins = [*(["password"] if account.password else []), *map(_token, account.tokens)]
    return ", ".join(logins) or "no password and no token"


def _token(token: StoredToken) -> str:
    until = "" if token.expires is None else f", valid until {_local(token.expires)}"
    return f"token of {_local(token.made)}{until}"


def _local(moment: int) -> str:
    return local_time(datetime.fromtimestamp(moment, timezone.utc))


def _shape(account: Account, projects: Mapping[str, str]) -> dict[str, Any]:
    """Return what may be shown of a user, in the form that docs/reference/json.md describes."""
    return {
        "name": account.name,
        "admin": account.admin,
        "all_projects": account.everywhere,
        "projects": projects,
        "password": account.password is not None,
        "tokens": [
            {"made": _time(token.made), "expires": None if token.expires is None else _time(token.expires)}
            for token in account.tokens
        ],
    }


def _time(moment: int) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()
