"""`smtd run` and `smtd serve`: the daemon, in the foreground."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from smtd.cli import check_tls, gc_tuning, greeting, logs
from smtd.cli.own_server import only_serving, server_directory, wanted_server
from smtd.cli.proxies import proxy_for
from smtd.cli.say import complain
from smtd.cli.socket_path import new_socket_path
from smtd.cli.state import configuration, configuration_file, no_configuration, state_directory
from smtd.cli.stores import Passwords, located
from smtd.config import Config
from smtd.daemon import added, malloc
from smtd.daemon.daemon import Dependencies
from smtd.daemon.service import run
from smtd.daemon.settings import PairSettings
from smtd.errors import UsageError
from smtd.stores.location import Location
from smtd.systemd import Notifier, passed_sockets

log = logging.getLogger("smtd")

#: The most seconds that an orderly shutdown may take.
GRACE = 2.0


@dataclass(frozen=True, slots=True)
class Serving:
    """Sync no pairs; serve the store at *location* on the address *listen* (None: as configured)."""

    location: str | None = None
    listen: str | None = None


def main(config: Path | None, control: str | None, serving: Serving | None = None) -> int:
    """Run the daemon until it is stopped, and return the exit code."""
    found = _configuration(config, serving)
    state = state_directory(None, found).absolute()
    # A server has a state and a socket of its own: it may run beside a daemon of the same user.
    own_state = state if serving is None else server_directory(state)
    _log(found)
    passwords = Passwords()
    sockets = _passed_sockets()
    if serving is None and configuration_file(config) is None and not (state / added.FILE).exists():
        log.warning("there are no pairs to sync: %s", no_configuration())
    if sockets and found.server is None:
        log.warning("systemd listens for a server, but there is no [server]: clients get no answer")

    def load() -> Config:
        passwords.forget()
        fresh = _configuration(config, serving)
        _check(fresh)
        return fresh

    def apply(fresh: Config) -> None:
        log.setLevel(fresh.daemon.log_level.upper())
        if fresh.daemon.state_dir != found.daemon.state_dir:
            log.warning("state_dir has changed; restart smtd to use the new one")

    def locate(word: str, config: Config) -> Location:
        return located(word, config, None, may_be_new=True, passwords=passwords)

    microseconds = os.environ.get("WATCHDOG_USEC", "")
    dependencies = Dependencies(
        own_state,
        Path(new_socket_path(control, is_server=serving is not None)),
        load,
        locate,
        passwords.forget,
        Notifier(os.environ.get("NOTIFY_SOCKET")),
        int(microseconds) / 1e6 if microseconds.isdigit() else None,
        _end_at_the_latest,
        proxy_for,
        lambda config_now: wanted_server(config_now, config, state, passwords, sockets),
        keeps_pairs=serving is None,
        apply=apply,
        started=partial(_greet, config, control, keeps_pairs=serving is None),
    )
    gc_tuning.tune()
    malloc.limit_arenas()
    anyio.run(partial(run, dependencies))
    return 0


def _check(config: Config) -> None:
    """Report now what would show only at the first notification, or to a client of the server. Blocks.

    Raises UsageError for a wrong proxy.
    """
    for url in filter(None, (config.notify.webhook, config.notify.heartbeat_url)):
        proxy_for(url)
    if config.server is not None:  # it serves all the same: smt accepts any certificate
        for problem in check_tls.problems_of(config.server):
            log.warning("%s", problem)


def _greet(
    config: Path | None, control: str | None, pairs: Sequence[PairSettings], *, keeps_pairs: bool
) -> None:
    """Tell a person at a terminal what runs, and how to look at it and to stop it."""
    if sys.stderr.isatty():
        found = greeting.lines(
            configuration_file(config),
            new_socket_path(control, is_server=not keeps_pairs),
            pairs,
            is_usual=control is None and "SMTD_SOCKET" not in os.environ,
            keeps_pairs=keeps_pairs,
        )
        for line in found:
            complain(line)


def _configuration(chosen: Path | None, serving: Serving | None) -> Config:
    found = configuration(chosen)
    return found if serving is None else only_serving(found, serving.location, serving.listen)


def _passed_sockets() -> list[socket.socket]:
    """Return the sockets that systemd passes. Raises UsageError if something else is passed."""
    try:
        return passed_sockets(os.environ)
    except OSError as exc:
        raise UsageError(f"systemd passes what is no socket ({exc.strerror}); see the socket unit") from exc


def _end_at_the_latest() -> None:
    """End the process after GRACE seconds, even if a thread still waits for a lock, name server or command.

    Nothing is lost by that: the next start finishes what a cycle has begun, as after a crash.
    """
    end = threading.Timer(GRACE, os._exit, (0,))
    end.daemon = True
    end.start()


def _log(config: Config) -> None:
    formatter = (
        logs.SystemdFormatter("%(message)s")
        if os.environ.get("JOURNAL_STREAM")
        else logs.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    handler = logs.handler(sys.stderr, formatter)
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    log.setLevel(config.daemon.log_level.upper())
