"""The file of the pairs that were added while the daemon ran. The daemon starts even if it is damaged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from smtd import denied, private, regular, textfile
from smtd.config import ConfigError, PairConfig, check_pair
from smtd.errors import UsageError
from smtd.journal.integrity import aside

#: The name of the file in the state directory.
FILE = "pairs.json"


class Added(NamedTuple):
    """The pairs that can be read, and a sentence on what is wrong with the file (empty: nothing)."""

    pairs: dict[str, PairConfig]
    problem: str = ""


def write(file: Path, pairs: Mapping[str, PairConfig]) -> None:
    """Save *pairs* in *file*, in ASCII, because a path need not be Unicode. Blocks. Raises UsageError."""
    data = json.dumps(msgspec.to_builtins(dict(pairs)), indent=2).encode("ascii")
    try:
        private.replace(file, data)
    except OSError as exc:
        raise UsageError(f"{file} cannot be written: {denied.unwritten(exc)}") from exc


def peek(file: Path) -> dict[str, PairConfig]:
    """Return the intact pairs in *file* without changing anything; none if it cannot be read. Blocks."""
    with suppress(OSError, *_DAMAGE):
        return _checked(file)[0]
    return {}


def read(file: Path) -> Added:
    """Return the intact pairs in *file*; move a damaged file aside. Blocks."""
    try:
        pairs, damage = _checked(file)
    except FileNotFoundError:
        return Added({})
    except OSError as exc:
        what = "cannot be read" if denied.is_denial(exc) else "is damaged"
        return Added({}, _set_aside(file, denied.why(exc), what))
    except _DAMAGE as exc:
        return Added({}, _set_aside(file, str(exc)))
    if not damage:
        return Added(pairs)
    problem = _set_aside(file, "; ".join(damage))
    write(file, pairs)
    return Added(pairs, problem)


#: What a damaged file raises.
_DAMAGE = (ValueError, RecursionError, msgspec.MsgspecError, ConfigError)


def _checked(file: Path) -> tuple[dict[str, PairConfig], list[str]]:
    """Return the intact pairs in *file*, and what is wrong with the others. Raises OSError, or _DAMAGE."""
    pairs, damage = dict[str, PairConfig](), list[str]()
    found = json.loads(textfile.decode(regular.read(file, regular.SMALL)))
    for name, table in msgspec.convert(found, dict[str, object]).items():
        try:
            pairs[name] = check_pair(name, msgspec.convert(table, dict[str, object]))
        except _DAMAGE as exc:
            damage.append(f"{name}: {exc}")
    return pairs, damage


def _set_aside(file: Path, damage: str, what: str = "is damaged") -> str:
    """Rename the *file*, of which *what* is wrong because of *damage*; return a message for the user."""
    why = f"the file of added pairs {file} {what} ({damage})"
    place = aside(file)
    try:
        file.rename(place)
    except OSError as exc:
        return f"{why} and cannot be moved aside: {denied.unwritten(exc)}; repair or remove it"
    return f"{why}; it is kept as {place}; add the missing pairs again"
