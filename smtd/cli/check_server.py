"""`smtd check` for the section [server]: could the server start as configured, and who could reach it?

Nothing is changed: no store is created, and no client is served.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from anyio import to_thread

from smtd import configured_server, denied
from smtd.cli import check_tls
from smtd.cli.check_report import PartFinding
from smtd.cli.own_server import served_store, users_file
from smtd.cli.state import state_directory
from smtd.config import Config, ServerConfig
from smtd.errors import SmtdError, StoreRefused, StoreUnreachable, UsageError
from smtd.output.counts import plural
from smtd.server import store_lock
from smtd.server.accounts import users_file as users
from smtd.server.opening import ServedState, served_state, users_in_use
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.stores.registry import open_store

#: Seconds to wait for an answer from a server that already listens at the address.
PATIENCE = 3.0


async def check(config: Config, server: ServerConfig, chosen: Path, unusable: Collection[str]) -> PartFinding:
    """Return what was found about *server* in *config*, from the file *chosen*.

    Does not check a store whose name is in *unusable*: its error is printed already.
    """
    found = PartFinding("server")
    found.errors += names(server)
    await to_thread.run_sync(_try_address, server, found)
    if server.store not in unusable:
        try:
            found.notes.append(await _store(config, server))
            if (difference := await _other_users(config, server, chosen)) is not None:
                found.errors.append(difference)
        except SmtdError as exc:
            found.errors.append(exc)
    await to_thread.run_sync(_count_users, server, chosen, found)
    found.errors += await to_thread.run_sync(lambda: [*check_tls.problems_of(server)])
    scheme = "http" if server.cert_file is None else "https"
    root = f"{scheme}://{server.listen}/" if server.url is None else configured_server.root(server.url)
    found.notes = [f"{root}records/  {'; '.join(found.notes)}".rstrip()]
    return found


def names(server: ServerConfig) -> Iterator[SmtdError]:
    """Yield the contradictions between `listen`, `url`, `proxy` and the certificate of *server*. Pure."""
    host, _ = configured_server.address(server.listen)
    is_local, has_tls = configured_server.is_loopback(host), server.cert_file is not None
    near = [each for each in server.proxy if configured_server.is_loopback(each)]
    if server.proxy and is_local and not near:
        yield UsageError(
            f"a proxy at {server.proxy[0]} cannot reach {server.listen}; listen on an address that it reaches"
        )
    if server.proxy and not is_local and not has_tls and len(near) == len(server.proxy):
        yield UsageError(
            f"the proxy is on this machine, but other machines can bypass it at {server.listen}, so passwords"
            " would be sent in the clear; listen on 127.0.0.1"
        )
    if server.url is not None:
        yield from _url(server.url, server, is_local=is_local)


def _url(url: str, server: ServerConfig, *, is_local: bool) -> Iterator[SmtdError]:
    found = urlsplit(url)
    name, is_safe = found.hostname or "", found.scheme == "https"
    if found.path.rstrip("/").endswith("/records"):
        yield UsageError(
            "url is the address of the whole server, below which records/ is; leave records/ out there"
        )
    if server.proxy:
        if not is_safe and not configured_server.is_loopback(name):
            yield UsageError(
                "with this url clients send passwords in the clear; give the proxy a certificate"
            )
    elif server.cert_file is None and is_safe:
        yield UsageError("url begins with https, but the server has no certificate; set cert_file, or proxy")
    elif server.cert_file is not None and not is_safe:
        yield UsageError("url begins with http, but the server has a certificate; write https")
    elif is_local and not configured_server.is_loopback(name):
        yield UsageError(
            f"only this machine reaches {server.listen}, not {name}; listen on another address, or set proxy"
        )


def _try_address(server: ServerConfig, found: PartFinding) -> None:
    """Note whether the server runs at its address, or why it cannot. Blocks."""
    host, port = configured_server.address(server.listen)
    try:
        _try_to_bind(host, port)
    except socket.gaierror:
        found.errors.append(
            UsageError(f"there is no address {host}; listen on one of this machine, or 127.0.0.1")
        )
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            found.errors.append(_no_address(host, port, exc))
        elif _is_smtd(host, port, has_tls=server.cert_file is not None):
            found.notes.append("already running")
        else:
            found.errors.append(
                UsageError(f"another program listens on {server.listen}; stop it, or choose another port")
            )


def _try_to_bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        door.bind(address)


def _no_address(host: str, port: int, exc: OSError) -> SmtdError:
    if exc.errno == errno.EACCES:
        return UsageError(
            f"permission denied: this user may not listen on port {port}; choose one above 1023, or let"
            " systemd give the right (AmbientCapabilities=CAP_NET_BIND_SERVICE)"
        )
    if exc.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"{host} is not an address of this machine; listen on one of its own")
    return UsageError(f"cannot listen on {host}:{port} ({exc.strerror or exc}); choose another address")


def _is_smtd(host: str, port: int, *, has_tls: bool) -> bool:
    """Say whether the program that listens there is smtd. Blocks."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    line = (
        HTTPSConnection(near, port, timeout=PATIENCE, context=check_tls.trusting_all())
        if has_tls
        else HTTPConnection(near, port, timeout=PATIENCE)
    )
    try:
        line.request("GET", "/healthz")
        answer = line.getresponse()
        return answer.status == 200 and answer.headers.get("Server") == "smtd"
    except (OSError, HTTPException):
        return False
    finally:
        line.close()


async def _store(config: Config, server: ServerConfig) -> str:
    """Return a description of the store to serve. Raises SmtdError if it cannot be served."""
    place = await to_thread.run_sync(_place, config, server)
    if not isinstance(place, Path):
        return await _remote(place)
    path = place
    if not await to_thread.run_sync(path.exists):
        await to_thread.run_sync(_check_new, path)
        return f"{path} does not exist yet; the server creates it"
    await to_thread.run_sync(store_lock.check_names, path, str(path))
    held = await _held(await to_thread.run_sync(find, str(path)))
    if not await to_thread.run_sync(os.access, path, os.W_OK):
        raise StoreUnreachable(f"{path} cannot be served: {denied.at(path, write=True)}")
    return f"{path} with {held}"


async def _held(location: Location) -> str:
    """Return what the store at *location* has, in words. Raises StoreRefused if nothing can be written."""
    async with open_store(location) as store:
        found = await store.scan()
        projects = await store.projects()
        if reason := store.capabilities.read_only:
            raise StoreRefused(f"{location} cannot be served: {reason}")
    held = f"{plural(len(found.digests) + len(found.unreadable), 'record')} of {', '.join(projects)}"
    return held if projects else "no projects yet"


async def _remote(location: Location) -> str:
    """Return a description of the database on a server at *location*. Raises SmtdError."""
    state = await served_state(location)
    if state is ServedState.EMPTY:
        return f"{location} is empty; the server creates the tables"
    held = f"{location} with {await _held(location)}"
    if state is ServedState.OWN:
        return held
    if location.access.notify:
        return f"{held}; other programs' writes are reported by notify"
    return f"{held}; without triggers, what other programs write is found by reading all records"


def _place(config: Config, server: ServerConfig) -> Path | Location:
    return served_store(server, config, state_directory(None, config).absolute())


def _check_new(path: Path) -> None:
    """Raise StoreUnreachable if no file can be created at *path*. Blocks."""
    place = next(each for each in path.parents if each.exists())
    if why := denied.in_directory(place):
        raise StoreUnreachable(f"{path} cannot be created: {why}")


async def _other_users(config: Config, server: ServerConfig, chosen: Path) -> SmtdError | None:
    """Return an error if a server of the same database runs with another users file. Raises SmtdError."""
    place = await to_thread.run_sync(_place, config, server)
    if isinstance(place, Path) or await served_state(place) is ServedState.EMPTY:
        return None
    path = users_file(server, chosen).absolute()
    try:
        own = users.fingerprint(await to_thread.run_sync(users.read, path))
    except SmtdError:
        return None  # reported with the users
    if await users_in_use(place) in ("", own):
        return None
    return SmtdError(
        f"a server of {place} runs with another users file than {path}: users and rights differ from server"
        " to server; copy one users file to all of them"
    )


def _count_users(server: ServerConfig, chosen: Path, found: PartFinding) -> None:
    """Note how many users can log in and whether reading needs no login, or what is wrong. Blocks."""
    path = users_file(server, chosen).absolute()
    try:
        count = len(users.read(path))
    except SmtdError as exc:
        found.errors.append(exc)
        return
    if count:
        found.notes.append(plural(count, "user"))
    elif server.anonymous == "none":
        found.errors.append(SmtdError(f"{path} has no users; run smtd user add NAME"))
    if server.anonymous == "read":
        found.notes.append("anonymous read access")
