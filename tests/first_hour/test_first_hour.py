"""The first hour of a stranger: here, and from the clone on in a minimal Debian."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import has_terminals
from tests.first_hour import minimal_root
from tests.first_hour.minimal_root import MinimalRoot
from tests.first_hour.person import INSTALLATION, Person
from tests.first_hour.play import first_hour
from tests.peers.environments import HERE, Environment
from tests.servers.process import free_port

ROOT = Path(__file__).parents[2]
#: Where all that the stranger saw is kept.
RECORD = ROOT / "build" / "first-hour.txt"
_NO_SYSTEMD = """#!/bin/sh
echo "System has not been booted with systemd as init system (PID 1). Can't operate." >&2
exit 1
"""


@pytest.fixture
def at_home(tmp_path: Path, plain_environment: Environment) -> Person:
    """Somebody on this machine, with a home of their own, who has installed smtd and Sumatra."""
    if not has_terminals():
        pytest.skip("a pseudo-terminal (/dev/pts) is not here")
    home, programs = tmp_path / "home", tmp_path / "programs"
    home.mkdir()
    programs.mkdir()
    (programs / "systemctl").write_text(_NO_SYSTEMD)  # this machine's must start nothing
    (programs / "systemctl").chmod(0o755)
    (home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    bins = (
        programs,
        Path(sys.executable).parent,
        plain_environment.bin,
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
    )
    return Person(
        lambda line: ["bash", "-c", line],
        {
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "PATH": os.pathsep.join(map(str, bins)),
            "SMTD_SOCKET": str(tmp_path / "control.sock"),
        },
        tmp_path / "record.txt",
    )


@pytest.mark.slow
def test_hour_of_somebody_who_has_installed_it(at_home: Person, tmp_path: Path) -> None:
    """From the first run to an edit on the server's page, which comes back to the laptop."""
    first_hour(at_home, free_port(), serve=f"SMTD_SOCKET={tmp_path}/server.sock smtd serve")


@pytest.fixture
def root() -> Iterator[MinimalRoot]:
    """A minimal Debian, on the disk."""
    if reason := minimal_root.lacking():
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(prefix="smtd-root-", dir="/var/tmp", ignore_cleanup_errors=True) as made,
        minimal_root.minimal_root(Path(made) / "root") as found,
    ):
        yield found


@pytest.fixture
def stranger(root: MinimalRoot, tmp_path: Path) -> Person:
    """An ordinary user there, who has been told where smtd can be cloned from."""
    bare = tmp_path / "smtd.git"
    subprocess.run(
        ["git", "-c", "safe.directory=*", "clone", "-q", "--bare", "--no-local", ROOT, bare], check=True
    )
    minimal_root.give(root.directory, bare, "/srv/smtd.git")
    minimal_root.give(root.directory, HERE / "requirements" / "plain.txt", f"{minimal_root.HOME}/sumatra.txt")
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.unlink(missing_ok=True)
    return Person(root.shell, minimal_root.environment(), RECORD)


@pytest.mark.soak
@pytest.mark.root
@pytest.mark.timeout(3600)
def test_hour_of_a_stranger_begins_with_the_clone(stranger: Person) -> None:
    """An ordinary user of a machine with Python, make and git: the demo, the installation, the rest."""
    stranger.does("git config --global user.name Ada && git config --global user.email ada@example.org")
    stranger.does("git clone file:///srv/smtd.git smtd", patience=INSTALLATION)
    stranger.place = "~/smtd"
    assert "What next:" in stranger.does("make demo", keys="\n", patience=INSTALLATION)
    stranger.place = "~"
    stranger.does("python3 -m venv ~/tools && ~/tools/bin/pip install --quiet ~/smtd", patience=INSTALLATION)
    stranger.does("~/tools/bin/pip install --quiet -r ~/sumatra.txt", patience=INSTALLATION)

    first_hour(stranger, free_port())
