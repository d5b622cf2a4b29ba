"""Add stores and pairs to the configuration file, and remove them; comments and order stay."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from itertools import count
from pathlib import Path
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from smtd import denied, durable, private, regular
from smtd.config import Config, load
from smtd.errors import UsageError
from smtd.text import shown

#: The keys of a store or of a pair.
Keys = Mapping[str, str | list[str]]


class ConfigFile:
    """The configuration file at *path*, which need not exist; a symbolic link stays one. Methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = Path(os.path.realpath(path))
        self._before = self._read()
        self.config = Config() if self._before is None else load(path)

    def add(self, stores: Mapping[str, Keys], pair: str, keys: Keys) -> None:
        """Add *stores*, and the *pair* with its *keys*. Raises UsageError if the file cannot be changed."""
        document = self._document()
        for name, store in stores.items():
            _table(document, "stores")[name] = _separated(store)
        _table(document, "pairs")[pair] = _separated(keys)
        self._replace(tomlkit.dumps(document).rstrip("\n") + "\n")

    def remove(self, pair: str, stores: Collection[str]) -> None:
        """Remove *pair* and *stores*. Raises UsageError if the file cannot be changed."""
        document = self._document()
        del _table(document, "pairs")[pair]
        for name in stores:
            del _table(document, "stores")[name]
        self._replace(tomlkit.dumps(document))

    def free_name(self, wanted: str, taken: Collection[str]) -> str:
        """Return a name like *wanted* that is none of *taken*, and needs no quotes in the file."""
        name = re.sub(r"[^a-z0-9_-]+", "-", wanted.lower()).strip("-")[:40] or "store"
        return next(each for each in _numbered(name) if each not in taken)

    def _document(self) -> tomlkit.TOMLDocument:
        try:
            return tomlkit.parse("" if self._before is None else self._before.decode("utf-8-sig"))
        except (TOMLKitError, UnicodeDecodeError) as exc:
            raise UsageError(f"{shown(str(self.path))} cannot be changed by smtd ({exc}); edit it") from exc

    def _read(self) -> bytes | None:
        try:
            return regular.read(self._file, regular.SMALL)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise UsageError(f"{shown(str(self.path))} cannot be read: {denied.unread(exc)}") from exc

    def _replace(self, text: str) -> None:
        """Write *text* if the file is as it was, and smtd accepts the new one; in one step."""
        if self._read() != self._before:
            raise UsageError(f"{shown(str(self.path))} has just been changed by another program; try again")
        draft = self._file.with_name(f".{self._file.name}.draft")
        try:
            private.make_directory(self._file.parent)
            private.replace(draft, text.encode())
            try:
                self.config = load(draft)
                if self._before is not None:
                    draft.chmod(self._file.stat().st_mode & 0o777)
                durable.replace(draft, self._file)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as exc:
            place = shown(str(self.path))
            raise UsageError(
                f"{place} cannot be written: {denied.unwritten(exc)}; or name a file of your own with -c"
            ) from exc
        self._before = text.encode()


def _table(document: tomlkit.TOMLDocument, name: str) -> MutableMapping[str, Any]:
    """Return the table of all stores, or of all pairs, which is added if it is missing."""
    if name not in document:
        document[name] = tomlkit.table(is_super_table=True)
    return cast(MutableMapping[str, Any], document[name])


def _separated(keys: Keys) -> Table:
    """Return a table of *keys* with an empty line at its end."""
    table = tomlkit.table()
    table.update(keys)
    table.add(tomlkit.nl())
    return table


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))
