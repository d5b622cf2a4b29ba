"""The help of a command: one form for both programs, whichever library parses the words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from click import HelpFormatter

#: What is explained, and the explanation.
Row: TypeAlias = tuple[str, str]
#: Options that most commands have come last, in this order.
_LAST = ("--json", "--config", "--socket", "--version", "--help")


@dataclass(frozen=True, slots=True)
class HelpPage:
    """What the help of a command says.

    *command*: the words that call it; *forms*: how to go on after them, one usage line each. *commands* has
    the commands below it, in groups with a heading. *end* is a closing paragraph (empty: none).
    """

    command: str
    forms: Sequence[str]
    text: str
    arguments: Sequence[Row] = ()
    commands: Sequence[tuple[str, Sequence[Row]]] = ()
    options: Sequence[Row] = ()
    end: str = ""


def write(page: HelpPage, formatter: HelpFormatter) -> None:
    """Write *page* into *formatter*."""
    for number, form in enumerate(page.forms):
        formatter.write_usage(page.command, form, prefix="       " if number else None)
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(page.text)
    for heading, rows in _sections(page):
        with formatter.section(heading):
            formatter.write_dl(rows)
    if page.end:
        formatter.write_paragraph()
        formatter.write_text(page.end)


def in_order(options: Sequence[Row]) -> list[Row]:
    """Return *options* in the order of the help: first those of the command itself."""
    return sorted(options, key=lambda row: max((_LAST.index(word) for word in _words(row)), default=-1))


def _words(row: Row) -> list[str]:
    return [word for word in row[0].replace(",", " ").split() if word in _LAST]


def _sections(page: HelpPage) -> Iterator[tuple[str, Sequence[Row]]]:
    """Yield the headings with their rows; all commands have their explanations in one column."""
    if page.arguments:
        yield "Arguments", page.arguments
    width = max((len(name) for _, rows in page.commands for name, _ in rows), default=0)
    for heading, rows in page.commands:
        yield heading, [(name.ljust(width), text) for name, text in rows]
    if page.options:
        yield "Options", in_order(page.options)
