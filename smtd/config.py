"""The configuration file: TOML, checked as a whole before any of it is used.

Every key of the file is a field below, with its type and its default; config.example.toml shows
them all. All problems are reported at once, each with its line and, where one is close, the likely
spelling.
"""

from __future__ import annotations

import bisect
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import tomli

from smtd import configured_secrets, configured_server, denied, private, regular
from smtd.configured_secrets import Where, tables
from smtd.errors import UsageError
from smtd.spelling import did_you_mean
from smtd.text import shown
from smtd.textfile import decode

#: Text such as "200ms", "30s", "5m", "1h", "90d".
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)\Z")
#: Text such as "500MB", "1GB".
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(kB|MB|GB|TB)\Z")
#: A hundred years in seconds, and a million TB: more is a mistake, and beyond any clock or file.
LONGEST_DURATION, LARGEST_SIZE = 36_525 * 86_400.0, 10.0**18
_BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
#: The least seconds between two looks at a server.
SHORTEST_POLL = 0.1
#: The most characters of the name of a pair.
LONGEST_NAME = 100
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class ConfigError(UsageError):
    """The configuration has mistakes; the message has one line for each."""

    has_lines = True


class DaemonConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of smtd as a whole."""

    state_dir: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    history_age: str = "365d"
    history_size: str = "1GB"
    control_group: str | None = None


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One store: its location, and the login."""

    location: str
    username: str | None = None
    password: str | None = None
    password_command: list[str] | None = None
    password_file: str | None = None
    password_env: str | None = None
    credential: str | None = None
    token_command: list[str] | None = None
    token_file: str | None = None
    token_env: str | None = None
    ca_file: str | None = None
    verify_tls: bool = True
    verify_interval: str = "1h"
    timezone: str | None = None
    python: str | None = None
    poll_interval: str = "30s"
    notify: bool = False

    def __repr__(self) -> str:
        location = re.sub(r"//[^@/]*@", "//", self.location)
        return f"Store({location!r})"  # never a secret

    @property
    def has_token(self) -> bool:
        """Whether smtd logs in with a token instead of a password."""
        return any(getattr(self, name) is not None for name in configured_secrets.TOKENS)


class MaxDeletes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Deletions above both are held."""

    count: int = 20
    share: str = "20%"


class PairConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two stores and how they are kept in sync."""

    left: str
    right: str
    projects: list[str] | dict[str, str] | None = None
    mode: Literal["two-way", "left-to-right", "right-to-left"] = "two-way"
    deletes: Literal["propagate", "keep"] = "propagate"
    conflicts: Literal["ask", "left", "right", "newest"] = "ask"
    unfinished: Literal["hold", "mirror"] = "hold"
    stale_after: str = "7d"
    prove_within: str = "7d"
    settle: str = "200ms"
    max_deletes: MaxDeletes = MaxDeletes()


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to send notifications of conflicts, holds, halts and recoveries, and heartbeats."""

    command: list[str] | None = None
    webhook: str | None = None
    heartbeat_url: str | None = None
    offline_after: str = "10m"

    def __repr__(self) -> str:
        return "Notify(…)"  # addresses and commands may hold secrets


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """smtd's own server: its address, its store, and who has access."""

    listen: str = "127.0.0.1:8471"
    store: str | None = None
    url: str | None = None
    proxy: list[str] = []
    cert_file: str | None = None
    key_file: str | None = None
    users_file: str | None = None
    anonymous: Literal["none", "read"] = "none"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole configuration file."""

    daemon: DaemonConfig = DaemonConfig()
    stores: dict[str, StoreConfig] = {}
    pairs: dict[str, PairConfig] = {}
    notify: Notify = Notify()
    server: ServerConfig | None = None


def load(path: Path) -> Config:
    """Return the configuration in *path*. Raises ConfigError with every mistake in it."""
    place = shown(str(path))  # each line of the error is one mistake, also where a name has line breaks
    try:
        text = decode(regular.read(path, regular.SMALL))
        found = path.stat()
    except (OSError, ValueError) as exc:
        why = shown(str(denied.unread(exc) if isinstance(exc, OSError) else exc))
        if isinstance(exc, FileNotFoundError):
            why = f"it does not exist; write it with smtd init -c {place}, or name another file"
        raise ConfigError(f"the configuration {place} cannot be read: {why}") from exc
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as exc:
        raise ConfigError(f"{place}: {exc}") from exc
    except RecursionError:
        raise ConfigError(f"{place}: its arrays or tables are nested too deeply; write them flat") from None
    problems = [
        *_problems(document, Config, ()),
        *_misnamed(document),
        *_dangling(document),
        *_unmeasured(document),
        *_doubled(document),
        *_unaddressed(document),
        *configured_secrets.misplaced_tokens(document),
        *configured_server.problems(document),
        *(
            configured_secrets.shown_secrets(document)
            if found.st_mode & (stat.S_IRGRP | stat.S_IROTH)
            else ()
        ),
        *(
            configured_secrets.exposed_commands(document, path, who)
            if (who := private.other_writers(found))
            else ()
        ),
    ]
    if problems:
        lines = sorted((_line(text, where), ".".join(where), what) for where, what in problems)
        raise ConfigError("\n".join(f"{place}:{line}: {where}: {what}" for line, where, what in lines))
    return msgspec.convert(document, Config)


def check_pair(name: str, table: object) -> PairConfig:
    """Return the pair that *table* describes. Raises ConfigError with every mistake in it.

    Its sides may be names of stores or locations.
    """
    document = {"pairs": {name: table}}
    problems = [*_problems(document, Config, ()), *_unmeasured(document), *_doubled(document)]
    if problems:
        lines = [f"{'.'.join(where)}: {what}" for where, what in problems]
        raise ConfigError("\n".join(lines))
    return msgspec.convert(table, PairConfig)


def misnamed(name: str) -> str:
    """Return why no pair can be called *name*; empty if one can."""
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= LONGEST_NAME:
        return f"use 1 to {LONGEST_NAME} printable characters, with no space at either end"
    if name.startswith(("-", ".")):
        return f"it looks like {'an option' if name.startswith('-') else 'a path'}; begin with a letter"
    if found := next((letter for letter in name if letter in "/*?[]"), ""):
        return f"{found} is reserved for {'paths' if found == '/' else 'globs'}; leave it out"
    return ""


def is_timezone(name: str) -> bool:
    """Say whether this machine knows a time zone called *name*."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def seconds(text: str) -> float:
    """Return the seconds of a duration such as "30s". Raises ValueError for other text, or if too long."""
    found = _DURATION.match(text)
    if found is None or (duration := float(found[1]) * _UNITS[found[2]]) > LONGEST_DURATION:
        raise ValueError(text)
    return duration


def size(text: str) -> int:
    """Return the bytes of a size such as "1GB". Raises ValueError for other text, or if too large."""
    found = _SIZE.match(text)
    if found is None or (bytes := float(found[1]) * _BYTES[found[2]]) > LARGEST_SIZE:
        raise ValueError(text)
    return int(bytes)


def _is_measured(measure: Callable[[str], float], text: str) -> bool:
    try:
        measure(text)
    except ValueError:
        return False
    return True


def _problems(value: Any, kind: Any, where: Where) -> Iterator[tuple[Where, str]]:
    """Yield what is wrong with *value* as a *kind*, at any depth."""
    if get_origin(kind) is UnionType and isinstance(value, dict):
        kind = next((one for one in get_args(kind) if issubclass(one, msgspec.Struct)), kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for name, item in value.items():
            if name in fields:
                yield from _problems(item, fields[name].type, (*where, name))
            else:
                yield (*where, name), _unknown(name, list(fields))
        for name, field in fields.items():
            if field.required and name not in value:
                yield where, f"it needs the key {name}"
    elif get_origin(kind) is dict and isinstance(value, dict):
        for name, item in value.items():
            yield from _problems(item, get_args(kind)[1], (*where, name))
    else:
        try:
            msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError as exc:
            words = get_args(kind) if get_origin(kind) is Literal and isinstance(value, str) else ()
            yield where, str(exc) + (did_you_mean(value, words) if words else "")
        except UnicodeEncodeError:
            yield where, "it is not Unicode text"


def _unknown(name: str, known: list[str]) -> str:
    return f"unknown key {name!r}{did_you_mean(name, known)}"


def _misnamed(document: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Yield the names that no pair can have."""
    for name in tables(document, "pairs"):
        if why := misnamed(name):
            yield ("pairs", name), f"{name!r} cannot be the name of a pair: {why}"


def _dangling(document: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Yield the sides that name a store that is not configured, or the same store twice."""
    stores = list(tables(document, "stores"))
    for pair, table in tables(document, "pairs").items():
        for side in ("left", "right"):
            name = table.get(side)
            if isinstance(name, str) and name not in stores:
                yield ("pairs", pair, side), f"there is no store {name!r}{did_you_mean(name, stores)}"
        if table.get("left") is not None and table.get("left") == table.get("right"):
            yield ("pairs", pair, "right"), "both sides are the same store"


def _unmeasured(document: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Yield the durations, sizes, shares and time zones that cannot be read."""
    if isinstance(daemon := document.get("daemon"), dict):
        if isinstance(text := daemon.get("history_age"), str) and not _is_measured(seconds, text):
            yield ("daemon", "history_age"), f"{text!r} is not a duration such as '30d' or '365d'"
        if isinstance(text := daemon.get("history_size"), str) and not _is_measured(size, text):
            yield ("daemon", "history_size"), f"{text!r} is not a size such as '500MB' or '1GB'"
    stores, pairs = ("poll_interval", "verify_interval"), ("settle", "stale_after", "prove_within")
    for section, name in [("stores", name) for name in stores] + [("pairs", name) for name in pairs]:
        for key, table in tables(document, section).items():
            if isinstance(text := table.get(name), str) and not _is_measured(seconds, text):
                yield (section, key, name), f"{text!r} is not a duration such as '200ms', '30s' or '5m'"
            elif isinstance(text, str) and name == "poll_interval" and seconds(text) < SHORTEST_POLL:
                yield (section, key, name), f"{text!r} would overload the server; use at least 100ms"
    for key, table in tables(document, "stores").items():
        if isinstance(zone := table.get("timezone"), str) and not is_timezone(zone):
            yield ("stores", key, "timezone"), f"{zone!r} is not a time zone such as 'Europe/Paris'"
    for pair, table in tables(document, "pairs").items():
        limit = table.get("max_deletes")
        share = limit.get("share") if isinstance(limit, dict) else None
        if isinstance(share, str) and not re.fullmatch(r"\d+(\.\d+)?%", share):
            yield ("pairs", pair, "max_deletes", "share"), f"{share!r} is not a percentage such as '20%'"


def _doubled(document: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Yield the projects on the right that would get the records of two projects."""
    for pair, table in tables(document, "pairs").items():
        projects = table.get("projects")
        names = list(projects.values()) if isinstance(projects, dict) else []
        for name in sorted({str(name) for name in names if names.count(name) > 1}):
            yield ("pairs", pair, "projects"), f"two projects cannot both be called {name!r} on the right"


def _unaddressed(document: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Yield the mistakes in [notify], without any address, which may have a secret."""
    table = document.get("notify")
    notify = table if isinstance(table, dict) else {}
    for name in ("webhook", "heartbeat_url"):
        if isinstance(url := notify.get(name), str) and not _is_web_address(url):
            yield ("notify", name), "it is not an address such as 'https://host/path'"
    if notify.get("command") == []:
        yield ("notify", "command"), "it names no program"
    if isinstance(text := notify.get("offline_after"), str) and not _is_measured(seconds, text):
        yield ("notify", "offline_after"), f"{text!r} is not a duration such as '200ms', '30s' or '5m'"


def _is_web_address(url: str) -> bool:
    try:
        found = urlsplit(url)
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:
        return False


def _line(text: str, where: Where) -> int:
    """Return the number of the line of *text* that sets the key *where* (1 if none does).

    It is a binary search, so that a long file is parsed only a few times.
    """
    lines = text.splitlines()
    return bisect.bisect_left(range(1, len(lines)), True, key=lambda count: _holds(lines[:count], where)) + 1


def _holds(lines: list[str], where: Where) -> bool:
    """Say whether *lines* set the key *where*; an incomplete value at their end does not count."""
    for count in range(len(lines), 0, -1):
        try:
            found: Any = tomli.loads("\n".join(lines[:count]))
        except tomli.TOMLDecodeError:
            continue
        try:
            for name in where:
                found = found[name]
        except (KeyError, TypeError):
            return False
        return True
    return False
