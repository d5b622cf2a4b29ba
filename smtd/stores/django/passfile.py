"""The password that PostgreSQL's own programs would use: from PGPASSWORD, or from ~/.pgpass (PGPASSFILE).

The driver would block the event loop while it reads that file. The rules are those of libpq ("The Password
File").
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import stat
from functools import cache
from pathlib import Path

from smtd import regular

log = logging.getLogger(__name__)

#: A field up to the next colon; a backslash escapes the next character.
_FIELD = re.compile(r"((?:\\.|[^:\\])*)(?::|\Z)")


def password(host: str | None, port: int | None, database: str, user: str | None) -> str:
    """Return the password for *user* of the server, or "" if there is none. Blocks.

    Raises KeyError for a user that is neither named nor known to this machine.
    """
    found = os.environ.get("PGPASSWORD")
    if found is not None:
        return found
    hosts = (host or os.environ.get("PGHOST") or "localhost").split(",")
    ports = str(port or os.environ.get("PGPORT") or 5432).split(",")
    name = user or os.environ.get("PGUSER") or getpass.getuser()
    lines = _lines()
    for number, each in enumerate(hosts):
        wanted = ["localhost" if each.startswith("/") else each, ports[min(number, len(ports) - 1)]]
        for line in lines:
            if (found := _match(line, [*wanted, database, name])) is not None:
                return found
    return ""


def _lines() -> list[str]:
    """Return the lines of the file; none if other users can access it, or if it cannot be read."""
    try:
        path = Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
        with regular.opened(path) as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                _warn(
                    f"the password file {path} is ignored because others can access it; run chmod 600 on it"
                )
                return []
            return file.read(regular.SMALL).decode().splitlines()
    except regular.NotRegular as exc:
        _warn(f"the password file is ignored: {exc.strerror}")
    except UnicodeDecodeError:
        _warn(f"the password file {path} is ignored because it is not UTF-8; save it as UTF-8")
    except (OSError, RuntimeError):
        pass  # most users have none
    return []


def _match(line: str, wanted: list[str]) -> str | None:
    """Return the password that *line* has for host, port, database and user."""
    position = 0
    for value in wanted:
        field = _FIELD.match(line, position)
        if line.startswith("#") or field is None or not field[0].endswith(":"):
            return None
        if field[1] != "*" and _plain(field[1]) != value:
            return None
        position = field.end()
    return _plain(line[position:])


def _plain(field: str) -> str:
    return re.sub(r"\\(.)", r"\1", field)


@cache
def _warn(said: str) -> None:
    """Log the warning *said* once, and not for each connection."""
    log.warning("%s", said)
