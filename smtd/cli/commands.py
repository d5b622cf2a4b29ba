"""The commands of `smtd`: click's, with help and errors in one form, and options before or after the verb."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import cleandoc
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from smtd.cli import help_page, streams
from smtd.cli.help_page import HelpPage, Row
from smtd.cli.parser import mistake
from smtd.cli.say import complain, complain_of
from smtd.cli.verb_groups import grouped, unknown
from smtd.errors import SmtdError
from smtd.spelling import did_you_mean

#: What newer versions of click raise if the verb is missing: its text is the whole help, on several lines.
_Help: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
#: The options that may stand before the verb, and whether a value follows.
_COMMON = {"--json": False, "--socket": True, "--config": True, "-c": True}


#: A function that becomes a command.
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
#: Options of many verbs.
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
NO_INPUT = click.option("--no-input", is_flag=True, help="Ask for nothing; fail instead.")


class Argument(click.Argument):
    """A positional argument with a line in the help."""

    def __init__(self, words: Sequence[str], about: str = "", **options: Any) -> None:
        super().__init__(words, **options)
        self.about = about


class _Mistake(click.UsageError):
    """A mistake in the words of a command, shown as one sentence; control characters are escaped."""

    def show(self, file: IO[Any] | None = None) -> None:
        assert self.ctx is not None
        complain(mistake(self.ctx.command_path, self.message))


@contextmanager
def _one_sentence(ctx: click.Context | None = None) -> Iterator[None]:
    """Turn click's errors about wrong words into sentences in the form of `smtd-ctl`."""
    try:
        yield
    except _Help:
        raise
    except _Mistake:
        raise
    except click.UsageError as exc:
        if (found := exc.ctx or ctx) is None:
            raise
        raise _Mistake(_sentence(exc, found), found) from None


def _sentence(exc: click.UsageError, ctx: click.Context) -> str:
    if isinstance(exc, click.NoSuchOption):
        known = [
            word for param in ctx.command.params if isinstance(param, click.Option) for word in param.opts
        ]
        return f"no option {exc.option_name!r}{did_you_mean(exc.option_name, known)}"
    message = exc.format_message().rstrip(".")
    hint = ""
    if (
        isinstance(exc, click.BadParameter)
        and exc.param is not None
        and isinstance(exc.param.type, click.Choice)
    ):
        value = re.search(r": '(.*)' is not one of ", message, re.DOTALL)
        hint = "" if value is None else did_you_mean(value[1], map(str, exc.param.type.choices))
    return f"{message[:1].lower()}{message[1:]}{hint}"


class Command(click.Command):
    """A command with the help of both programs."""

    #: Ways to call it, besides that of its own arguments.
    other_forms: Sequence[str] = ()

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> click.Context:
        with _one_sentence():
            return super().make_context(info_name, args, *rest, **more)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        help_page.write(self.page(ctx), formatter)

    def page(self, ctx: click.Context) -> HelpPage:
        """Return what the help says."""
        records = [
            record
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None
        ]
        arguments = [
            (param.human_readable_name, param.about)
            for param in self.get_params(ctx)
            if isinstance(param, Argument)
        ]
        form = " ".join(self.collect_usage_pieces(ctx))
        return HelpPage(
            *(ctx.command_path, [form, *self.other_forms], cleandoc(self.help or ""), arguments),
            *(self.command_rows(ctx), records, cleandoc(self.epilog or "")),
        )

    def command_rows(self, ctx: click.Context) -> list[tuple[str, list[Row]]]:
        """Return the commands below this one, in groups with a heading."""
        return []


class CommandGroup(Command, click.Group):
    """A group whose errors become one sentence on standard error, and an exit code."""

    command_class = Command
    group_class = type

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, with the options for the configuration file and the control socket."""
        known = {word for param in cmd.params for word in param.opts}
        cmd.params += [option for option in common_options() if known.isdisjoint(option.opts)]
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the help."""
        return [name for _, names in grouped(self.commands) for name in names]

    def command_rows(self, ctx: click.Context) -> list[tuple[str, list[Row]]]:
        """Return the commands in the groups of the help, or under one heading below the first level."""
        rows = {name: (name, command.get_short_help_str(100)) for name, command in self.commands.items()}
        if ctx.parent is not None:
            return [("Commands", list(rows.values()))]
        return [(heading, [rows[name] for name in names]) for heading, names in grouped(self.commands)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words up to the verb; options that the verb has, too, are left to it."""
        return super().parse_args(ctx, after_verb(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names. Raises UsageError that names the likely one."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise _Mistake(unknown(args[0], self.commands, ctx.command_path), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _one_sentence(ctx):
                return super().invoke(ctx)
        except SmtdError as exc:
            complain_of("smtd", exc)
            ctx.exit(exc.exit_code)
        except KeyboardInterrupt:
            complain("smtd: stopped; the next run continues from here")
            ctx.exit(130)

    def main(self, *words: Any, **options: Any) -> Any:
        streams.install()
        try:
            return super().main(*words, **{"prog_name": "smtd", **options})
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 0
            raise SystemExit(streams.exit_code(code, "smtd")) from None


def after_verb(words: Sequence[str]) -> list[str]:
    """Return *words* with the options before the verb that most verbs have moved behind it.

    So a verb that lacks the option rejects it in either place.
    """
    left, moved = list(words), list[str]()
    while left and (name := left[0].partition("=")[0]) in _COMMON:
        taken = 2 if _COMMON[name] and "=" not in left[0] else 1
        moved += left[:taken]
        del left[:taken]
    if not left or left[0].startswith("-"):
        return list(words)
    return [left[0], *moved, *left[1:]]


def named_configuration(words: Sequence[str]) -> Path | None:
    """Return the configuration file that *words* name with the option (None: none)."""
    found = None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-c", "--config"):
            found = following
        elif word.startswith("--config="):
            found = word.partition("=")[2]
    return None if found is None else Path(found)


def json_option() -> click.Option:
    """Return the option for JSON before a verb, which the verb takes over."""
    return click.Option(
        ["--json"], is_flag=True, expose_value=False, help="Print one JSON object and nothing else."
    )


def common_options() -> list[click.Option]:
    """Return the options for the configuration file and the control socket, which each command has."""
    file = click.Path(path_type=Path)
    return [
        click.Option(
            ["-c", "--config"],
            metavar="FILE",
            type=file,
            expose_value=False,
            callback=_use_configuration,
            help="The configuration file.",
        ),
        click.Option(
            ["--socket"], metavar="FILE", expose_value=False, callback=_use_socket, help="The control socket."
        ),
    ]


def _use_configuration(ctx: click.Context, _option: click.Parameter, file: Path | None) -> None:
    """Store the configuration file for the command."""
    if file is not None:
        ctx.obj = file


def _use_socket(_ctx: click.Context, _option: click.Parameter, file: str | None) -> None:
    """Let all that asks the daemon in this process find the socket, as with this variable outside."""
    if file is not None:
        os.environ["SMTD_SOCKET"] = file
