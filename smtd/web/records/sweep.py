"""The parameters of several records side by side: those that differ as columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from smtd.web.records.entry import Row
from smtd.web.records.excerpt import cost, some
from smtd.web.records.parameter_values import Parameter
from smtd.web.records.table import fixed_size, short_label

#: The bytes of all parameters that are the same; the characters of a value; the bytes of its markup, and of
#: that of a heading.
_SAME, _VALUE, _MARKUP, _HEADING = 8000, 60, 60, 200


class SweepRow(NamedTuple):
    """A record with its parameters, in the order of the columns (None: it has none of that name)."""

    row: Row
    label: str
    parameters: Sequence[Parameter | None]


class Sweep(NamedTuple):
    """The *names* of the columns, the *rows*, the parameters that are the *same* in all of these.

    *left_out*: how many parameters a page has no room for.
    """

    names: Sequence[str]
    rows: Sequence[SweepRow]
    same: Sequence[Parameter]
    left_out: int


def sweep(
    rows: Sequence[Row], parameters: Mapping[str, Mapping[str, Parameter]], sort: str, room: int, link: int
) -> Sweep:
    """Return *rows* with their *parameters* by label and name; the parameter *sort* is the first column.

    The rows may take *room* bytes; the address in each heading takes *link*.
    """
    sets = [parameters.get(row.label, {}) for row in rows]
    names = list(dict.fromkeys(name for each in sets for name in each))
    differing = [name for name in names if name == sort or len({_text(each, name) for each in sets}) > 1]
    if sort in differing:
        differing.remove(sort)
        differing.insert(0, sort)
    columns = some(
        differing,
        len(differing),
        room - _SAME - sum(fixed_size(row, 2) for row in rows),
        lambda name: (
            _HEADING
            + link
            + len(quote(name))
            + cost(name)
            + sum(cost(_text(each, name) or "") + _MARKUP for each in sets)
        ),
    )
    alike = [_short(sets[0][name]) for name in names if name not in differing]
    same = some(alike, len(alike), _SAME, lambda each: cost(each.name) + cost(each.text) + _MARKUP)
    shown = [
        SweepRow(
            row, short_label(row), [_short(each[name]) if name in each else None for name in columns.items]
        )
        for row, each in zip(rows, sets, strict=True)
    ]
    return Sweep(columns.items, shown, same.items, columns.left_out + same.left_out)


def _text(parameters: Mapping[str, Parameter], name: str) -> str | None:
    found = parameters.get(name)
    return None if found is None else _short(found).text


def _short(parameter: Parameter) -> Parameter:
    if len(parameter.text) <= _VALUE:
        return parameter
    return parameter._replace(text=f"{parameter.text[:_VALUE]}…")
