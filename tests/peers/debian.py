"""Programs of Debian that are unpacked, not installed: without root, without services, beside all others."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.peers.environments import PeerFailed, cache, only_one


def unpacked(name: str, packages: Sequence[str], optional: Sequence[str] = ()) -> Path:
    """Return the root of a system with *packages*, kept beside the environments of the peers.

    *optional* are packages that not every release of Debian has. Raises PeerFailed if it cannot be had.
    """
    root = cache() / name
    with only_one(root.with_name(f"{name}.lock")):
        if not root.exists():
            _unpack(root, packages, optional)
    return root


def _unpack(root: Path, packages: Sequence[str], optional: Sequence[str]) -> None:
    unfinished = root.with_name(f"{root.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        if shutil.which("apt-get") is None:
            raise PeerFailed(f"no apt-get to fetch Debian's {packages[0]} with")
        _quiet("apt-get", "download", "-q", *packages, cwd=unfinished)
        for package in optional:
            _quiet("apt-get", "download", "-q", package, cwd=unfinished, check=False)
        for file in unfinished.glob("*.deb"):
            _quiet("dpkg", "-x", file.name, ".", cwd=unfinished)
            file.unlink()
        unfinished.rename(root)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _quiet(*command: str, cwd: Path, check: bool = True) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise PeerFailed(f"{' '.join(command)} failed: {done.stderr.strip()}")
