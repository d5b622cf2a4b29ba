"""The rights in single projects: `smtd user` reads and writes them in the database of a server.

The server may be running, and notices changes at once. Every function blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from smtd import denied
from smtd.errors import StoreUnreachable, UsageError
from smtd.server.accounts.rights import Right
from smtd.spelling import did_you_mean
from smtd.sqlite import ERRORS, opened, store_error


def rights_in(store: Path) -> list[tuple[str, str, str]]:
    """Return project, username and level of all rights in the SQLite file *store*.

    A store that smtd has never served has none. Raises StoreError.
    """
    with _opened(store) as db:
        if not _has_table(db):
            return []
        asked = "SELECT project, username, level FROM smtd_right ORDER BY username, project"
        return [(str(project), str(username), str(level)) for project, username, level in db.execute(asked)]


def check_project(store: Path, project: str) -> None:
    """Raise UsageError, with the closest name as a hint, if *store* has no *project*; else as `set_right`."""
    with _table(store) as db:
        _check_project(db, store, project)


def set_right(store: Path, project: str, username: str, right: Right) -> None:
    """Give a user *right* in *project* of the SQLite file *store*, in place of any other right there.

    NONE removes the right, even of a project that does not exist. Raises UsageError if there is no such
    project, or smtd has never served the store; StoreError if the file cannot be used.
    """
    with _table(store) as db, _whole(db):
        if right is not Right.NONE:
            _check_project(db, store, project)
        db.execute("DELETE FROM smtd_right WHERE project = ? AND username = ?", (project, username))
        if right is not Right.NONE:
            db.execute(
                "INSERT INTO smtd_right (project, username, level) VALUES (?, ?, ?)",
                (project, username, right.word),
            )


def remove_user(store: Path, username: str) -> None:
    """Remove all rights of a user in single projects. Raises StoreError."""
    with _opened(store) as db:
        if _has_table(db):
            with _whole(db):
                db.execute("DELETE FROM smtd_right WHERE username = ?", (username,))


@contextmanager
def _table(store: Path) -> Iterator[sqlite3.Connection]:
    """Open *store*. Raises UsageError if it has no table of rights."""
    with _opened(store) as db:
        if not _has_table(db):
            raise never_served(str(store))
        yield db


def _has_table(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'smtd_right'").fetchall())


@contextmanager
def _opened(store: Path) -> Iterator[sqlite3.Connection]:
    try:
        with opened(store) as db:
            yield db
    except OSError as exc:
        raise StoreUnreachable(f"{store} cannot be used: {denied.why(exc)}") from exc
    except ERRORS as exc:
        raise store_error(exc, str(store)) from exc


@contextmanager
def _whole(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one transaction; roll it back after an error."""
    db.execute("PRAGMA synchronous = EXTRA")
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _check_project(db: sqlite3.Connection, store: Path, project: str) -> None:
    known = [str(name) for (name,) in db.execute("SELECT id FROM django_store_project")]
    if project not in known:
        raise no_project(project, known, str(store))


def no_project(project: str, known: Sequence[str], store: str) -> UsageError:
    """Return the error that *store*, whose projects are *known*, has no *project*."""
    hint = did_you_mean(project, known, f"smtd list {store} shows its projects")
    return UsageError(f"there is no project {project!r} in {store}{hint}")


def never_served(store: str) -> UsageError:
    """Return the error that *store* has no table of rights."""
    return UsageError(f"smtd has not served {store} yet; run smtd serve first")
