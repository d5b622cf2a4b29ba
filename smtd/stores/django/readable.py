"""Check that Sumatra can read a record back from the tables: if not, it cannot list any record.

Sumatra passes the values in the tables to constructors; each rule here is one way in which these fail
(seen with Sumatra 0.8.1, tests/stores/test_django_sumatra.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records import literal, safety, sumatra_classes
from smtd.records.parameters import content
from smtd.records.record import Component, Parameters, Record

#: What Sumatra's `records.Record` requires of a label.
_LABEL = re.compile(r"\w")
#: Names that the package `parameters` reserves.
_RESERVED = frozenset(("parameters", "names"))


def readable_form(record: Record) -> Record:
    """Return *record* in a form that Sumatra can read back without side effects (`records/safety.py`).

    Raises RecordUnusable, with the reason, if no such form has the same meaning.
    """
    _check(record)
    harmless = safety.sanitized(record)
    _check_parameters(harmless.parameters)
    return harmless


def _check(record: Record) -> None:
    if record.unmodelled_fields:
        raise RecordUnusable(
            f"only a shelf can hold its {' and '.join(record.unmodelled_fields)}: no text can express it"
        )
    if not _LABEL.match(record.label):
        raise RecordUnusable("Sumatra cannot read a label that does not begin with a letter or digit")
    if record.executable is None or not record.executable.path or record.repository is None:
        raise RecordUnusable("Sumatra cannot read a record without an executable or a repository")
    _known("repository", record.repository.type, sumatra_classes.REPOSITORIES)
    _check_component("launch mode", record.launch_mode, sumatra_classes.LAUNCH_MODES)
    _check_component("data store", record.datastore, sumatra_classes.DATA_STORES)
    _check_component("data store", record.input_datastore, sumatra_classes.DATA_STORES)
    for dependency in record.dependencies:
        _known("language", dependency.module, sumatra_classes.LANGUAGES)


def _known(what: str, name: str, known: dict[str, str]) -> None:
    if name not in known:
        raise RecordUnusable(f"Sumatra 0.8.1 has no {what} {name!r}")


def _check_component(what: str, value: Component, known: dict[str, str]) -> None:
    _known(what, value.type, known)
    needed, possible = sumatra_classes.ARGUMENTS[value.type]
    names = value.parameters.keys()
    if not needed <= names <= needed | possible:
        raise RecordUnusable(
            f"Sumatra 0.8.1 cannot create a {value.type} from {', '.join(sorted(names)) or 'nothing'}"
        )
    for name, given in value.parameters.items():
        if name in _ARGUMENTS and not _ARGUMENTS[name](value.type, given):
            said = literal.shortened(given) if isinstance(given, str) else type(given).__name__
            raise RecordUnusable(f"Sumatra 0.8.1 cannot create a {value.type} with {said} for its {name}")


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


#: What the constructors require of arguments with these names, given the name of the class and the argument.
_ARGUMENTS: dict[str, Callable[[str, Any], bool]] = {
    "root": lambda _, value: _is_text(value) and "\0" not in (value or ""),
    "working_directory": lambda _, value: _is_text(value),
    # Sumatra stores None if it finds no mpirun, and cannot read that back.
    "mpirun": lambda _, value: isinstance(value, str),
    "n": lambda kind, value: kind != "SlurmMPILaunchMode" or (isinstance(value, int) and value > 0),
}


def _check_parameters(parameters: Parameters) -> None:
    if parameters.type not in content.TYPES and parameters.type != "str":
        raise RecordUnusable(f"Sumatra 0.8.1 has no parameters of type {parameters.type!r}")
    content.check(parameters)  # refuses what Sumatra would run
    if parameters.type == "NTParameterSet":
        _check_nested(content.read(parameters), parameters.content)
    if parameters.type == "YAMLParameterSet" and not isinstance(content.read(parameters), dict):
        raise RecordUnusable("Sumatra cannot read a YAMLParameterSet that is not a dictionary")


def _check_nested(values: Any, text: str) -> None:
    if not _has_scheme(text):
        raise RecordUnusable(
            "Sumatra cannot read an NTParameterSet that is empty, or has a / or a # in its first name"
        )
    if literal.names_in(text) & {"nan", "inf"}:
        raise RecordUnusable("Sumatra cannot read nan or inf in an NTParameterSet")
    names = _names(values)
    if _RESERVED & set(names):
        raise RecordUnusable("Sumatra allows no parameter called 'parameters' or 'names'")
    if not all(isinstance(name, str) and "." not in name for name in names):
        raise RecordUnusable(
            "Sumatra allows no parameter in an NTParameterSet whose name is not a word or has a dot"
        )


def _has_scheme(text: str) -> bool:
    """Say whether Python takes *text* for a URL with a scheme.

    The package `parameters` first calls `urlopen`, and goes on only after the error for an unknown scheme.
    For a text without a scheme `urlopen` raises an error of another type.
    """
    address = text.rpartition("#")[0] or text
    scheme, colon, _ = address.partition(":")
    return bool(colon) and "/" not in scheme


def _names(values: Any) -> list[Any]:
    if not isinstance(values, dict):
        return []
    return [*values, *(name for value in values.values() for name in _names(value))]
