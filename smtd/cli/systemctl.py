"""Ask systemd, that of the machine or that of this user, by its command."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Seconds for systemd to answer; to start or end smtd may take more.
PATIENCE, STARTING = 20.0, 120.0
#: What says where smtd has its files.
_PLACES = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "SMTD_SOCKET")


@dataclass(frozen=True, slots=True)
class Systemctl:
    """`systemctl`, with --user for the systemd of this user. All methods block."""

    of_user: bool

    @property
    def words(self) -> str:
        """The command, as a person types it."""
        return "systemctl --user" if self.of_user else "systemctl"

    def does(self, *words: str, patience: float = PATIENCE) -> bool:
        """Run the command with *words*; say whether it succeeded."""
        return self._run(*words, patience=patience) is not None

    def is_running(self) -> bool:
        """Say whether this systemd runs: it does not in most containers."""
        return self._run("show-environment") is not None

    def sees_same_files(self) -> bool:
        """Say whether a service of this systemd would have its files where this process looks for them."""
        lines = (self._run("show-environment") or "").splitlines()
        theirs = dict(line.split("=", 1) for line in lines if "=" in line)
        return all(theirs.get(name, "") == os.environ.get(name, "") for name in _PLACES)

    def state(self, what: str, unit: str) -> str:
        """Return the property *what* of *unit*, such as ActiveState; empty if systemd does not run."""
        return (self._run("show", "--value", "--property", what, unit) or "").strip()

    def _run(self, *words: str, patience: float = PATIENCE) -> str | None:
        """Return what the command prints; None if it fails, or takes more than *patience* seconds."""
        command = ["systemctl", *(["--user"] if self.of_user else []), "--quiet", "--no-pager", *words]
        try:
            done = subprocess.run(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=patience,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def _environment(self) -> dict[str, str]:
        """Return the environment with the runtime directory of this user, which cron and su do not set."""
        login = Path(f"/run/user/{os.getuid()}")
        known = {"XDG_RUNTIME_DIR": str(login)} if self.of_user and login.is_dir() else {}
        return {**known, **os.environ}
