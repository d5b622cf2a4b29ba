"""The reference of the commands, made from the help of the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from inspect import cleandoc

import click

from smtd.cli import ctl, main
from smtd.cli.commands import Command
from smtd.cli.forwarded import ForwardedVerb, SyncCommand
from smtd.cli.help_page import HelpPage, Row, in_order
from smtd.cli.parser import VerbParser
from smtd.cli.verb_groups import grouped

#: Options of every command, which the page explains once.
EVERYWHERE = ("--json", "-c, --config FILE", "--socket FILE", "-h, --help")


def page() -> str:
    """Return a section for each command, in the groups of the help; and the verbs that smtd-ctl has, too."""
    parts = []
    for heading, names in grouped(main.main.commands):
        parts.append(f"## {heading}\n")
        parts += [_section(each) for name in names for each in pages_of(name)]
    verbs = ", ".join(f"`{each.command.partition(' ')[2]}`" for each in _of_parser(ctl.parser()))
    parts.append(f"## smtd-ctl\n\n`smtd-ctl` has these, with the same words: {verbs}.")
    return "\n".join(parts)


def pages_of(name: str) -> Iterator[HelpPage]:
    """Yield the help of the command *name* of smtd, and of those below it."""
    command = main.main.commands[name]
    verbs = ctl.parser("smtd").verbs
    if name not in verbs or not isinstance(command, (ForwardedVerb, click.Group)):
        yield from _of_command(command, f"smtd {name}")
    if isinstance(command, (ForwardedVerb, SyncCommand, click.Group)) and name in verbs:
        yield from _of_parser(verbs[name])


def _of_command(command: click.Command, path: str) -> Iterator[HelpPage]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _of_command(below, f"{path} {name}")
        return
    context = click.Context(command, info_name=path, **main.main.context_settings)
    if isinstance(command, Command):
        yield command.page(context)
        return
    options = [row for each in command.get_params(context) if (row := each.get_help_record(context))]
    form = " ".join(command.collect_usage_pieces(context))
    yield HelpPage(path, [form], cleandoc(command.help or ""), options=options)


def _of_parser(parser: VerbParser) -> Iterator[HelpPage]:
    for below in parser.verbs.values():
        yield from _of_parser(below)
    if not parser.verbs:
        yield parser.page()


def _section(found: HelpPage) -> str:
    forms = "\n".join(f"{found.command} {form}" for form in found.forms)
    options = [row for row in in_order(found.options) if row[0] not in EVERYWHERE]
    parts = [f"### {found.command}\n\n```text\n{forms}\n```\n\n{found.text}\n", found.end]
    return "\n".join([*parts, *_table([*found.arguments, *options])])


def _table(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        cells = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]
        yield "\n".join(["| argument | means |", "|---|---|", *cells, ""])


def _cell(text: str) -> str:
    """Return *text* on one line, as a cell of a table can hold it."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
