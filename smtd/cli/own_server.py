"""The settings of smtd's own server, from the configuration and the command line of `smtd serve`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from smtd import configured_server
from smtd.cli import passwords
from smtd.cli.state import configuration_file, state_directory, usual_files
from smtd.cli.stores import located
from smtd.config import Config, ServerConfig, StoreConfig
from smtd.daemon.own_server import WantedServer
from smtd.errors import UsageError
from smtd.filestat import signature
from smtd.paths import expanded
from smtd.server import passed_sockets
from smtd.server.accounts.rights import Right
from smtd.server.server_settings import ServerSettings
from smtd.stores.access import NO_SETTINGS
from smtd.stores.location import Location


def only_serving(config: Config, location: str | None, listen: str | None) -> Config:
    """Return *config* without pairs and with a server, which serves *location* on *listen* if they are given.

    Raises UsageError if *listen* is not an address.
    """
    server = config.server or ServerConfig()
    if location is not None:
        server = msgspec.structs.replace(server, store=location)
    if listen is not None:
        _check_listen(listen)
        server = msgspec.structs.replace(server, listen=listen)
    return msgspec.structs.replace(config, pairs={}, server=server)


def server_directory(state: Path) -> Path:
    """Return the directory of the server's own files in the state directory."""
    return state / "server"


def _check_listen(listen: str) -> None:
    try:
        configured_server.address(listen)
    except ValueError:
        raise UsageError(f"{listen!r} is not an address such as 127.0.0.1:8471") from None


def wanted_server(
    config: Config,
    chosen: Path | None,
    state: Path,
    passwords: Callable[[str, StoreConfig], str | None] = passwords.secret,
    sockets: Sequence[socket.socket] = (),
) -> WantedServer | None:
    """Return the server that *config*, from the file *chosen*, asks for (None: none). Blocks.

    *state*: the state directory, which has the store if *config* names none. *passwords* finds those of
    configured stores. *sockets*: those that systemd passes. Raises SmtdError.
    """
    server = config.server
    if server is None:
        return None
    host, port = configured_server.address(server.listen)
    passed_sockets.check(sockets, server.listen)
    store = served_store(server, config, state, passwords)
    settings = ServerSettings(
        store,
        host,
        port,
        "" if server.url is None else configured_server.root(server.url),
        tuple(server.proxy),
        None if server.cert_file is None else expanded(server.cert_file),
        None if server.key_file is None else expanded(server.key_file),
        Right.of(server.anonymous),
        tuple(sockets),
        server_directory(state) / "pages.sqlite",
    )
    settings.check()
    access = NO_SETTINGS if isinstance(store, Path) else store.access
    certificate = signature([] if settings.cert_file is None else [settings.cert_file])
    return WantedServer(settings, users_file(server, chosen), certificate, access)


def own_store(state: Path) -> Path:
    """Return the path of the store that the server creates for itself in the state directory."""
    return server_directory(state) / "records.sqlite"


def served_store(
    server: ServerConfig,
    config: Config,
    state: Path,
    passwords: Callable[[str, StoreConfig], str | None] = passwords.secret,
) -> Path | Location:
    """Return the SQLite file to serve, or the location of a database on a server.

    Raises UsageError if the configured store cannot be served.
    """
    if server.store is None:
        return own_store(state)
    location = located(server.store, config, None, may_be_new=True, passwords=passwords)
    return as_served(location)


def chosen_store(word: str | None, config: Config) -> Path | Location | None:
    """Return the store that *word* names, else the one of the server; None if its file does not exist yet.

    Raises UsageError if smtd cannot serve such a store, and as `located` does.
    """
    if word is not None:
        return as_served(located(word, config, None))
    store = served_store(config.server or ServerConfig(), config, state_directory(None, config))
    return store if not isinstance(store, Path) or store.is_file() else None


def as_served(location: Location) -> Path | Location:
    """Return *location*, or its file, as `served_store` does. Raises UsageError if smtd cannot serve it."""
    if not location.is_served:
        raise UsageError(
            f"{location} cannot be served: it is no SQLite file, and no PostgreSQL, MySQL or MariaDB database"
            " of Sumatra 0.8.1; serve a new store, and sync this one with it"
        )
    return location if location.driver.files is None else location.path.absolute()


def users_file(server: ServerConfig, chosen: Path | None) -> Path:
    """Return the users file of *server*, else the file `users` beside the configuration file in use.

    *chosen* is that configuration file (None: the usual one).
    """
    if server.users_file is not None:
        return expanded(server.users_file)
    return (configuration_file(chosen) or usual_files()[0]).with_name("users")
