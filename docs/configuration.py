"""The reference of the configuration, made from the code that reads it and from config.example.toml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from docs.config_page import EXAMPLE, SECTIONS, parsed
from smtd.config import MaxDeletes

#: What the example says of several keys at once, or by an example alone.
SAID: Mapping[str, str] = {
    "stores.location": "a project directory, a shelf, an SQLite file, an export (.json), "
    "or an address: https://…, postgresql://…, mysql://…, mariadb://…",
    "stores.username": "the user at a server or in a database",
    "stores.password": "the password itself; only in a file that nobody else can read",
    "stores.password_command": "a program that prints the password, and its arguments",
    "stores.password_file": "a file with the password in its first line, which only its owner can write",
    "stores.password_env": "an environment variable that has the password",
    "stores.credential": "a credential of systemd that has the password (`LoadCredential=`)",
    "stores.token_command": "a program that prints a token of smtd's own server, in place of "
    "user and password",
    "stores.token_file": "a file with such a token",
    "stores.token_env": "an environment variable that has such a token",
    "daemon.history_size": "the daemon removes the oldest entries if the history is larger than this",
    "daemon.log_level": "the least important messages that the log gets",
    "pairs.left": "the name of a store",
    "pairs.right": "the name of another store",
    "pairs.mode": "the direction in which changes are synced",
    "pairs.deletes": "whether a record that was deleted on one side is deleted on the other",
    "pairs.conflicts": "which record wins if both sides changed it and no rule can merge them; "
    "ask: a person decides",
    "pairs.unfinished": "whether to sync a record only when its run is over, or also while it runs",
    "pairs.projects": "the projects; default: the project of a side that is a project directory, else all. "
    '`["*"]` is all; `{ MyProject = "my-project" }` gives its name on the right',
    "notify.webhook": "an address that gets the JSON of each notification",
    "server.anonymous": "read: everybody may read every project without a login",
    "server.key_file": "the key of `cert_file`, without a password",
}
_TYPES = {str: "text", bool: "true or false", int: "number"}


def page() -> str:
    """Return a table for each section: every key, its values, its default, and what it is for."""
    return "\n\n".join(_section(name, struct, heading) for name, (struct, heading) in SECTIONS.items())


def _section(name: str, struct: type[msgspec.Struct], heading: str) -> str:
    rows = [
        f"| `{field.name}` | {_values(field.type)} | {_default(field)} | {explained(name, field.name)} |"
        for field in msgspec.structs.fields(struct)
    ]
    return "\n".join([f"## `{heading}`\n", "| key | value | default | means |", "|---|---|---|---|", *rows])


def explained(section: str, key: str) -> str:
    """Return what *key* is for; empty if nothing says it."""
    found = SAID.get(f"{section}.{key}")
    return found or _as_markdown(" ".join(filter(None, _from_example()[f"{section}.{key}"])))


def _from_example() -> dict[str, list[str]]:
    """Return the comment beside each key of the example, in lines."""
    sections = parsed(EXAMPLE.read_text("utf-8"))
    return {f"{section.name}.{entry.key}": entry.text for section in sections for entry in section.entries}


def _as_markdown(text: str) -> str:
    return re.sub(r'(\[?\{? ?"[^"]*".*?[]}]|"[^"]*")', r"`\1`", text)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "" if value is None else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, MaxDeletes):
        return f'{{ count = {value.count}, share = "{value.share}" }}'
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _values(kind: Any) -> str:
    """Return what a value of *kind* looks like in TOML."""
    return " or ".join(dict.fromkeys(_alternatives(kind)))


def _alternatives(kind: Any) -> Iterator[str]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        for each in arguments:
            yield from _alternatives(each)
    elif origin is Literal:
        yield ", ".join(f'`"{each}"`' for each in arguments)
    elif kind is not NoneType:
        names = {list: "list of texts", dict: "table", MaxDeletes: "table"}
        yield names.get(origin or kind) or _TYPES[kind]
