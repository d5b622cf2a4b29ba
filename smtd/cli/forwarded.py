"""The verbs of `smtd-ctl` as commands of `smtd`: the same code parses their words and carries them out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from smtd.cli import ctl
from smtd.cli.commands import Command, CommandGroup, after_verb, json_option, named_configuration
from smtd.cli.help_page import HelpPage, Row
from smtd.cli.parser import VerbParser, usage_piece
from smtd.errors import SmtdError, UsageError

#: The program that the messages name.
_PROGRAM = "smtd"


class ForwardedVerb(Command):
    """A verb of `smtd-ctl`, called by *words* after the program.

    Its options and arguments are those of the parser there, for completions and man pages.
    """

    def __init__(self, words: Sequence[str], parser: VerbParser) -> None:
        super().__init__(
            words[-1],
            params=[*map(_argument, parser.positionals), *_options(parser)],
            help=parser.description,
            short_help=(parser.description or "").partition("\n")[0],
        )
        self._words = list(words)
        self._parser = parser

    def page(self, ctx: click.Context) -> HelpPage:
        """Return what the help of `smtd-ctl` says of the verb."""
        return self._parser.page()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words for `smtd-ctl`; only a completion needs their meaning here."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> None:
        sys.exit(ctl.run([*self._words, *ctx.args], _PROGRAM))


class SyncCommand(Command):
    """`smtd sync`: one sync of two stores, or with `now` or `plan` as the first word a verb of the daemon."""

    other_forms = ("now|plan [OPTIONS] [PAIR]...",)

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        group = commands()["sync"]
        assert isinstance(group, click.Group)
        #: The verbs of the daemon, by name.
        self.commands = dict(group.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options and the two locations, unless the first word is a verb of the daemon."""
        words = after_verb(args)
        if words and words[0] in self.commands and not ctx.resilient_parsing:
            refuse_name_of_store(words[0], named_configuration(words) or ctx.obj)
            ctx.args = words
            return words
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            raise click.UsageError(
                "name two stores to sync once (smtd sync LEFT RIGHT), or use smtd sync now to have the daemon"
                " sync its pairs",
                ctx,
            ) from None

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.args:
            return super().invoke(ctx)
        name, *words = ctx.args
        with self.commands[name].make_context(name, words, parent=ctx) as below:
            return self.commands[name].invoke(below)

    def command_rows(self, ctx: click.Context) -> list[tuple[str, list[Row]]]:
        """Return the verbs of the daemon."""
        return [("Commands", [(name, each.get_short_help_str(100)) for name, each in self.commands.items()])]


def refuse_name_of_store(verb: str, file: Path | None) -> None:
    """Raise UsageError if a store is called like the *verb*: nobody can tell which of the two is meant.

    *file* is the configuration that the user named. Blocks.
    """
    from smtd.cli.state import configuration

    try:
        config = configuration(file)
    except SmtdError:  # the daemon does not need it now
        config = None
    daemon = f"to ask the daemon, run smtd-ctl sync {verb}"
    if config is not None and verb in config.stores:
        raise UsageError(f"{verb} is a store of the configuration, too: write smtd sync -- {verb}; {daemon}")
    try:
        here = [name for name in os.listdir() if name == verb or name.startswith(f"{verb}.")]
    except OSError:  # the current directory is gone: nothing in it can be meant
        return
    if here:
        from smtd.stores.discovery import find  # here: it takes longer than all else

        try:
            found = find(verb)
        except SmtdError:
            return
        raise UsageError(f"{found} is a store, too: write smtd sync ./{verb} to sync it; {daemon}")


@cache
def commands() -> dict[str, click.Command]:
    """Return a command for each verb of `smtd-ctl`, by name; `sync` has two below it."""
    return {name: _command([name], parser) for name, parser in ctl.parser(_PROGRAM).verbs.items()}


def back_up_journal(file: Path, *, as_json: bool) -> int:
    """Copy the journal of the daemon to the new *file*, as `smtd-ctl backup` does; return the exit code."""
    return ctl.run(["backup", *(["--json"] if as_json else []), "--", str(file)], _PROGRAM)


def pair_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the pairs of the daemon whose names begin with *incomplete*; none if no daemon answers."""
    return [CompletionItem(name) for name in ctl.pair_names() if name.startswith(incomplete)]


def sync_verbs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what may follow `smtd sync` besides a location: the verbs of the daemon, files, directories."""
    verbs = [
        name for name in getattr(ctx.command, "commands", {}) if incomplete and name.startswith(incomplete)
    ]
    return [*map(CompletionItem, verbs), CompletionItem(incomplete, type="file")]


def sync_pairs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the pairs that may follow `smtd sync now`, else files and directories."""
    if ctx.params.get("left") in getattr(ctx.command, "commands", {}):
        return pair_names(ctx, param, incomplete)
    return [CompletionItem(incomplete, type="file")]


def _command(words: Sequence[str], parser: VerbParser) -> click.Command:
    if not parser.verbs:
        return ForwardedVerb(words, parser)
    group = CommandGroup(words[-1], help=parser.description, params=[json_option()])
    for name, below in parser.verbs.items():
        group.add_command(_command([*words, name], below))
    return group


def _argument(action: argparse.Action) -> click.Argument:
    many = action.nargs in ("*", "+")
    completed: dict[str, Any] = {"shell_complete": pair_names} if action.metavar == "PAIR" else {}
    return click.Argument(
        [action.dest],
        metavar=usage_piece(action),
        nargs=-1 if many else 1,
        required=action.nargs not in ("*", "?"),
        **completed,
    )


def _options(parser: VerbParser) -> Iterator[click.Option]:
    for action in parser.options:
        if action.dest == "help":
            continue
        shape: dict[str, Any] = {"metavar": action.metavar}
        if action.nargs == 0:
            shape = {"is_flag": True}
        elif action.choices:
            shape = {"type": click.Choice([*map(str, action.choices)])}
        yield click.Option(
            [*action.option_strings, action.dest], help=action.help, required=action.required, **shape
        )
