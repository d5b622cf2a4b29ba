"""Check the passwords, tokens and programs in a configuration: their places, and who else could use them.

No message contains any part of a secret.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

#: The keys that lead to a value.
Where: TypeAlias = tuple[str, ...]
#: The keys of a store that give smtd a token, or a password.
TOKENS = ("token_command", "token_file", "token_env")
PASSWORDS = ("password", "password_command", "password_file", "password_env", "credential")
#: An address with a password in it.
_SECRET = re.compile(r"\w+://[^@/]*:[^@/]+@")


def tables(document: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Return the tables below the section *name* of a configuration, by name."""
    found = document.get(name)
    named = found if isinstance(found, dict) else {}
    return {key: value for key, value in named.items() if isinstance(value, dict)}


def misplaced_tokens(document: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Yield the tokens of stores without an http address, with a password, too, or with a second token."""
    for key, table in tables(document, "stores").items():
        token = next((name for name in TOKENS if name in table), None)
        location = table.get("location")
        if token is None or not isinstance(location, str):
            continue
        if not location.lower().startswith(("http://", "https://")):
            yield ("stores", key, token), "a token needs a location such as 'https://host/records/'"
        elif _SECRET.match(location) or any(name in table for name in PASSWORDS):
            yield ("stores", key, token), "there is a password, too; keep one of the two"
        elif sum(name in table for name in TOKENS) > 1:
            yield ("stores", key, token), f"keep one of {', '.join(TOKENS)}"


def shown_secrets(document: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Yield the passwords in *document*, whose file other users can read."""
    for key, table in tables(document, "stores").items():
        location = table.get("location")
        for name, is_secret in (
            ("password", "password" in table),
            ("location", isinstance(location, str) and bool(_SECRET.match(location))),
        ):
            if is_secret:
                what = "others can read this password: chmod 600 the file, or use password_command"
                yield ("stores", key, name), what
    notify = document.get("notify")
    for name in ("webhook", "heartbeat_url"):
        url = notify.get(name) if isinstance(notify, dict) else None
        if isinstance(url, str) and _SECRET.match(url):
            yield ("notify", name), "others can read this password: chmod 600 the file"


def exposed_commands(document: dict[str, Any], path: Path, who: str) -> Iterator[tuple[Where, str]]:
    """Yield the programs that *document* names; *who* can write to *path*, its file."""
    what = f"{who} can change this program: chmod go-w {shlex.quote(str(path))}"
    for store, table in tables(document, "stores").items():
        for name in ("password_command", "token_command", "python"):
            if name in table:
                yield ("stores", store, name), what
    if isinstance(notify := document.get("notify"), dict) and "command" in notify:
        yield ("notify", "command"), what
