"""Find the stores that a command line names, with their settings in the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from smtd import denied
from smtd.cli import passwords
from smtd.cli.proxies import proxy_for
from smtd.config import Config, StoreConfig, is_timezone
from smtd.errors import StoreUnreachable, UsageError
from smtd.spelling import nearest
from smtd.stores.access import Access
from smtd.stores.discovery import current_project, find
from smtd.stores.location import Location


class Passwords:
    """A cache of the passwords and tokens of configured stores; `forget` them when one may have changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[StoreConfig, str | None]] = {}  # with the store's settings then

    def __call__(self, name: str, store: StoreConfig) -> str | None:
        """Return the password or token of the store *name* (None: none). Blocks if it is not cached."""
        known = self._known.get(name)
        if known is None or known[0] != store:
            known = self._known[name] = store, passwords.secret(name, store)
        return known[1]

    def forget(self) -> None:
        """Empty the cache, so that each secret is read again when it is next needed."""
        self._known.clear()


def located(
    name: str | None,
    config: Config,
    timezone: str | None,
    *,
    may_be_new: bool = False,
    passwords: Callable[[str, StoreConfig], str | None] = passwords.secret,
) -> Location:
    """Return the location of the configured store *name*, else of the file, directory or address *name*.

    None means the project of the current directory. *timezone* is from the command line, and applies to
    a store for which the configuration has none. Blocks. Raises UsageError for a *timezone* that does not
    exist, and as `find` does.
    """
    if timezone is not None and not is_timezone(timezone):
        raise UsageError(f"{timezone!r} is not a time zone; name one such as Europe/Paris")
    word = str(_current()) if name is None else name
    configured = _configured(word, config)
    access = Access()
    if configured is not None:
        access = _access(*configured, passwords)
        word = configured[1].location
    if timezone is not None and not access.timezone:
        access = replace(access, timezone=timezone)
    try:
        location = find(word, access, may_be_new=may_be_new)
    except StoreUnreachable as exc:
        if configured is not None or (likely := _likely(word, config)) is None:
            raise
        raise StoreUnreachable(f"{exc}; did you mean {likely}?") from exc
    if "://" in word and location.access.password is None and location.access.token is None:
        location = _by_netrc(location)
    if location.driver.server is not None and location.driver.server.over_http:
        location = replace(location, access=replace(location.access, proxy=proxy_for(location.url)))
    return location


def _likely(word: str, config: Config) -> str | None:
    """Return what a user most likely meant by *word*, which is no store: a configured one, or a file."""
    if (store := nearest(word, config.stores)) is not None:
        return f"the configured store {store!r}"
    path = Path(word)
    try:
        if "://" in word or path.name in (names := os.listdir(path.parent)):
            return None
    except OSError:
        return None
    found = nearest(path.name, names)
    return None if found is None else repr(str(path.with_name(found)))


def _current() -> Path:
    """Return the directory of the project that the current directory belongs to."""
    try:
        return current_project(Path.cwd())
    except OSError as exc:
        raise UsageError(
            f"the current directory cannot be read ({_reason(exc)}); change to another one, or name two"
            " locations"
        ) from exc


def _reason(exc: OSError) -> str:
    return "permission denied" if denied.is_denial(exc) else exc.strerror or str(exc)


def _by_netrc(location: Location) -> Location:
    """Add the password from ~/.netrc if it is for the account that *location* names, or if it names none."""
    found = passwords.from_netrc(location.url)
    if found is None or location.access.username not in (None, found[0]):
        return location
    return replace(location, access=replace(location.access, username=found[0], password=found[1]))


def _configured(word: str, config: Config) -> tuple[str, StoreConfig] | None:
    """Return name and settings of the configured store with the name or location *word*, or None."""
    if word in config.stores:
        return word, config.stores[word]
    return next(
        ((name, store) for name, store in config.stores.items() if same_place(store.location, word)), None
    )


def _access(name: str, store: StoreConfig, passwords: Callable[[str, StoreConfig], str | None]) -> Access:
    secret = passwords(name, store)
    return Access(
        timezone=store.timezone or "",
        python=store.python,
        username=store.username,
        password=None if store.has_token else secret,
        token=secret if store.has_token else None,
        ca_file=store.ca_file,
        verify_tls=store.verify_tls,
        notify=store.notify,
    )


def same_place(one: str, other: str) -> bool:
    """Say whether *one* and *other* are the same address, or name the same path."""
    if "://" in one or "://" in other:
        return one.rstrip("/") == other.rstrip("/")
    try:
        return Path(one).expanduser().absolute() == Path(other).expanduser().absolute()
    except RuntimeError:  # the home directory is unknown
        return False
