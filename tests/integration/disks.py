"""File systems on loop devices, whose power a test can cut. They need root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

#: The programs that create and mount them.
_PROGRAMS = ("mkfs.ext4", "mount", "umount", "cp")


def lacking() -> str:
    """Return why these file systems are not available (empty: they are)."""
    if os.geteuid():
        return "only root can mount a file system"
    if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
        return f"{missing[0]} is not here"
    return ""


class Disk:
    """An ext4 file system at *place*. Its image has only what was sent to the disk."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._image, self._cuts = place.with_suffix(".img"), 0
        place.mkdir()
        with self._image.open("wb") as image:
            image.truncate(64 * 1024 * 1024)
        run("mkfs.ext4", "-q", "-F", self._image)
        self._mount()

    def _mount(self) -> None:
        run("mount", "-o", "loop", self._image, self.place)

    def sync(self) -> None:
        """Send everything that was saved to the disk."""
        run("sync", "-f", self.place)

    def cut(self) -> None:
        """Cut the power: what was saved, but not sent to the disk, is lost. Then restore the power."""
        self._cuts += 1
        left = self._image.with_suffix(f".{self._cuts}")
        run("cp", "--sparse=always", self._image, left)
        self.unmount()
        self._image = left
        self._mount()

    def unmount(self) -> None:
        """Unmount the disk."""
        run("umount", self.place)


def run(*words: str | Path) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
