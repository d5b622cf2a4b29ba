"""A machine with a real systemd: namespaces of this one, whose files go with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.packages.lending import environment_of

HERE = Path(__file__).parent
#: Seconds after which a test gives up.
PATIENCE = 60.0
#: What both machines see.
SHARED = "/opt/shared"
#: Where the machine has smtd.
PROGRAMS = "/opt/smtd/bin"
#: What a login sets.
_SESSION = """
    export HOME="$(getent passwd $USER | cut -d: -f6)" XDG_RUNTIME_DIR=/run/user/$(id -u)
    exec "$@"
"""
_PATH = f"{PROGRAMS}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """A booted machine; its systemd has the process id *pid* here."""

    def __init__(self, pid: int, directory: Path) -> None:
        self.pid = pid
        #: A directory that is there as SHARED.
        self.directory = directory

    def run(self, *words: str, user: str = "root", stdin: str = "", check: bool = True) -> str:
        """Run a command as *user*, and return its standard output; with *check* fail if it fails."""
        done = self.tried(*words, user=user, stdin=stdin)
        assert done.returncode == 0 or not check, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def tried(self, *words: str, user: str = "root", stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as *user*, and return how it ended."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u", "-i", "-C"]
        clean = ["env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8"]
        become = [*clean, "HOME=/root"]
        if user != "root":
            identity = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
            become = [*identity, *clean, f"USER={user}", "sh", "-c", _SESSION, "sh"]
        return subprocess.run(
            [*enter, *become, *words],
            cwd="/",
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )

    def write(self, path: str, text: str, mode: str = "644", owner: str = "root") -> None:
        """Write a file there."""
        self.run("mkdir", "-p", str(Path(path).parent))
        self.run("tee", path, stdin=text)
        self.run("chmod", mode, path)
        self.run("chown", owner, path)

    def state(self, unit: str, what: str = "ActiveState", user: str = "root") -> str:
        """Return a property of a unit; for another user that of the user's systemd."""
        words = ["--user"] if user != "root" else []
        return self.run("systemctl", *words, "show", "--value", "-p", what, unit, user=user).strip()

    def log(self, *words: str) -> str:
        """Return the journal."""
        return self.run("journalctl", "--no-pager", "-o", "cat", *words)

    def wait(self, command: str, wanted: str, user: str = "root") -> None:
        """Wait until the shell *command* prints *wanted*."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.run("sh", "-c", command, user=user, check=False).strip()) != wanted:
            assert time.monotonic() < deadline, f"{command}: {found}, not {wanted}\n{self.log('-n', '50')}"
            time.sleep(0.05)


@contextmanager
def booted(directory: Path, wheel: Path) -> Iterator[Machine]:
    """Boot a machine with smtd from *wheel* in /opt/smtd, as its guide says, and a user ada."""
    packages = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    words = ["bash", str(HERE / "boot.sh"), str(directory), sys.base_prefix, str(packages)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "booting\n"
        machine = Machine(_child(process.pid), directory)
        machine.wait("systemctl is-active tests.target", "active")
        machine.run("useradd", "--create-home", "--shell", "/bin/sh", "ada")
        shutil.copy(wheel, directory)
        environment_of(Path(SHARED, wheel.name), machine.run)
        yield machine
    finally:
        process.kill()
        process.communicate()


def _child(pid: int) -> int:
    """Return the one child of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return int(children[0])


def lacking() -> str:
    """Return what root lacks to boot a machine here; empty if nothing."""
    needed = ("unshare", "nsenter", "setpriv", "ip", "dbus-daemon", "loginctl", "/lib/systemd/systemd")
    if missing := [program for program in needed if shutil.which(program) is None]:
        return f"{', '.join(missing)}"
    if not list(Path("/lib").glob("*/security/pam_systemd.so")):
        return "libpam-systemd"
    probe = "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && mount -t cgroup2 cgroup2 /mnt"
    tried = subprocess.run(
        ["unshare", "--pid", "--mount", "--net", "--fork", "--cgroup", "bash", "-c", probe],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"the right to mount ({tried.stderr.strip()})" if tried.returncode else ""
