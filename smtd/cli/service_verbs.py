"""The subcommands of `smtd service`. Each imports `service.py`, which implements them, when it is run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from smtd.cli.commands import JSON, Command, Decorated


def _options(command: Decorated) -> Decorated:
    """Add the options of all subcommands to *command*."""
    for option in (
        JSON,
        click.option("--system", is_flag=True, help="The service of the machine. [default for root]"),
        click.option("--user", is_flag=True, help="The service of this user. [default for others]"),
    ):
        command = option(command)
    return command


@click.command(cls=Command)
@_options
@click.pass_obj
def install(config: Path | None, /, user: bool, system: bool, as_json: bool) -> None:
    """Run smtd as a service of systemd, from now on and at each start.

    It writes the unit with the path of this program, enables it and starts it. The service of the machine
    runs as the user smtd, which is created, and uses /etc/smtd/config.toml. A second run changes nothing,
    unless smtd is in another place now. Where systemd does not run, it says what to do.
    """
    from smtd.cli import service

    sys.exit(service.install(service.of(user=user, system=system), config, as_json=as_json))


@click.command(cls=Command)
@_options
def uninstall(user: bool, system: bool, as_json: bool) -> None:
    """End the service, and remove its unit.

    Configuration, state and stores stay as they are.
    """
    from smtd.cli import service

    sys.exit(service.uninstall(service.of(user=user, system=system), as_json=as_json))


@click.command(cls=Command)
@_options
def status(user: bool, system: bool, as_json: bool) -> None:
    """Say whether the service is installed, enabled and running.

    Exit code 3: it does not run.
    """
    from smtd.cli import service

    sys.exit(service.status(service.of(user=user, system=system), as_json=as_json))


VERBS = (install, uninstall, status)
