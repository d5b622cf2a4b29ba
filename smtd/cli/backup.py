"""`smtd backup`: copy the store of the server while it is in use."""

from __future__ import annotations

import os
from pathlib import Path

from smtd import denied, durable, private
from smtd.cli.own_server import chosen_store
from smtd.cli.say import say, say_json
from smtd.cli.state import configuration
from smtd.errors import StoreUnreachable, UsageError
from smtd.paths import expanded
from smtd.sqlite import ERRORS, opened

#: Seconds to wait for a writer that has the file locked.
PATIENCE = 30.0


def run(config: Path | None, store: str | None, file: Path, *, as_json: bool = False) -> int:
    """Copy *store* (None: the one of the server) to the new *file*, and return the exit code.

    Raises UsageError if there is no such store, or *file* exists or cannot be created, and StoreUnreachable
    if the store cannot be copied. A failed copy is removed.
    """
    source, target = chosen_store(store, configuration(config)), expanded(file).absolute()
    if source is None:
        raise UsageError(
            "the server has no store yet; run smtd serve, or name the store with --store; --journal copies"
            " the daemon's journal"
        )
    if not isinstance(source, Path):
        raise UsageError(f"{source} is not a file; back it up with the tools of its server, such as pg_dump")
    try:
        os.close(private.create(target))
    except FileExistsError:
        raise UsageError(f"{target} already exists; name a new file") from None
    except OSError as exc:
        raise UsageError(f"{target} cannot be created: {denied.unwritten(exc)}") from exc
    try:
        _copy(source, target)
        durable.sync([target])
    except BaseException as exc:
        target.unlink(missing_ok=True)
        if isinstance(exc, (*ERRORS, OSError)):
            raise StoreUnreachable(f"{source} cannot be copied to {target}: {exc}; no file was left") from exc
        raise
    size = target.stat().st_size
    if as_json:
        say_json({"file": str(target), "bytes": size})
    else:
        say(f"{target}  {size:,} bytes")
    return 0


def _copy(source: Path, target: Path) -> None:
    """Copy what is committed to *source* when the copy starts. In write-ahead mode no other program waits.

    Copies in one step, because a copy in several steps restarts whenever another process commits.
    """
    with opened(source, mode="ro", patience=PATIENCE) as found, opened(target) as made:
        found.backup(made)
