"""The means by which people restore a directory from a backup."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def run(*words: str | Path) -> None:
    """Run a program that every Unix has."""
    subprocess.run(list(map(str, words)), check=True)


def copied(backup: Path, home: Path) -> None:
    """Copy the files in place, as `cp` does: same inodes, new times."""
    run("cp", "-r", f"{backup}/.", home)


def copied_with_times(backup: Path, home: Path) -> None:
    """Copy the files with `cp -a`: same inodes, times of the backup."""
    run("cp", "-a", f"{backup}/.", home)


def moved(backup: Path, home: Path) -> None:
    """Put the backup in the place of the directory."""
    shutil.rmtree(home)
    run("mv", backup, home)


def mirrored(backup: Path, home: Path) -> None:
    """Do as `rsync -a --delete` does: files that look equal stay, the rest is replaced, with its times."""
    for file in home.iterdir():
        if not (backup / file.name).exists():
            file.unlink()
    for file in backup.iterdir():
        there = home / file.name
        if there.exists() and _looks(there) == _looks(file):
            continue
        shutil.copy2(file, home / ".new")
        (home / ".new").replace(there)


def _looks(file: Path) -> tuple[int, int]:
    return file.stat().st_size, file.stat().st_mtime_ns


def unpacked(backup: Path, home: Path) -> None:
    """Unpack an archive over the directory."""
    run("tar", "-cf", home.with_name("backup.tar"), "-C", backup, ".")
    run("tar", "-xf", home.with_name("backup.tar"), "-C", home)
