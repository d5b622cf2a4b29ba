"""The `smtd` command. Heavy imports wait until a command needs them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from smtd import __version__
from smtd.cli import logs, streams
from smtd.cli.say import complain, complain_of
from smtd.errors import SmtdError
from smtd.text import shown

_TIMEZONE = click.option(
    "--timezone",
    metavar="ZONE",
    help="Where the clocks of Sumatra before 0.8 stood, such as Europe/Paris. [default: as this machine's]",
)
MODES = ("two-way", "left-to-right", "right-to-left")


def _remember(ctx: click.Context, _option: click.Parameter, file: Path | None) -> None:
    """Keep the configuration for the command; the one after the verb counts, if it stands in both places."""
    if file is not None:
        ctx.obj = file


def _config_option() -> click.Option:
    """Return the option for the configuration, which stands before or after the verb."""
    return click.Option(
        ["-c", "--config"],
        metavar="FILE",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_remember,
        help="The configuration.",
    )


@contextmanager
def _showing() -> Iterator[None]:
    """Let what click says of wrong words show them, whatever they hold: they may be names of files."""
    try:
        yield
    except click.UsageError as exc:
        raise click.UsageError(shown(exc.format_message()), exc.ctx) from None


class _Command(click.Group):
    """A group whose errors are one sentence on standard error and an exit code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, which takes the configuration, too."""
        cmd.params.append(_config_option())
        super().add_command(cmd, name)

    def make_context(self, *words: Any, **options: Any) -> click.Context:
        with _showing():
            return super().make_context(*words, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _showing():
                return super().invoke(ctx)
        except SmtdError as exc:
            complain_of("smtd", exc)
            ctx.exit(exc.exit_code)
        except KeyboardInterrupt:
            complain("smtd: stopped; the next run goes on from here")
            ctx.exit(130)

    def main(self, *words: Any, **options: Any) -> Any:
        streams.install()
        try:
            return super().main(*words, **options)
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 0
            raise SystemExit(streams.ended(code, "smtd")) from None


@click.group(
    cls=_Command, params=[_config_option()], context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="smtd")
def main() -> None:
    """Keep Sumatra record stores in sync.

    Exit codes: 0 done; 1 done, but something is left (a conflict, a hold, a failed record);
    2 wrong usage or configuration; 4 a store cannot be reached or read; 5 done, but the output
    cannot be written.
    """
    handler = logs.handler(sys.stderr, logs.Formatter("smtd: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


@main.command()
@click.argument("left")
@click.argument("right", required=False)
@click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="NAME",
    help="Only this project; repeatable; '*' is all. [default: that of a project directory, else all]",
)
@click.option(
    "--mode", type=click.Choice(MODES), default="two-way", show_default=True, help="Which way changes travel."
)
@click.option(
    "--deletes",
    type=click.Choice(("propagate", "keep")),
    default="propagate",
    show_default=True,
    help="Whether a record deleted on one side is deleted on the other.",
)
@click.option(
    "--conflicts",
    type=click.Choice(("ask", "left", "right", "newest")),
    default="ask",
    show_default=True,
    help="Which record wins where both sides changed one; the other is in the history.",
)
@click.option(
    "--unfinished",
    type=click.Choice(("hold", "mirror")),
    default="hold",
    show_default=True,
    help="Whether a record waits until its run is over.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Read every record of a server again, to see edits there. [default: the newest, others in turn]",
)
@_TIMEZONE
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--state",
    metavar="DIR",
    type=click.Path(path_type=Path, readable=False),
    help="Where the journal is kept.",
)
@click.pass_obj
def sync(config: Path | None, /, left: str, right: str | None, as_json: bool, **options: Any) -> None:
    """Bring LEFT and RIGHT in sync, once.

    LEFT and RIGHT are project directories, shelves, SQLite files, exports (.json), addresses of
    Sumatra Servers (http://…, https://…) or databases (postgresql://…, mysql://…, mariadb://…), or
    names of configured stores. A project directory means its project only. Without RIGHT: the store of
    the current Sumatra project, and only that project. The pair is remembered, so that the next call
    carries edits and deletions too.
    """
    from smtd.cli.sync import Request, run

    request = Request(left=left, right=right, config=config, **options)
    sys.exit(run(request, as_json=as_json))


@main.command("list")
@click.argument("location")
@click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="NAME",
    help="Only this project; repeatable; '*' is all. [default: that of a project directory, else all]",
)
@_TIMEZONE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.pass_obj
def list_records(
    config: Path | None, /, location: str, projects: tuple[str, ...], timezone: str | None, as_json: bool
) -> None:
    """List the records of the store at LOCATION."""
    from smtd.cli.list_records import run

    sys.exit(run(location, projects, timezone=timezone, config=config, as_json=as_json))


@main.command()
@click.option("--socket", metavar="FILE", help="The control socket.")
@click.pass_obj
def run(config: Path | None, /, socket: str | None) -> None:
    """Run the daemon in the foreground, as systemd does.

    It keeps the pairs of the configuration in step until it is stopped (smtd-ctl stop, or SIGTERM).
    """
    from smtd.cli.run import main as serve

    sys.exit(serve(config, socket))


@main.command()
@click.option("--create", is_flag=True, help="Give new, empty databases on servers Sumatra's tables.")
@click.option(
    "--install-notify",
    is_flag=True,
    help="Let the PostgreSQL databases with notify = true tell of changes, by triggers on Sumatra's tables.",
)
@click.option("--remove-notify", is_flag=True, help="Remove such triggers from all PostgreSQL databases.")
@click.pass_obj
def check(config: Path | None, /, **asked: bool) -> None:
    """Check the configuration, and reach every store in it."""
    from smtd.cli.check import Asked
    from smtd.cli.check import run as inspect

    sys.exit(inspect(config, Asked(**asked)))


@main.command()
def demo() -> None:
    """Show smtd at work on sample stores in a temporary directory."""
    from smtd.cli.demo import main as play

    sys.exit(play())
