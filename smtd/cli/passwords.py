"""Read the password or token of a store from the place that the configuration names.

smtd reads it when it needs it, and never saves, logs or shows it.
"""

from __future__ import annotations

import netrc
import os
import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from smtd import denied, private, regular
from smtd.config import StoreConfig
from smtd.errors import UsageError
from smtd.paths import expanded
from smtd.textfile import decode

#: The most seconds that a command may take to print a password or token.
PATIENCE = 10.0
#: The characters of a token: those that one word in a header can have.
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


def secret(name: str, store: StoreConfig) -> str | None:
    """Return the token of the configured store *name*, else its password; None if it has neither. Blocks.

    Raises UsageError, with no part of the secret, if it cannot be read.
    """
    return token(name, store) if store.has_token else password(name, store)


def token(name: str, store: StoreConfig) -> str | None:
    """Return the token of the configured store *name*, as `secret`. Blocks."""
    if store.token_command is not None:
        found = _command_output(name, store.token_command, "token")
    elif store.token_file is not None:
        found = _first_line(name, expanded(store.token_file), "token")
    elif store.token_env is not None:
        found = _variable(name, store.token_env)
    else:
        return None
    if not _TOKEN.match(found):
        raise UsageError(
            f"the token of store {name} is empty, or has characters that no token has; get a new one"
        )
    return found


def password(name: str, store: StoreConfig) -> str | None:
    """Return the password of the configured store *name*, as `secret`. Blocks."""
    if store.password is not None:
        return store.password
    if store.password_command is not None:
        return _command_output(name, store.password_command, "password")
    if store.password_file is not None:
        return _first_line(name, expanded(store.password_file), "password")
    if store.credential is not None:
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise UsageError(
                f"store {name} needs the credential {store.credential!r}: start smtd with systemd"
            )
        return _first_line(name, Path(directory) / store.credential, "password")
    return None if store.password_env is None else _variable(name, store.password_env)


def from_netrc(address: str) -> tuple[str, str] | None:
    """Return the user and password that ~/.netrc has for the server at *address*, or None. Blocks."""
    try:
        host = urlsplit(address).hostname
        regular.check([Path("~/.netrc").expanduser()])
        found = netrc.netrc().authenticators(host) if host else None
    except (OSError, ValueError, RuntimeError, netrc.NetrcParseError):  # RuntimeError: unknown home
        return None
    return (found[0], found[2]) if found and found[0] and found[2] else None


def _variable(name: str, variable: str) -> str:
    found = os.environ.get(variable)
    if found is None:
        raise UsageError(f"store {name} needs the environment variable {variable}; set it")
    return found


def _command_output(name: str, command: list[str], what: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as exc:
        why = "it took too long" if isinstance(exc, subprocess.TimeoutExpired) else str(exc)
        why = denied.unrun(exc) if isinstance(exc, OSError) else why
        raise UsageError(f"the {what} command of store {name} cannot be used: {why}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise UsageError(f"the {what} command of store {name} failed: {''.join(said) or done.returncode}")
    try:
        return decode(done.stdout).split("\n", 1)[0]
    except ValueError as exc:
        raise UsageError(f"the output of the {what} command of store {name} cannot be read: {exc}") from None


def _first_line(name: str, path: Path, what: str) -> str:
    try:
        text = decode(regular.read(path, regular.SMALL))
        if who := private.other_writers(path.stat()):
            step = f"chmod 600 {shlex.quote(str(path))}"
            raise UsageError(f"{who} can change the {what} file of store {name}; run {step}")
    except (OSError, ValueError) as exc:
        why = denied.unread(exc) if isinstance(exc, OSError) else exc
        raise UsageError(f"the {what} file {path} of store {name} cannot be read: {why}") from None
    if not (line := text.split("\n", 1)[0]):
        raise UsageError(f"the {what} file {path} of store {name} has no {what} in its first line")
    return line
