"""What `smtd doctor` says of smtd's own state: the journal, the daemon, the log. Every function blocks."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from smtd.cli.doctor_machine import place, status
from smtd.cli.socket_path import socket_path
from smtd.control.client import result
from smtd.errors import SmtdError
from smtd.journal.journal import VERSION
from smtd.sqlite import ERRORS

#: Seconds to wait for the daemon, for a lock of the journal, and for the system's log.
PATIENCE = 5.0
#: The most events, and lines of the log.
EVENTS, LINES = 20, 60
#: The tables of the journal whose rows are counted.
_COUNTED = ("pair", "agreed", "intent", "cycle", "history", "decision", "store", "entry", "event")
_LOGS = (
    ("journalctl", "--user", "--unit=smtd"),
    ("journalctl", "--unit=smtd", "--unit=smtd@*"),
)


def state(directory: Path) -> dict[str, Any]:
    """Return the files in the state *directory*, and what can be said of the journal."""
    found: dict[str, Any] = {"directory": place(directory), "files": [], "journal": None}
    with suppress(OSError):
        found["files"] = [status(each) for each in sorted(directory.iterdir())][:100]
    file = directory / "journal.sqlite"
    if file.is_file():
        found["journal"] = _journal(file)
    return found


def _journal(file: Path) -> dict[str, Any]:
    """Return version, integrity and sizes of the journal, and its last events. It is not changed."""
    found: dict[str, Any] = {"expected_version": VERSION}
    # Without a log no smtd uses it. SQLite would leave one there, and the next start would check all of it.
    is_open = file.with_name(f"{file.name}-wal").exists()
    address = f"{file.absolute().as_uri()}?mode=ro{'' if is_open else '&immutable=1'}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as db:
            db.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
            ((found["version"],),) = db.execute("PRAGMA user_version").fetchall()
            found["integrity"] = [row[0] for row in db.execute("PRAGMA quick_check(20)")]
            found["rows"] = dict(_rows(db))
            rows = db.execute("SELECT id, text FROM event ORDER BY id DESC LIMIT ?", (EVENTS,)).fetchall()
            found["last_events"] = [_event(number, text) for number, text in reversed(rows)]
    except ERRORS as exc:
        found["problem"] = str(exc)
    return found


def _rows(db: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    known = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in _COUNTED:
        if table in known:
            ((count,),) = db.execute(f"SELECT count(*) FROM {table}").fetchall()
            yield table, count


def _event(number: int, text: str) -> Any:
    try:
        return {"id": number, **json.loads(text)}
    except (ValueError, TypeError):
        return {"id": number, "problem": "it cannot be read"}


def daemon() -> dict[str, Any]:
    """Return where the control socket is, and what the daemon there says of its pairs."""
    found: dict[str, Any] = {}
    try:
        socket = socket_path(None)
        found["socket"] = status(Path(socket))
        found["status"] = result(socket, {"verb": "status"}, PATIENCE)
    except SmtdError as exc:
        found["problem"] = str(exc)
    return found


def log_tail() -> dict[str, Any]:
    """Return the last lines of the log that systemd keeps, if there is one."""
    for command in _LOGS:
        line = [*command, "--no-pager", "--output=short-iso", f"--lines={LINES}", "--quiet"]
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                line, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
            )
            if done.returncode == 0 and (text := done.stdout.decode("utf-8", "replace").strip()):
                return {"command": " ".join(command), "lines": text.splitlines()}
    return {"problem": "systemd keeps no log of smtd; add what smtd run wrote to standard error"}
