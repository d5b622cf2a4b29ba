"""The Debian package in a new Debian."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]
#: What a new Debian must have for `apt-get install ./smtd.deb` to need no network.
NEEDED = "python3,systemd,libc6"


def test_package_needs_nothing_but_what_it_names(deb: Path, later: Path, tmp_path: Path) -> None:
    """In a new Debian with Python and systemd, apt installs, upgrades and purges it, and it syncs."""
    root = tmp_path / "root"
    release = next(
        line.partition("=")[2]
        for line in Path("/etc/os-release").read_text("utf-8").splitlines()
        if line.startswith("VERSION_CODENAME=")
    )
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", f"--include={NEEDED}", release, root], check=True
    )
    for file, name in ((deb, "smtd.deb"), (later, "later.deb")):
        shutil.copy(file, root / "root" / name)

    def told(*words: str) -> str:
        variables = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"]
        enter = ["unshare", "--mount", "--pid", "--net", "--fork", f"--root={root}", "--mount-proc"]
        inside = [*enter, "env", "-i", *variables]
        done = subprocess.run([*inside, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    told("apt-get", "install", "-y", "/root/smtd.deb")
    told("apt-get", "install", "-y", "/root/later.deb")
    told("smtd", "demo")
    told("apt-get", "purge", "-y", "smtd")
    left = told("find", "/", "-xdev", "-path", "/proc", "-prune", "-o", "-iname", "*smtd*", "-print")
    assert sorted(left.split()) == ["/root/smtd.deb"]
