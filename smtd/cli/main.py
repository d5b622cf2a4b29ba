"""The `smtd` command. Slow imports are delayed until a command needs them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from smtd import __version__
from smtd.cli import ctl, forwarded, logs, service_verbs, user_verbs
from smtd.cli.commands import (
    JSON,
    NO_INPUT,
    Argument,
    CommandGroup,
    Decorated,
    common_options,
    json_option,
)

_TIMEZONE = click.option(
    "--timezone",
    metavar="ZONE",
    help="Time zone of times written by Sumatra before 0.8, such as Europe/Paris. [default: this machine's]",
)
_PROJECTS = click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="NAME",
    help="Only this project (repeatable; '*' means all). [default: a project directory's own, else all]",
)
_SOCKET = click.option("--socket", metavar="FILE", help="The control socket.")


def _choice(name: str, words: Sequence[str], text: str) -> Callable[[Decorated], Decorated]:
    """Return an option that takes one of *words*; the first is the default."""
    return click.option(name, type=click.Choice(words), default=words[0], show_default=True, help=text)


@click.group(
    cls=CommandGroup,
    params=[json_option(), *common_options()],
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Exit codes: 0 done; 1 done, but something remains (a conflict, a hold, a failed record);
    2 wrong usage or configuration; 3 no daemon answers; 4 a store cannot be reached or read; 5 done, but the
    output cannot be written.""",
)
@click.version_option(__version__, prog_name="smtd", help="Show the version and exit.")
def main() -> None:
    """Keep Sumatra record stores in sync.

    The options below may stand before the command or after it. smtd-ctl has the commands that need a running
    daemon, and starts faster.
    """
    handler = logs.handler(sys.stderr, logs.Formatter("smtd: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


@main.command(cls=forwarded.SyncCommand)
@click.argument("left", cls=Argument, about="The first store.", shell_complete=forwarded.sync_verbs)
@click.argument(
    "right",
    cls=Argument,
    required=False,
    about="The second store. [default: the current project's]",
    shell_complete=forwarded.sync_pairs,
)
@_PROJECTS
@_choice("--mode", *ctl.CHOICES["--mode"])
@_choice("--deletes", *ctl.CHOICES["--deletes"])
@_choice(
    "--conflicts",
    ("ask", "left", "right", "newest"),
    "Which record wins if both sides changed it; the history keeps the other.",
)
@_choice("--unfinished", *ctl.CHOICES["--unfinished"])
@click.option(
    "--verify",
    is_flag=True,
    help="Read every record of a server again to find edits. [default: the newest, and the others in turn]",
)
@_TIMEZONE
@click.option("--dry-run", is_flag=True, help="Show what would be done, without doing it.")
@JSON
@click.option(
    "--state",
    metavar="DIR",
    type=click.Path(path_type=Path, readable=False),
    help="Directory of the journal.",
)
@NO_INPUT
@click.pass_obj
def sync(config: Path | None, /, left: str, right: str | None, as_json: bool, **options: Any) -> None:
    """Sync two stores once; or now: have the daemon sync.

    LEFT and RIGHT are project directories, shelves, SQLite files, exports (.json), addresses of
    Sumatra Servers (http://…, https://…) or databases (postgresql://…, mysql://…, mariadb://…), or
    names of configured stores. A project directory selects only its project. Without RIGHT, smtd syncs
    LEFT with the store of the current Sumatra project, and only that project. smtd remembers the pair,
    so the next sync also carries over edits and deletions. To sync a store that is called now or plan,
    write ./now, or -- before it.
    """
    from smtd.cli.sync import Request, run

    request = Request(left=left, right=right, config=config, **options)
    sys.exit(run(request, as_json=as_json))


@main.command("list")
@click.argument("location", cls=Argument, about="The store.")
@_PROJECTS
@_TIMEZONE
@JSON
@NO_INPUT
@click.pass_obj
def list_records(
    config: Path | None, /, location: str, projects: tuple[str, ...], timezone: str | None, **options: bool
) -> None:
    """List the records of the store at LOCATION."""
    from smtd.cli.list_records import run

    sys.exit(run(location, projects, timezone=timezone, config=config, **options))


@main.command()
@_SOCKET
@click.pass_obj
def run(config: Path | None, /, socket: str | None) -> None:
    """Run the daemon in the foreground, as systemd does.

    It keeps the configured pairs in sync until you stop it (smtd stop, or SIGTERM).
    """
    from smtd.cli.run import main as serve

    sys.exit(serve(config, socket))


@main.command()
@click.argument("location", cls=Argument, required=False, about="The store. [default: one of its own]")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Address to listen on. [default: listen in the configuration, else 127.0.0.1:8471]",
)
@_SOCKET
@click.pass_obj
def serve(config: Path | None, /, location: str | None, listen: str | None, socket: str | None) -> None:
    """Serve the records of a store over HTTP, in the foreground.

    LOCATION is an SQLite store of Sumatra 0.8.1, a database (postgresql://user@host/name, mysql://… or
    mariadb://…), or the name of a configured store; a new file (.sqlite) is created, and so are tables in an
    empty database. Without it, smtd serves a store of its own, in its state directory. Sumatra's clients and
    smtd reach it at http://HOST:PORT/records/, as a user created with smtd user add. It uses [server] of the
    configuration, and syncs no pairs; smtd run does both. Both take over a socket of systemd that listens on
    the same address.
    """
    from smtd.cli.run import Serving
    from smtd.cli.run import main as run_daemon

    sys.exit(run_daemon(config, socket, Serving(location, listen)))


@main.command()
@JSON
@click.pass_obj
def init(config: Path | None, /, *, as_json: bool) -> None:
    """Write a commented configuration where there is none.

    It shows every key, and only you can read it. In the directory of a project, it has this project as its
    first store. An existing file is never overwritten; -c names another one.
    """
    from smtd.cli.new_config import run as write

    sys.exit(write(config, as_json=as_json))


@main.command()
@click.argument("target", cls=Argument, about="The store on the other side.")
@click.option("--name", metavar="PAIR", help="The name of the pair. [default: that of the project]")
@click.option("--user", metavar="NAME", help="The user at a server. [default: asks]")
@click.option(
    "--password-file",
    metavar="FILE",
    type=click.Path(path_type=Path, readable=False),
    help="A file with the password or token of the user. [default: asks, and makes one]",
)
@click.option("--yes", is_flag=True, help="Set it up without asking.")
@NO_INPUT
@JSON
@click.pass_obj
def mirror(config: Path | None, /, target: str, **options: Any) -> None:
    """Mirror the current project to TARGET, continuously.

    TARGET is an address (https://…, postgresql://…), an SQLite file, a project directory, or the name of a
    configured store. smtd logs in, shows what the first sync will do, adds the pair to the configuration,
    starts the daemon if it is a service, and waits for the first sync. A second run says that it is set up.
    """
    from smtd.cli.mirror import run
    from smtd.cli.mirror_setup import MirrorRequest

    sys.exit(run(MirrorRequest(target, config, **options)))


@main.command()
@click.argument(
    "pair",
    cls=Argument,
    required=False,
    about="The pair. [default: that of the current project]",
    shell_complete=forwarded.pair_names,
)
@click.pass_obj
def unmirror(config: Path | None, /, pair: str | None) -> None:
    """Stop syncing PAIR, and remove it from the configuration.

    Without PAIR, it is that of the current project. Both stores stay as they are.
    """
    from smtd.cli.mirror import remove

    sys.exit(remove(config, pair))


@main.command()
@click.argument("pair", cls=Argument, required=False, about="The pair. [default: lists all]")
@click.option("--yes", is_flag=True, help="Forget it without asking.")
@NO_INPUT
@JSON
@click.pass_obj
def forget(config: Path | None, /, pair: str | None, **options: bool) -> None:
    """Remove what the journal remembers of a pair.

    PAIR is no longer configured: smtd unmirror, or smtd pair remove, comes first. smtd shows what goes, and
    asks. What smtd wrote to this pair can then no longer be undone or restored. Both stores stay as they are.
    If the pair is set up again, smtd compares the stores as if for the first time, and deletes nothing.
    Without PAIR, it lists what the journal remembers.
    """
    from smtd.cli.forget import ForgetRequest, run

    sys.exit(run(ForgetRequest(pair, config, **options)))


@main.command()
@click.argument("file", cls=Argument, type=click.Path(path_type=Path, readable=False), about="The new file.")
@click.option(
    "--journal", is_flag=True, help="Copy the journal of the daemon instead, as smtd-ctl backup does."
)
@click.option(
    "--store",
    metavar="LOCATION",
    help="The store: an SQLite file, or its name. [default: the one that smtd serve uses]",
)
@JSON
@click.pass_obj
def backup(config: Path | None, /, file: Path, store: str | None, *, journal: bool, as_json: bool) -> None:
    """Copy the server's store, or the daemon's journal, to a file.

    Without --journal it is the store of smtd's own server, which keeps running. The copy has all records, the
    rights in single projects, and the numbers of the feed; copy the users file as well. (smtd-ctl backup
    always copies the journal.)
    """
    if journal and store is not None:
        raise click.UsageError("--journal and --store exclude each other; give one of them")
    if journal:
        sys.exit(forwarded.back_up_journal(file, as_json=as_json))
    from smtd.cli.backup import run as copy

    sys.exit(copy(config, store, file, as_json=as_json))


@main.command()
@click.option("--create", is_flag=True, help="Create Sumatra's tables in empty server databases.")
@click.option(
    "--install-notify",
    is_flag=True,
    help="Install change triggers on Sumatra's tables in PostgreSQL databases with notify = true.",
)
@click.option("--remove-notify", is_flag=True, help="Remove these triggers from all PostgreSQL databases.")
@JSON
@NO_INPUT
@click.pass_obj
def check(config: Path | None, /, as_json: bool, no_input: bool, **changes: bool) -> None:
    """Check the configuration, and whether each pair could sync.

    smtd opens, reads and tries to write to each store, as far as that leaves no trace.
    """
    from smtd.cli.check import run as inspect
    from smtd.cli.check_stores import DatabaseChanges

    sys.exit(inspect(config, DatabaseChanges(**changes), as_json=as_json, no_input=no_input))


@main.command()
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, readable=False),
    help="Write to the new FILE, which only you can read.",
)
@JSON
@click.pass_obj
def doctor(config: Path | None, /, output: Path | None, as_json: bool) -> None:
    """Collect what a bug report needs, without secrets.

    Versions, configuration, state directory, daemon, log, stores, disks and limits. It changes nothing.
    """
    from smtd.cli.doctor import run as examine

    sys.exit(examine(config, output, as_json=as_json))


@main.command()
@click.option("--keep", is_flag=True, help="Keep the directory, and print how to go on with it.")
def demo(keep: bool) -> None:
    """Demonstrate smtd on sample stores in a temporary directory.

    It plays real commands: a sync by the daemon, edits, a deletion and its undo, a conflict and its
    resolution. On a terminal it also opens the page of the daemon in a browser, or prints a link to it, and
    ends when you press Enter. Then it removes the directory.
    """
    from smtd.cli.demo import main as play

    sys.exit(play(keep=keep))


@main.group()
def user() -> None:
    """Manage the users of smtd's own server."""


for _verb in user_verbs.VERBS:
    user.add_command(_verb)


@main.group()
def service() -> None:
    """Run smtd as a service of systemd."""


for _verb in service_verbs.VERBS:
    service.add_command(_verb)
for _name, _forwarded in forwarded.commands().items():
    if _name not in main.commands:
        main.add_command(_forwarded)
