"""Show a configuration, and what else a bug report has, without secrets. Pure.

Two barriers: of the configuration only values of keys that are known to be no secret are shown, and every
secret that the configuration holds is removed from all other texts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

#: What is shown in place of a secret.
HIDDEN = "(not shown)"
#: The keys of each section whose values are shown; those of the second set are addresses or locations.
_SHOWN: Mapping[str, frozenset[str]] = {
    "daemon": frozenset(("state_dir", "log_level", "history_age", "history_size", "control_group")),
    "stores": frozenset(
        (
            *("username", "password_file", "password_env", "credential", "token_file", "token_env"),
            *("ca_file", "verify_tls", "verify_interval", "timezone", "python", "poll_interval", "notify"),
        )
    ),
    "pairs": frozenset(
        (
            *("projects", "mode", "deletes", "conflicts", "unfinished", "stale_after"),
            *("prove_within", "settle", "max_deletes"),
        )
    ),
    "notify": frozenset(("offline_after",)),
    "server": frozenset(("listen", "proxy", "cert_file", "key_file", "users_file", "anonymous")),
}
_ADDRESSES = frozenset(("location", "url", "webhook", "heartbeat_url", "left", "right", "store"))
_COMMANDS = frozenset(("command", "password_command", "token_command"))
#: Addresses whose path may be the secret, as that of a webhook.
_HOST_ONLY = frozenset(("webhook", "heartbeat_url"))
#: The fewest characters of a secret, and of an argument of a command, that is removed from texts: a shorter
#: one is in too many words.
_SHORTEST, _SHORTEST_WORD = 4, 8


def redacted(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration *document* with every value hidden that may be a secret."""
    found: dict[str, Any] = {}
    for section, value in document.items():
        if not isinstance(value, dict):
            found[section] = HIDDEN
        elif section in ("stores", "pairs"):
            found[section] = {
                name: _table(section, each) if isinstance(each, dict) else HIDDEN
                for name, each in value.items()
            }
        else:
            found[section] = _table(section, value)
    return found


def _table(section: str, table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _value(section, key, value) for key, value in table.items()}


def _value(section: str, key: str, value: Any) -> Any:
    if key in _ADDRESSES and isinstance(value, str):
        return address(value, host_only=key in _HOST_ONLY)
    if key in _COMMANDS and isinstance(value, list) and value:
        return [str(value[0]), *[HIDDEN] * (len(value) > 1)]
    return value if key in _SHOWN.get(section, ()) else HIDDEN


def address(text: str, *, host_only: bool = False) -> str:
    """Return the address or path *text* without user, password, query and fragment.

    A password may have any character, so all before the last @ is hidden. *host_only* hides the path, too.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    _, at, rest = rest.rpartition("@")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    shown = f"{host}/{HIDDEN}" if host_only and path else f"{host}{slash}{path}"
    return f"{scheme}://{f'{HIDDEN}@' if at else ''}{shown}"


def secrets(document: Mapping[str, Any]) -> frozenset[str]:
    """Return the texts in *document* that `redacted` hides, to remove them from other texts."""
    found = set[str]()
    for section, value in document.items():
        named = isinstance(value, dict) and section in ("stores", "pairs")
        for table in value.values() if named else [value]:
            found |= set(_secrets_in(section, table) if isinstance(table, dict) else _texts(table))
    return frozenset(each for each in found if len(each) >= _SHORTEST)


def _secrets_in(section: str, table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if key in _ADDRESSES and isinstance(value, str):
            yield from _secrets_of(value, host_only=key in _HOST_ONLY)
        elif key in _COMMANDS and isinstance(value, list):
            yield from (word for word in _texts(value[1:]) if len(word) >= _SHORTEST_WORD)
        elif key not in _SHOWN.get(section, ()):
            yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in *value*; of an option with a value, only that."""
    if isinstance(value, str):
        yield value.partition("=")[2] or value if value.startswith("-") else value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _secrets_of(text: str, *, host_only: bool) -> Iterator[str]:
    _, separator, rest = text.partition("://")
    if not separator:
        return
    login, at, _ = rest.rpartition("@")
    if at and ":" in login:
        password = login.partition(":")[2]
        yield from {password, unquote(password)}
    try:
        parts = urlsplit(text)
    except ValueError:
        return
    for each in re.split(r"[&;]", parts.query):
        value = each.partition("=")[2]
        yield from {value, unquote(value)}
    if host_only:
        yield from parts.path.split("/")


def without(value: Any, hidden: Collection[str]) -> Any:
    """Return *value*, of plain types at any depth, with each text in *hidden* removed from its texts."""
    if isinstance(value, str):
        for secret in sorted(hidden, key=len, reverse=True):
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, dict):
        return {without(key, hidden): without(each, hidden) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without(each, hidden) for each in value]
    return value
