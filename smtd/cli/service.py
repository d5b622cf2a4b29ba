"""`smtd service`: the daemon as a service of systemd, for this user or for the machine."""

from __future__ import annotations

import getpass
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smtd import denied, durable, regular
from smtd.cli import unit_file, user_daemon
from smtd.cli.say import say, say_json
from smtd.cli.systemctl import STARTING, Systemctl
from smtd.errors import SmtdError, UsageError
from smtd.paths import expanded

#: The unit of the daemon, and the user that runs that of the machine, with its home.
UNIT, USER, HOME = "smtd.service", "smtd", "/var/lib/smtd"
#: Where a package of the system has units: these are enabled, and never written.
_PACKAGES = (Path("/usr/lib/systemd"), Path("/lib/systemd"))


class ServiceNotRunning(SmtdError):
    """The service is not installed, or does not run."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Service:
    """The service of this user, or that of the machine. All methods block."""

    of_user: bool

    @property
    def systemctl(self) -> Systemctl:
        """The command that controls it."""
        return Systemctl(self.of_user)

    @property
    def path(self) -> Path:
        """Where `install` writes the unit."""
        if not self.of_user:
            return Path("/etc/systemd/system") / UNIT
        home = os.environ.get("XDG_CONFIG_HOME") or expanded("~/.config")
        return Path(home) / "systemd" / "user" / UNIT

    @property
    def packaged(self) -> Path | None:
        """The unit that a package of the system has installed, if any."""
        kind = "user" if self.of_user else "system"
        places = [directory / kind / UNIT for directory in _PACKAGES]
        return next((place for place in places if place.exists()), None)

    def text(self) -> str | None:
        """Return the text of the unit at `path` (None: there is none). Raises UsageError."""
        try:
            return regular.read_text(self.path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            why = denied.why(exc) if isinstance(exc, OSError) else "it is not text"
            raise UsageError(f"the unit {self.path} cannot be read: {why}") from exc

    def unit(self) -> Path | None:
        """Return the unit that there is, by smtd, by hand or by a package (None: there is none)."""
        return self.packaged if self.text() is None else self.path


def of(*, user: bool, system: bool) -> Service:
    """Return the service that the options name; without one it is the user's, and for root the machine's."""
    if user and system:
        raise UsageError("choose one of --user and --system")
    return Service(user or (not system and os.geteuid() != 0))


def install(service: Service, config: Path | None, *, as_json: bool) -> int:
    """Write the unit if it is not there as wanted, enable and start it; return the exit code.

    *config*: the configuration that the service gets (None: it looks in the usual places). The exit code is
    1 if it cannot be started here. Raises SmtdError.
    """
    changed = _write(service, config)
    running, step = _start(service, changed=changed)
    place = str(service.unit())
    if as_json:
        say_json({"ok": running, "unit": place, "changed": changed, "running": running, "next": step})
    else:
        say(f"{place}: {'written' if changed else 'unchanged'}")
        say(f"smtd {'runs, and starts' if running else 'would start'} with {_beginning(service)}")
        if step:
            say(step)
    return 0 if running else 1


def place_for_user() -> Path | None:
    """Return the unit with which `start_for_user` would start the daemon (None: it would start none)."""
    service = Service(of_user=True)
    if not (service.systemctl.is_running() and service.systemctl.sees_same_files()):
        return None
    return service.path if service.packaged is None else service.packaged


def start_for_user(config: Path | None) -> bool:
    """Start the daemon as a service of this user, which gets a unit if it has none; say whether it runs.

    *config* is as for `install`. Raises SmtdError if systemd runs, but cannot start it.
    """
    service = Service(of_user=True)
    if place_for_user() is None:
        return False
    changed = service.unit() is None and _write(service, config)
    return _start(service, changed=changed)[0]


def _beginning(service: Service) -> str:
    return f"each login of {getpass.getuser()}" if service.of_user else "the machine"


def _write(service: Service, config: Path | None) -> bool:
    """Write the unit; say whether it is another one now. Raises UsageError if it is not smtd's to write."""
    chosen = config or os.environ.get("SMTD_CONFIG")
    config = expanded(chosen).absolute() if chosen else None
    programs = unit_file.installed_programs()
    before = service.text()
    if before is None and config is None and service.packaged and programs.smtd[0] == "/usr/bin/smtd":
        return False
    if before is not None and not before.startswith(unit_file.HEADER):
        raise UsageError(
            f"{service.path} was not written by smtd service install; move it away, or keep it:"
            f" {service.systemctl.words} enable --now {UNIT}"
        )
    if not service.of_user:
        _prepare_machine(programs)
    unit = f"user/{UNIT}" if service.of_user else UNIT
    wanted = unit_file.text_of(unit, programs, config)
    if before != wanted:
        _replace(service.path, wanted)
    return before != wanted


def _prepare_machine(programs: unit_file.Programs) -> None:
    """Create the user of the machine's service. Raises UsageError if that, or the service, cannot be."""
    if os.geteuid() != 0:
        raise UsageError("only root can install the service of the machine; use sudo, or --user")
    if found := unit_file.out_of_reach(programs):
        raise UsageError(
            f"the service of the machine may not read {found}; install smtd where every user can read it:"
            " python3 -m venv /opt/smtd, and /opt/smtd/bin/pip install smtd's wheel"
        )
    try:
        pwd.getpwnam(USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--home-dir", HOME, "--shell", "/usr/sbin/nologin"]
        try:
            subprocess.run([*command, USER], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as exc:
            why = exc.stderr.strip() if isinstance(exc, subprocess.CalledProcessError) else exc.strerror
            raise UsageError(f"the user {USER} cannot be created: {why}") from exc


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, "utf-8")
        new.chmod(0o644)
        durable.replace(new, path)
    except OSError as exc:
        raise UsageError(f"the unit {path} cannot be written: {denied.why(exc)}") from exc


def _start(service: Service, *, changed: bool) -> tuple[bool, str]:
    """Enable and start the unit; say whether it runs, and what is left to do (empty: nothing).

    Raises SmtdError if systemd cannot start it.
    """
    systemctl = service.systemctl
    if not systemctl.is_running():
        systemctl.does("enable", UNIT)  # it needs no running systemd for the machine
        return False, f"no systemd runs here; where it does: {systemctl.words} enable --now {UNIT}"
    if changed:
        systemctl.does("daemon-reload")
    if not systemctl.does("enable", UNIT):
        raise UsageError(f"systemd does not enable {UNIT}; see {systemctl.words} status {UNIT}")
    is_active = systemctl.state("ActiveState", UNIT) in ("active", "reloading", "activating")
    if service.of_user and not is_active and user_daemon.is_running():
        then = f"{systemctl.words} start {UNIT}"
        return False, f"a daemon that is not this service runs already: smtd stop, then {then}"
    if not systemctl.does("restart" if changed else "start", UNIT, patience=STARTING):
        logs = f"journalctl {'--user ' if service.of_user else ''}--unit {UNIT} --lines 20"
        raise SmtdError(f"smtd does not start; see its log: {logs}")
    return True, _lingering() if service.of_user else ""


def _lingering() -> str:
    """Return how smtd keeps running when this user logs out; empty if it does so already."""
    name = getpass.getuser()
    if os.path.exists(f"/var/lib/systemd/linger/{name}"):
        return ""
    return "it ends when you log out; to keep it running: loginctl enable-linger"


def uninstall(service: Service, *, as_json: bool) -> int:
    """End and disable the service, and remove its unit, if smtd wrote it; return the exit code.

    Configuration, state and the user stay. Raises UsageError.
    """
    before = service.text()
    if not service.of_user and os.geteuid() != 0:
        raise UsageError("only root can remove the service of the machine; use sudo, or --user")
    if before is not None and not before.startswith(unit_file.HEADER):
        raise UsageError(
            f"{service.path} was not written by smtd service install; remove it yourself, after"
            f" {service.systemctl.words} disable --now {UNIT}"
        )
    was_there = service.unit() is not None
    if was_there:
        service.systemctl.does("disable", "--now", UNIT, patience=STARTING)
    service.path.unlink(missing_ok=True)
    service.systemctl.does("daemon-reload")
    if as_json:
        say_json({"ok": True, "removed": str(service.path) if before is not None else None})
    elif before is None:
        stays = (
            f"{service.packaged} belongs to a package, and is disabled"
            if was_there
            else "there is no service"
        )
        say(stays)
    else:
        say(f"{service.path}: removed; configuration and state stay as they are")
    return 0


def status(service: Service, *, as_json: bool) -> int:
    """Say whether the service is installed, enabled and running; return 0 if it runs, and 3 if not."""
    unit, systemctl = service.unit(), service.systemctl
    found: dict[str, Any] = {
        "unit": None if unit is None else str(unit),
        "enabled": systemctl.state("UnitFileState", UNIT) == "enabled",
        "running": systemctl.state("ActiveState", UNIT) == "active",
        "says": systemctl.state("StatusText", UNIT),
    }
    if as_json:
        say_json(found)
    elif found["unit"] is None:
        say("not installed: smtd service install")
    else:
        say(f"{found['unit']}: {'enabled' if found['enabled'] else 'not enabled'}")
        say(f"running: {found['says'] or 'yes'}" if found["running"] else "not running: smtd service install")
    return 0 if found["running"] else ServiceNotRunning.exit_code
