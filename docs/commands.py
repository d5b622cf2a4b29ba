"""The reference of the commands, made from the commands themselves."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator, Sequence

import click

from smtd.cli import ctl, main


def page() -> str:
    """Return a section for each command: how it is called, what it does, and its options."""
    parts = [
        "## smtd\n",
        *_of_click(click.Context(main.main, info_name="smtd")),
        "## smtd-ctl\n",
        *_of_argparse(ctl.parser()),
    ]
    return "\n".join(parts)


def _of_click(context: click.Context) -> Iterator[str]:
    command = context.command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _of_click(click.Context(command.commands[name], info_name=name, parent=context))
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    options = [pair for each in command.get_params(context) if (pair := each.get_help_record(context))]
    yield from _section(context.command_path, usage, inspect.cleandoc(command.help or ""), options)


def _of_argparse(parser: argparse.ArgumentParser, about: str = "") -> Iterator[str]:
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    for each in below:
        said = {choice.dest: choice.help or "" for choice in each._choices_actions}
        for name in sorted(each.choices):
            yield from _of_argparse(each.choices[name], said.get(name, ""))
    if not below:
        usage = re.sub(r"\s+", " ", parser.format_usage().removeprefix("usage: ")).strip()
        actions = [each for each in parser._actions if each.help != argparse.SUPPRESS]
        yield from _section(
            parser.prog, usage, parser.description or about, [_explained(each) for each in actions]
        )


def _explained(action: argparse.Action) -> tuple[str, str]:
    """Return how an argument is given, and what it means."""
    value = "" if action.nargs == 0 else str(action.metavar or _choices(action) or action.dest.upper())
    if not action.option_strings:
        return value, action.help or ""
    return f"{', '.join(action.option_strings)} {value}".strip(), action.help or ""


def _choices(action: argparse.Action) -> str:
    return "|".join(map(str, action.choices or ()))


def _section(name: str, usage: str, about: str, options: Sequence[tuple[str, str]]) -> Iterator[str]:
    sentence = f"{about[:1].upper()}{about[1:]}".strip()
    yield f"### {name}\n\n```text\n{usage}\n```\n\n{sentence}{'' if sentence.endswith(('.', ')')) else '.'}\n"
    # What is only named is in the usage already.
    options = [(each, text) for each, text in options if text]
    if options:
        rows = [f"| `{_cell(each)}` | {_cell(text)} |" for each, text in options]
        yield "\n".join(["| argument | means |", "|---|---|", *rows, ""])


def _cell(text: str) -> str:
    """Return *text* on one line, as a cell of a table can hold it."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
