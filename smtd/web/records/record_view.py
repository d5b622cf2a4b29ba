"""What the page of one record shows: bounded, so that every page has at most 100 kB. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from smtd.records.record import DataKey, Dependency, Platform, Record
from smtd.web.records import parameter_values, run_words
from smtd.web.records.excerpt import Excerpt, Some, cost, excerpt, some
from smtd.web.records.parameter_values import Parameter

#: The bytes that each part of a page may take.
_TEXT, _SHORT, _PARAMETERS, _OUTPUT, _DIFF = 5000, 400, 14_000, 12_000, 14_000
_DEPENDENCIES, _DEPENDENCY_DIFF, _FILES, _PLATFORMS, _TAGS = 10_000, 2500, 7000, 2500, 1500
#: The bytes of the markup of a row of a table, of a line of a diff, and of one tag.
_ROW, _LINE, _TAG = 260, 40, 45
#: What the lines of a diff begin with that are no part of a file.
_HEADERS = ("diff ", "index ", "--- ", "+++ ", "Index: ", "===", "new file", "deleted file", "# ")


class DiffLine(NamedTuple):
    """A line; *kind*: `added`, `removed`, `place`, `header` or empty."""

    kind: str
    text: str


class Fact(NamedTuple):
    """A short text with its name."""

    name: str
    text: str


class FileRow(NamedTuple):
    """A file that the run read or made."""

    path: str
    digest: str
    created: datetime | None
    details: str


class DependencyRow(NamedTuple):
    """A module that the code used, and the changes in it that were not committed."""

    name: str
    version: str
    path: str
    diff: Sequence[DiffLine]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record as its page shows it."""

    label: str
    at: datetime
    duration: float | None
    status: str
    user: str
    tags: Some[str]
    reason: Excerpt
    outcome: Excerpt
    code: Sequence[Fact]
    surroundings: Sequence[Fact]
    parameters: Some[Parameter]
    parameter_text: Excerpt
    inputs: Some[FileRow]
    outputs: Some[FileRow]
    diff: Some[DiffLine]
    dependencies: Some[DependencyRow]
    platforms: Some[str]
    stdout: Excerpt


def record_view(record: Record, place: int = 0) -> RecordView:
    """Return what the page of *record* shows; each address there has *place* bytes to say where it is."""
    tags = run_words.own_tags(record.tags)
    listed = parameter_values.listed(record.parameters)
    return RecordView(
        label=record.label,
        at=record.timestamp,
        duration=record.duration,
        status=run_words.status(record.tags),
        user=_short(record.user),
        tags=some(tags, len(tags), _TAGS, lambda tag: cost(tag) + _TAG),
        reason=excerpt(record.reason, _TEXT),
        outcome=excerpt(record.outcome, _TEXT),
        code=_code(record),
        surroundings=_surroundings(record),
        parameters=some(
            listed, len(listed), _PARAMETERS, lambda each: cost(each.name) + cost(each.text) + _ROW // 2
        ),
        parameter_text=excerpt("" if listed else record.parameters.content, _PARAMETERS),
        inputs=_files(record.input_data, place),
        outputs=_files(record.output_data, place),
        diff=_diff(record.diff or "", _DIFF),
        dependencies=_dependencies(record.dependencies),
        platforms=some(
            map(_platform, record.platforms), len(record.platforms), _PLATFORMS, lambda text: cost(text) + 60
        ),
        stdout=excerpt(record.stdout_stderr, _OUTPUT, end=True),
    )


def _code(record: Record) -> list[Fact]:
    repository, executable = record.repository, record.executable
    found = [
        ("Main file", record.main_file),
        ("Arguments", record.script_arguments),
        ("Version", record.version),
        ("Repository", None if repository is None else repository.url),
        ("Upstream", None if repository is None else repository.upstream),
        ("Executable", None if executable is None else _joined(executable.name, executable.version)),
        ("Path", None if executable is None else executable.path),
        ("Options", None if executable is None else executable.options),
        ("Repeats", record.repeats),
    ]
    return [Fact(name, _short(text)) for name, text in found if text]


def _surroundings(record: Record) -> list[Fact]:
    parts = {
        "Launch mode": record.launch_mode,
        "Data store": record.datastore,
        "Input data store": record.input_datastore,
    }
    return [Fact(name, _short(f"{each.type} {_details(each.parameters)}")) for name, each in parts.items()]


def _short(text: str | None) -> str:
    return excerpt(text, _SHORT).shortened


def _joined(*words: str | None) -> str:
    return " ".join(word for word in words if word)


def _details(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {parameter_values.text(value)}" for name, value in values.items() if value)


def _files(keys: Sequence[DataKey], place: int) -> Some[FileRow]:
    rows = (FileRow(_short(key.path), key.digest[:64], key.creation, _size(key.metadata)) for key in keys)
    return some(rows, len(keys), _FILES, lambda row: 3 * cost(row.path) + cost(row.digest) + _ROW + place)


def _size(metadata: dict[str, Any]) -> str:
    size = metadata.get("size")
    return f"{size:,} bytes" if isinstance(size, int) and abs(size) < 2**63 else ""


def _diff(text: str, most: int) -> Some[DiffLine]:
    text = text.rstrip("\n")
    if not text:
        return Some((), 0)
    shown = (DiffLine(line_kind(line), excerpt(line, 1000).shortened) for line in text[:most].split("\n"))
    return some(shown, text.count("\n") + 1, most, lambda line: cost(line.text) + _LINE)


def line_kind(line: str) -> str:
    """Return what a *line* of a diff does, as `DiffLine` has it."""
    if line.startswith("@@"):
        return "place"
    if line.startswith(_HEADERS):
        return "header"
    return {"+": "added", "-": "removed"}.get(line[:1], "")


def _dependencies(dependencies: Sequence[Dependency]) -> Some[DependencyRow]:
    return some(map(_dependency, dependencies), len(dependencies), _DEPENDENCIES, _dependency_cost)


def _dependency(each: Dependency) -> DependencyRow:
    diff = _diff(each.diff or "", _DEPENDENCY_DIFF)
    name, version, path = (_short(text) for text in (each.name, each.version, each.path))
    return DependencyRow(name, version, path, diff.items, bool(diff.left_out))


def _dependency_cost(row: DependencyRow) -> int:
    shown = sum(cost(text) for text in (row.name, row.version, row.path))
    return _ROW + shown + sum(cost(line.text) + _LINE for line in row.diff)


def _platform(each: Platform) -> str:
    words = (each.network_name, each.ip_addr, each.system_name, each.release, each.machine, each.processor)
    return _short(_joined(*words))


def as_text(record: Record, part: str) -> str | None:
    """Return all of a *part* of *record* as text; None if there is no such part."""
    return _PARTS[part](record) or "" if part in _PARTS else None


def _all_dependencies(record: Record) -> str:
    return "\n\n".join(
        "\n".join(filter(None, (_joined(each.name, each.version, each.path), each.diff)))
        for each in record.dependencies
    )


def _all_files(record: Record) -> str:
    keys = [("input", key) for key in record.input_data] + [("output", key) for key in record.output_data]
    return "".join(f"{role}\t{key.digest}\t{json.dumps(key.path)}\n" for role, key in keys)


_PARTS: dict[str, Callable[[Record], str | None]] = {
    "stdout": lambda record: record.stdout_stderr,
    "diff": lambda record: record.diff,
    "parameters": lambda record: record.parameters.content,
    "reason": lambda record: record.reason,
    "outcome": lambda record: record.outcome,
    "dependencies": _all_dependencies,
    "files": _all_files,
}
