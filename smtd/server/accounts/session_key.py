"""The key that signs session cookies: in a private file beside the users file, for all processes with it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from smtd import denied, private, regular
from smtd.server.accounts.sessions import KEY_BYTES
from smtd.text import shown

log = logging.getLogger(__name__)


def load(users_file: Path) -> bytes | None:
    """Return the key beside *users_file*, which is made if it is missing; None if it can be neither. Blocks.

    Without a key, sessions end with the process.
    """
    path = users_file.with_name(f"{users_file.name}.key")
    try:
        return _read(path) or _make(path)
    except OSError as exc:
        log.info("sessions of pages will end with this process: %s (%s)", shown(str(path)), denied.why(exc))
        return None


def _read(path: Path) -> bytes | None:
    try:
        with regular.opened(path) as file:
            private.ensure(path)
            found = file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        return None
    return found if len(found) == KEY_BYTES else None


def _make(path: Path) -> bytes | None:
    """Make the key, unless another process was faster."""
    path.unlink(missing_ok=True)  # it was incomplete
    key = os.urandom(KEY_BYTES)
    try:
        handle = private.create(path)
    except FileExistsError:
        return _read(path)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
    return key
