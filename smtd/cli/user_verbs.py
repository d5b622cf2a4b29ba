"""The subcommands of `smtd user`. They are implemented in `user.py`, which is imported when one is run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from smtd.cli.commands import JSON, NO_INPUT, Argument, Command

_USERS = click.option(
    "--users",
    metavar="FILE",
    type=click.Path(path_type=Path, readable=False),
    help="The users file. [default: users_file in the configuration, else users beside it]",
)
_PASSWORD_STDIN = click.option(
    "--password-stdin",
    is_flag=True,
    help="Take the password from the first line of standard input. [default: ask for it on the terminal]",
)
_STORE = click.option(
    "--store",
    metavar="LOCATION",
    help="The store of the server: its location, or its name. [default: the one that smtd serve uses]",
)
#: Lets `_Verb` reject extra arguments: one is most likely a password, which an error must not show.
_MORE_WORDS = {"allow_extra_args": True}


class _Verb(Command):
    """A subcommand whose error about extra arguments does not repeat them."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.args:
            raise click.UsageError(
                "too many arguments; give no password here, where others can see it: smtd asks for it",
                ctx,
            )
        return super().invoke(ctx)


def _verb(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    return click.command(name, cls=_Verb, context_settings=_MORE_WORDS)


@_verb("add")
@click.argument("name", cls=Argument, about="The name of the user.")
@click.option("--admin", is_flag=True, help="Grant all rights in every project.")
@click.option(
    "--read-all", is_flag=True, help="Grant read access to every project: the same as --project '*:read'."
)
@click.option("--write-all", is_flag=True, help="Grant write access to every project, including future ones.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="NAME:RIGHT",
    help="Grant this right (read, write or owner) in a project (repeatable; '*' means all).",
)
@_PASSWORD_STDIN
@_STORE
@NO_INPUT
@_USERS
@click.pass_obj
def add(
    config: Path | None, /, users: Path | None, store: str | None, no_input: bool, **options: Any
) -> None:
    """Add the user NAME with a password.

    Every user can create projects, and owns them. Other projects require a right: see smtd user grant.
    """
    from smtd.cli import user

    place = user.store_of(store, config, may_ask=not no_input)
    sys.exit(user.add(user.users_path(users, config), place, may_ask=not no_input, **options))


@_verb("password")
@click.argument("name", cls=Argument, about="The name of the user.")
@_PASSWORD_STDIN
@_USERS
@click.pass_obj
def password(config: Path | None, /, users: Path | None, **options: Any) -> None:
    """Change the password of the user NAME."""
    from smtd.cli import user

    sys.exit(user.change_password(user.users_path(users, config), **options))


@_verb("token")
@click.argument("name", cls=Argument, about="The name of the user.")
@click.option(
    "--expires", metavar="DURATION", help="How long the token is valid, such as 90d. [default: no limit]"
)
@click.option("--revoke", is_flag=True, help="Revoke all other tokens of this user.")
@_USERS
@click.pass_obj
def token(config: Path | None, /, users: Path | None, **options: Any) -> None:
    """Print a new token for the user NAME, once.

    A token logs a user in without their password. Put it into the token_file of a store, have its
    token_command print it, or use it in place of the password. It has only characters that Sumatra accepts
    in an address.
    """
    from smtd.cli import user

    sys.exit(user.add_token(user.users_path(users, config), **options))


@_verb("list")
@JSON
@_STORE
@NO_INPUT
@_USERS
@click.pass_obj
def list_users(
    config: Path | None, /, users: Path | None, store: str | None, as_json: bool, no_input: bool
) -> None:
    """List the users, with their rights."""
    from smtd.cli import user

    place = user.store_of(store, config, may_ask=not no_input)
    sys.exit(user.list_users(user.users_path(users, config), place, as_json=as_json))


@_verb("remove")
@click.argument("name", cls=Argument, about="The name of the user.")
@_STORE
@NO_INPUT
@_USERS
@click.pass_obj
def remove(config: Path | None, /, users: Path | None, name: str, store: str | None, no_input: bool) -> None:
    """Remove the user NAME.

    A running server rejects them within a second. Their rights in projects are removed, too; the projects
    stay.
    """
    from smtd.cli import user

    place = user.store_of(store, config, may_ask=not no_input)
    sys.exit(user.remove(user.users_path(users, config), name, place))


@_verb("grant")
@click.argument("name", cls=Argument, about="The name of the user.")
@click.argument("project", cls=Argument, about="The project; '*' means all.")
@click.argument(
    "right",
    cls=Argument,
    type=click.Choice(("read", "write", "owner", "none")),
    about="The right; none takes it away.",
)
@_STORE
@NO_INPUT
@_USERS
@click.pass_obj
def grant(
    config: Path | None, /, users: Path | None, store: str | None, no_input: bool, **options: str
) -> None:
    """Set the RIGHT of the user NAME in PROJECT; '*' means all projects.

    The owner of a project can delete it and grant others rights in it. A running server applies this at once.
    """
    from smtd.cli import user

    place = user.store_of(store, config, may_ask=not no_input)
    sys.exit(user.grant(user.users_path(users, config), store=place, **options))


VERBS = (add, password, token, list_users, remove, grant)
