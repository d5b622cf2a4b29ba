"""Log in to a store whose user and password nothing names yet: ask for them on a terminal."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import anyio
import click

from smtd.cli.say import complain
from smtd.errors import LoginRefused, UsageError
from smtd.stores.access import Access
from smtd.stores.location import Location
from smtd.stores.registry import open_store

#: How often a person may try.
TRIES = 3


class LoggedIn(NamedTuple):
    """A store that can be read, its *projects*, and the *password* that was asked for (None: none was)."""

    location: Location
    projects: Collection[str]
    password: str | None


def log_in(location: Location, username: str | None, password: str | None, *, may_ask: bool) -> LoggedIn:
    """Return *location* with a login that the store accepts, that of the arguments if they are given.

    Asks for what is missing if that is possible. Blocks. Raises StoreError, and UsageError if the store needs
    a login and nobody can be asked.
    """
    location = _with(location, username, password)
    for turn in range(TRIES + 1):
        try:
            return LoggedIn(location, anyio.run(_projects, location), password)
        except LoginRefused as exc:
            if not may_ask or not sys.stdin.isatty():
                raise UsageError(
                    f"{exc}; give the user with --user, and the password in a file with --password-file"
                ) from exc
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
