"""How to be let in by a store: the password, from wherever the configuration says it is.

It is asked for when it is needed, and never stored, logged or shown.
"""

from __future__ import annotations

import netrc
import os
import shlex
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from smtd import denied, private, regular
from smtd.config import StoreConfig
from smtd.errors import UsageError
from smtd.paths import expanded
from smtd.textfile import decode

#: Seconds that a command may take to tell a password.
PATIENCE = 10.0


def password(name: str, store: StoreConfig) -> str | None:
    """Return the password of the configured store *name*, or None if nothing is said of one. Blocks.

    Raises UsageError, without any part of the password, where it cannot be had.
    """
    if store.password is not None:
        return store.password
    if store.password_command is not None:
        return _told(name, store.password_command)
    if store.password_file is not None:
        return _first_line(name, expanded(store.password_file))
    if store.credential is not None:
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise UsageError(
                f"store {name} needs the credential {store.credential!r}: start smtd with systemd"
            )
        return _first_line(name, Path(directory) / store.credential)
    if store.password_env is not None:
        found = os.environ.get(store.password_env)
        if found is None:
            raise UsageError(f"store {name} needs the environment variable {store.password_env}; set it")
        return found
    return None


def from_netrc(address: str) -> tuple[str, str] | None:
    """Return user and password that ~/.netrc has for the server at *address*, if any. Blocks."""
    try:
        host = urlsplit(address).hostname
        regular.check([Path("~/.netrc").expanduser()])
        found = netrc.netrc().authenticators(host) if host else None
    except (OSError, ValueError, RuntimeError, netrc.NetrcParseError):  # RuntimeError: no home is known
        return None
    return (found[0], found[2]) if found and found[0] and found[2] else None


def _told(name: str, command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as exc:
        why = "it took too long" if isinstance(exc, subprocess.TimeoutExpired) else str(exc)
        raise UsageError(f"the password command of store {name} cannot be used: {why}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise UsageError(f"the password command of store {name} failed: {''.join(said) or done.returncode}")
    try:
        return decode(done.stdout).split("\n", 1)[0]
    except ValueError as exc:
        raise UsageError(
            f"the output of the password command of store {name} cannot be read: {exc}"
        ) from None


def _first_line(name: str, path: Path) -> str:
    try:
        text = decode(regular.read(path, regular.SMALL))
        if who := private.strangers(path.stat()):
            step = f"chmod 600 {shlex.quote(str(path))}"
            raise UsageError(f"{who} can change the password file of store {name}; run {step}")
    except (OSError, ValueError) as exc:
        why = denied.unread(exc) if isinstance(exc, OSError) else exc
        raise UsageError(f"the password file {path} of store {name} cannot be read: {why}") from None
    if not (line := text.split("\n", 1)[0]):
        raise UsageError(f"the password file {path} of store {name} has no password in its first line")
    return line
