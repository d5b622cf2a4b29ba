"""Build the Debian package, and one with a higher version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.packages.lending import ROOT


def build(target: Path, **variables: str) -> Path:
    """Build the package by the command of the Makefile, with wheels that the next build uses, too."""
    command = [sys.executable, "deb/build.py", str(target), str(ROOT / "build" / "wheels")]
    subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=True, capture_output=True)
    (made,) = target.iterdir()
    return made


def later_than(deb: Path, directory: Path) -> Path:
    """Return the same package with a higher version, and a line more in its configuration."""
    subprocess.run(["dpkg-deb", "-R", str(deb), str(directory / "tree")], check=True)
    control = directory / "tree" / "DEBIAN" / "control"
    control.write_text(control.read_text("utf-8").replace("Version: 0.1.0-1", "Version: 0.1.1-1"), "utf-8")
    with (directory / "tree" / "etc/smtd/config.toml").open("a") as file:
        file.write("# a new key\n")
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", "tree", "later.deb"]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return directory / "later.deb"
