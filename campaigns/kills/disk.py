"""A disk of its own for the stores and the journal, which may fill up or become read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

#: Bytes; more than a campaign needs.
SIZE = 512 << 20


@contextmanager
def disk(directory: Path) -> Iterator[bool]:
    """Mount an empty disk at *directory*; gives False, and the directory as it is, where nobody may mount."""
    directory.mkdir()
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", directory)
    try:
        yield mounted
    finally:
        if mounted:
            _run("umount", "--lazy", directory)


@contextmanager
def full(directory: Path, chance: Random) -> Iterator[None]:
    """Let the disk at *directory* have room for some bytes more, or for none."""
    filler = directory / "filler"
    left = chance.choice((0, 4096, 20_000, 60_000))
    with filler.open("wb") as file:
        free = os.statvfs(directory)
        os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Let nothing on the disk at *directory* be written."""
    if not _run("mount", "-o", "remount,ro", directory):
        yield  # somebody has a file open for writing
        return
    try:
        yield
    finally:
        if not _run("mount", "-o", "remount,rw", directory):
            raise OSError(f"{directory} stays read-only")


def _run(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
