"""What differs between records, for people who compare runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from smtd.records.record import DataKey, Record
from smtd.web.records import parameter_values, run_words
from smtd.web.records.excerpt import Excerpt, cost, excerpt

#: The most records that are compared at once.
MOST = 8
#: The bytes of all differences in a page, of one value, and of the markup of one.
_BYTES, _VALUE, _MARKUP = 80_000, 1500, 60
_MISSING = ""


class Difference(NamedTuple):
    """A *name*, and the value that each record has for it (an empty text: none)."""

    name: str
    values: Sequence[Excerpt]


class Group(NamedTuple):
    """Differences of one kind; *same*: how many values of that kind are the same in all records."""

    title: str
    differences: Sequence[Difference]
    same: int


class Comparison(NamedTuple):
    """The groups that differ; *left_out*: how many differences a page has no room for."""

    groups: Sequence[Group]
    left_out: int


def compared(records: Sequence[Record]) -> Comparison:
    """Return what differs between *records*, of which there are at least two."""
    left, left_out, groups = _BYTES, 0, []
    for title, read in _GROUPS.items():
        found = [read(record) for record in records]
        names = list(dict.fromkeys(name for values in found for name in values))
        rows = {name: [values.get(name, _MISSING) for values in found] for name in names}
        differing = {name: values for name, values in rows.items() if len(set(values)) > 1}
        shown = []
        for name, values in differing.items():
            row = Difference(name, [excerpt(value, _VALUE) for value in values])
            left -= cost(name) + sum(cost(each.text) + _MARKUP for each in row.values)
            if left < 0:
                left_out += 1
            else:
                shown.append(row)
        if shown:
            groups.append(Group(title, shown, len(rows) - len(differing)))
    return Comparison(groups, left_out)


def _run(record: Record) -> dict[str, str]:
    executable = record.executable
    return {
        "Run": f"{record.timestamp:%Y-%m-%d %H:%M:%S} UTC",
        "Duration": "" if record.duration is None else f"{record.duration:g} s",
        "Status": run_words.status(record.tags),
        "Tags": run_words.joined_tags(run_words.own_tags(record.tags)),
        "Reason": record.reason or "",
        "Outcome": record.outcome or "",
        "User": record.user or "",
        "Main file": record.main_file or "",
        "Arguments": record.script_arguments or "",
        "Executable": "" if executable is None else f"{executable.name or ''} {executable.version or ''}",
        "Launch mode": record.launch_mode.type,
    }


def _code(record: Record) -> dict[str, str]:
    repository = record.repository
    return {
        "Version": record.version or "",
        "Repository": "" if repository is None else repository.url or "",
        "Changes not committed": record.diff or "",
    }


def _parameters(record: Record) -> dict[str, str]:
    return {each.name: each.text for each in parameter_values.listed(record.parameters)}


def _dependencies(record: Record) -> dict[str, str]:
    return {
        each.name or "": f"{each.version or ''}{' (with changes)' if each.diff else ''}"
        for each in record.dependencies
    }


def _files(keys: Sequence[DataKey]) -> dict[str, str]:
    return {key.path: key.digest[:12] for key in keys}


def _platforms(record: Record) -> dict[str, str]:
    names = sorted(each.network_name or "" for each in record.platforms)
    systems = sorted({f"{each.system_name or ''} {each.release or ''}" for each in record.platforms})
    return {"Machines": ", ".join(names), "Systems": ", ".join(systems)}


_GROUPS: dict[str, Callable[[Record], dict[str, str]]] = {
    "Parameters": _parameters,
    "Code": _code,
    "Run": _run,
    "Input data": lambda record: _files(record.input_data),
    "Output data": lambda record: _files(record.output_data),
    "Dependencies": _dependencies,
    "Platforms": _platforms,
}
