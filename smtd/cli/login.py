"""Log in to a store whose user or password nothing names yet: ask for them on a terminal.

What is typed is used once: it is not echoed, and not stored, unless the caller does that.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import anyio
import click

from smtd.cli.say import complain
from smtd.errors import LoginRefused, StoreRefused, UsageError
from smtd.stores.access import Access
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.text import shown

#: How often a person may try.
TRIES = 3
#: The terminal that controls this process, wherever its streams go.
_TERMINAL = "/dev/tty"


class LoggedIn(NamedTuple):
    """A store that can be read, its *projects*, and the *password* that was asked for (None: none was)."""

    location: Location
    projects: Collection[str]
    password: str | None


def log_in(
    location: Location, username: str | None, password: str | None, step: str, *, may_ask: bool
) -> LoggedIn:
    """Return *location* with a login that the store accepts, that of the arguments if they are given.

    Asks for what is missing if that is possible; else *step* tells the user what to do about the login.
    Blocks. Raises StoreError, LoginRefused among them, and UsageError if there is no password and nobody can
    be asked.
    """
    location = _with(location, username, password)
    for turn in range(TRIES + 1):
        try:
            return LoggedIn(location, anyio.run(_projects, location), password)
        except LoginRefused as exc:
            if not may_ask or not sys.stdin.isatty():
                has_secret = location.access.password or location.access.token
                raise (LoginRefused if has_secret else UsageError)(f"{exc}; {step}") from exc
            if turn == TRIES:
                raise
            if location.access.password is not None:
                complain(f"smtd: {exc}")
            username, password = _ask(location)
            location = _with(location, username, password)
    raise AssertionError("unreachable")


def _ask(location: Location) -> tuple[str, str]:
    known = location.access.username or getpass.getuser()
    username: str = click.prompt(f"User at {location}", default=known, err=True)
    password: str = click.prompt("Password, or a token", hide_input=True, err=True)
    return username, password


def with_typed_login(location: Location, *, may_ask: bool) -> Location:
    """Return *location* with a login that a person typed at the controlling terminal, if it needs one.

    A login that something else names is used as it is, and nobody is asked without *may_ask*. Blocks. Raises
    UsageError if there is a user, but no password, LoginRefused after several wrong ones, and StoreError.
    """
    server, access = location.driver.server, location.access
    if server is None or access.password is not None or access.token is not None:
        return location
    lacks_password = server.over_http and access.username is not None
    if not may_ask or not _is_attended():
        if lacks_password:
            raise UsageError(
                f"there is no password for {access.username} at {location}; set password_command,"
                " password_file or another of its keys in the configuration, or run this on a terminal"
            )
        return location
    for turn in range(TRIES + 1):
        if not lacks_password or turn:
            try:
                anyio.run(_projects, location)
                return location
            except LoginRefused as exc:
                if turn == TRIES:
                    raise
                if turn:
                    complain(f"smtd: {exc}")
            except StoreRefused:
                return location  # such as an empty database: it has let the user in
        location = _with(location, *_typed_login(location))
    raise AssertionError("unreachable")


def _is_attended() -> bool:
    """Say whether a person looks at a terminal, and can type there."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return sys.stdin is not None and sys.stdin.isatty()
    return True


def _typed_login(location: Location) -> tuple[str, str]:
    """Return the user and the password that a person types. Raises UsageError if the person types none."""
    try:
        user = location.access.username or _typed_line(shown(f"User at {location}: "))
        return user, getpass.getpass(shown(f"Password for {user} at {location}: "))
    except EOFError:
        raise UsageError(f"no password was typed for {location}; nothing was done") from None


def _typed_line(prompt: str) -> str:
    """Return a line from the terminal. Raises EOFError without one."""
    try:
        with open(_TERMINAL, "w", encoding="utf-8") as asking, open(_TERMINAL, encoding="utf-8") as typed:
            asking.write(prompt)
            asking.flush()
            line = typed.readline()
    except OSError:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
    if not line.strip():
        raise EOFError
    return line.strip()


def _with(location: Location, username: str | None, password: str | None) -> Location:
    given: Access = location.access
    if username is not None:
        given = replace(given, username=username)
    if password is not None:
        given = replace(given, password=password, token=None)
    return replace(location, access=given)


async def _projects(location: Location) -> Collection[str]:
    async with open_store(location) as store:
        return await store.projects()
