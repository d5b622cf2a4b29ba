"""The units of systemd/, as `smtd service install` installs them, under a real systemd."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.booted.machine import SHARED, Machine
from tests.build import record
from tests.daemon.process import pair_of
from tests.stores.places import DjangoPlace, Place, dumb_place
from tests.test_cli_mirror import Project

pytestmark = [pytest.mark.root, pytest.mark.slow]

STORES = ("/srv/records/left.sqlite", "/srv/records/right.sqlite")
#: A watchdog that a test can wait for, and a store that the unit may write.
DROP_IN = """
[Service]
WatchdogSec=2s
TimeoutAbortSec=1s
RestartSec=200ms
ReadWritePaths=-/srv/records
"""
#: What reads the answer of smtd-ctl status.
IN_THE_MIDDLE = (
    'import json, sys; pair = json.load(sys.stdin)["pairs"][0]; '
    'print(pair["state"] == "applying" and 0 < pair["pending"] < pair["total"])'
)
IN_SYNC = 'import json, sys; print(json.load(sys.stdin)["pairs"][0]["in_sync"])'

#: What opens a page, and says how it was answered.
BROWSE = """
import sys, urllib.error, urllib.request as request
try:
    print(request.build_opener(request.HTTPCookieProcessor()).open(sys.argv[1]).status)
except urllib.error.HTTPError as exc:
    text = exc.read().decode()
    print("This daemon belongs to another user." if "This daemon belongs to another user." in text else text)
"""


def give_store(machine: Machine, path: str, count: int, kind: Callable[[Path], Place] = DjangoPlace) -> None:
    """Put a store with *count* records to *path*, in a directory of the user smtd."""
    place = kind(machine.directory / Path(path).name)

    async def fill() -> None:
        await place.put(*(record(f"run-{number}") for number in range(count)))

    anyio.run(fill)
    machine.run(
        "sh", "-c", f"mkdir -p {Path(path).parent}; mv {SHARED}/{Path(path).name}* {Path(path).parent}"
    )
    machine.run("chown", "-R", "smtd:", str(Path(path).parent))


def install(machine: Machine, config: str, *more: str, drop_in: str = DROP_IN) -> dict[str, Any]:
    """Install the service of the machine, with a configuration and stores, and start it."""
    machine.write("/etc/smtd/config.toml", config)
    machine.write("/etc/systemd/system/smtd.service.d/tests.conf", drop_in)
    return dict(json.loads(machine.run("smtd", "service", "install", "--system", "--json", *more)))


def install_pair(machine: Machine, count: int = 3) -> None:
    """Install the service with a pair in /srv, of which one side has *count* records."""
    machine.run("sh", "-c", "id smtd >/dev/null 2>&1 || useradd --system --home-dir /var/lib/smtd smtd")
    give_store(machine, STORES[0], count)
    install(machine, pair_of(*STORES))


def in_sync(machine: Machine, count: int) -> None:
    """Wait until the one pair has *count* records in sync."""
    machine.wait(f"smtd-ctl status --json | python3 -c '{IN_SYNC}'", str(count))


def pid(machine: Machine) -> str:
    return machine.state("smtd.service", "MainPID")


def test_install_starts_a_service_that_is_ready(machine):
    """It runs as the new user smtd; a second run disturbs nothing; uninstall leaves the state."""
    told = install(machine, "[daemon]\n")
    before = pid(machine)
    again = json.loads(machine.run("smtd", "service", "install", "--json"))

    assert told == {
        "ok": True,
        "unit": "/etc/systemd/system/smtd.service",
        "changed": True,
        "running": True,
        "next": "",
    }
    assert machine.state("smtd.service", "StatusText") == "no pairs"
    assert machine.run("ps", "-o", "user=", "-p", before).strip() == "smtd"
    assert machine.run("stat", "-c", "%U %a", "/var/lib/smtd", "/run/smtd").split() == [
        "smtd",
        "700",
        "smtd",
        "711",
    ]
    assert (again["changed"], pid(machine)) == (False, before)
    assert "running: no pairs" in machine.run("smtd", "service", "status")
    machine.run("smtd", "service", "uninstall")
    assert machine.state("smtd.service") == "inactive"
    assert machine.run("ls", "/var/lib/smtd").split() != []
    assert machine.tried("smtd", "service", "status").returncode == 3


def test_killed_daemon_comes_back_and_goes_on(machine):
    """After kill -9, and with what changed meanwhile."""
    install_pair(machine)
    in_sync(machine, 3)
    before = pid(machine)

    machine.run("kill", "-9", before)
    machine.wait("systemctl show --value -p NRestarts smtd.service; systemctl is-active smtd", "1\nactive")

    in_sync(machine, 3)
    assert pid(machine) != before


def test_stopped_process_meets_the_watchdog(machine):
    """A daemon that hangs is ended and started again, as is one that is suspended."""
    install_pair(machine)
    in_sync(machine, 3)

    machine.run("kill", "-STOP", pid(machine))
    machine.wait("systemctl show --value -p NRestarts smtd.service; systemctl is-active smtd", "1\nactive")

    assert "Watchdog timeout" in machine.log("-u", "smtd")
    in_sync(machine, 3)


def test_reload_tells_whether_it_worked(machine):
    """A good configuration takes effect; a bad one fails, and the one of before stays in use."""
    install_pair(machine)
    before = pid(machine)

    machine.write("/etc/smtd/config.toml", "[daemon]\nlog_levle = 'info'\n")
    bad = machine.tried("systemctl", "reload", "smtd")
    assert bad.returncode != 0
    assert machine.state("smtd.service") == "active"
    in_sync(machine, 3)
    machine.write("/etc/smtd/config.toml", pair_of(*STORES).replace("pairs.pair", "pairs.renamed"))
    machine.run("systemctl", "reload", "smtd")

    assert machine.run("smtd-ctl", "pair", "list").startswith("renamed: ")
    assert pid(machine) == before
    assert "unknown key 'log_levle'" in machine.log("-u", "smtd")


def test_wrong_configuration_is_not_tried_again(machine):
    """The service fails once, says why, and starts when it is mended."""
    machine.write("/etc/smtd/config.toml", "[pairs.pair]\n")
    told = machine.tried("smtd", "service", "install")

    assert told.returncode == 1
    assert (
        told.stderr == "smtd: smtd does not start; see its log: journalctl --unit smtd.service --lines 20\n"
    )
    assert machine.state("smtd.service", "NRestarts") == "0"
    assert "config.toml:1: pairs.pair: it needs the key left" in machine.log("-u", "smtd", "-n", "20")
    machine.write("/etc/smtd/config.toml", "[daemon]\n")
    assert machine.tried("smtd", "service", "install").returncode == 0


def test_sandbox_has_what_was_named_and_nothing_else(machine):
    """A store in /srv by ReadWritePaths=, one in a home by BindPaths=; all else is read-only or hidden."""
    machine.run("sh", "-c", "id smtd >/dev/null 2>&1 || useradd --system --home-dir /var/lib/smtd smtd")
    home = "/home/ada/project/records.sqlite"
    give_store(machine, STORES[0], 3)
    give_store(machine, home, 1)
    machine.run("chmod", "711", "/home/ada")
    machine.write("/home/ada/secret", "private")
    machine.write("/srv/other", "public")
    bound = f"{DROP_IN}BindPaths=/home/ada/project\n"
    install(machine, pair_of(STORES[0], home), drop_in=bound)

    in_sync(machine, 3)
    inside = ["nsenter", "-t", pid(machine), "-m"]
    assert machine.run(*inside, "ls", "-A", "/home/ada").split() == ["project"]
    assert machine.tried(*inside, "touch", "/srv/other").returncode != 0
    assert machine.tried(*inside, "touch", "/etc/smtd/x", "/usr/x").returncode != 0
    machine.run(*inside, "touch", "/srv/records/x")


def test_shelf_is_written_in_the_sandbox(machine):
    """What replaces the files of a shelf has their owner and group: so the unit allows chown."""
    machine.run("sh", "-c", "id smtd >/dev/null 2>&1 || useradd --system --home-dir /var/lib/smtd smtd")
    shelf = "/srv/records/shelf"
    give_store(machine, shelf, 1, dumb_place)
    give_store(machine, STORES[0], 3)
    install(machine, pair_of(STORES[0], shelf))

    in_sync(machine, 3)
    assert machine.run("smtd-ctl", "status", "--json").count('"failed": 0') == 1


def test_stop_in_the_middle_of_a_cycle_loses_nothing(machine):
    """It ends at once, as intended, and the next start goes on; each record is there once."""
    count = 5000
    install_pair(machine, count)
    machine.wait(f"smtd-ctl status --json | python3 -c '{IN_THE_MIDDLE}'", "True")

    machine.run("systemctl", "stop", "smtd")
    written = records(machine)
    result = machine.state("smtd.service", "Result")
    machine.run("systemctl", "start", "smtd")
    in_sync(machine, count)

    assert (result, machine.state("smtd.service", "Result")) == ("success", "success")
    assert 0 < written < count
    assert records(machine) == count
    assert "SIGKILL" not in machine.log("-u", "smtd")


def records(machine: Machine) -> int:
    """Return how many records the right store has."""
    machine.run("sh", "-c", f"cp {STORES[1]}* {SHARED}/")
    with closing(sqlite3.connect(machine.directory / "right.sqlite")) as db:
        (count,) = db.execute("SELECT count(*) FROM django_store_record").fetchone()
    for file in machine.directory.glob("right.sqlite*"):
        file.unlink()
    return int(count)


def test_group_may_look_at_the_daemon_of_the_machine(machine):
    """Its members find the daemon by themselves, and act no more than others; the pages are for its user."""
    install_pair(machine)
    machine.run("sh", "-c", "groupadd -f lab; usermod -aG lab smtd; usermod -aG lab ada; useradd -m bob")
    machine.write("/etc/smtd/config.toml", f'{pair_of(*STORES)}\n[daemon]\ncontrol_group = "lab"\n')
    refused = machine.tried("systemctl", "reload", "smtd")
    machine.run("systemctl", "restart", "smtd")
    in_sync(machine, 3)

    assert refused.returncode != 0  # the daemon got the group only when it started again
    assert "pair" in machine.run("smtd-ctl", "status", user="ada")
    assert machine.tried("smtd-ctl", "history", user="ada").returncode == 0
    paused = machine.tried("smtd-ctl", "pause", "pair", user="ada")
    assert (paused.returncode, "only root and the user smtd may use 'pause'" in paused.stderr) == (2, True)
    assert "permission denied" in machine.tried("smtd-ctl", "status", user="bob").stderr
    assert machine.tried("smtd-ctl", "pause", "pair").returncode == 0


def test_pages_know_whose_process_opens_them(machine):
    """The unit permits the question to the kernel; another user's browser has no use of the link."""
    install_pair(machine)

    def opened(user: str) -> str:
        link = machine.run("smtd-ctl", "web", "--print").strip()
        return str(machine.tried("python3", "-c", BROWSE, link, user=user).stdout).strip()

    assert opened("root") == "200"
    assert opened("ada") == "This daemon belongs to another user."
    assert "may not ask the kernel" not in machine.log("-u", "smtd")


def test_service_of_a_user_runs_without_a_login(machine):
    """With lingering; `smtd service install` finds systemd even where su left no XDG_RUNTIME_DIR."""
    machine.run("loginctl", "enable-linger", "ada")
    machine.wait("systemctl --user is-active basic.target", "active", user="ada")

    told = machine.run("env", "-u", "XDG_RUNTIME_DIR", "smtd", "service", "install", user="ada")

    assert told.splitlines() == [
        "/home/ada/.config/systemd/user/smtd.service: written",
        "smtd runs, and starts with each login of ada",
    ]
    assert machine.run("smtd-ctl", "status", "--json", user="ada").startswith('{"version"')
    machine.run(
        "systemctl",
        "restart",
        "user@$(id -u ada)".replace("$(id -u ada)", machine.run("id", "-u", "ada").strip()),
    )
    machine.wait("systemctl --user is-active smtd", "active", user="ada")
    machine.run("smtd", "service", "uninstall", user="ada")
    machine.run("loginctl", "disable-linger", "ada")


def test_mirror_starts_the_service_of_its_user(machine):
    """It installs the unit, says so, and the daemon has the pair; a second run finds all of it."""
    project = Project(machine.directory)
    anyio.run(project.fill)
    machine.run("sh", "-c", f"mv {SHARED}/proj /home/ada/ && chown -R ada: /home/ada/proj")
    replace = f"s|{project.directory}|/home/ada/proj|"
    machine.run("sed", "-i", replace, "/home/ada/proj/.smt/project")
    machine.run("loginctl", "enable-linger", "ada")
    machine.wait("systemctl --user is-active basic.target", "active", user="ada")
    mirror = "cd /home/ada/proj && smtd mirror ../lab.sqlite --yes"

    told = machine.tried("sh", "-c", mirror, user="ada")
    again = machine.run("sh", "-c", f"{mirror} --json", user="ada")

    assert told.returncode == 0, told.stderr
    unit = "/home/ada/.config/systemd/user/smtd.service"
    assert f"The daemon starts as a service of systemd: {unit}." in told.stderr
    assert "3 records in sync" in told.stdout
    assert machine.state("smtd.service", user="ada") == "active"
    assert [json.loads(again)[key] for key in ("ok", "new", "daemon")] == [True, False, True]
    machine.run("smtd", "service", "uninstall", user="ada")
    machine.run("loginctl", "disable-linger", "ada")


def test_server_and_its_socket(machine):
    """It holds clients while the server restarts; a pair logs in by a credential that only root reads."""
    units = "$(python3 -c 'import pathlib, smtd; print(pathlib.Path(smtd.__file__).parent)')/units"
    machine.run("sh", "-c", "id smtd >/dev/null 2>&1 || useradd --system --home-dir /var/lib/smtd smtd")
    machine.run("sh", "-c", f"cp {units}/smtd-server.* /etc/systemd/system/; systemctl daemon-reload")
    machine.run("systemctl", "enable", "--now", "smtd-server.socket")
    machine.run("systemctl", "start", "smtd-server")
    words = ["smtd", "user", "add", "ada", "--project", "*:write", "--password-stdin"]
    machine.run(*words, user="smtd", stdin="s3cret\n")
    machine.run("sh", "-c", "SMTD_SOCKET=/run/smtd-server/control.sock smtd-ctl reload")
    machine.write("/etc/smtd/lab.password", "s3cret\n", mode="600")
    give_store(machine, STORES[0], 3)
    config = pair_of(STORES[0], "http://127.0.0.1:8471/records/").replace(
        "[pairs.pair]", 'username = "ada"\ncredential = "lab"\n[pairs.pair]'
    )
    install(machine, config, drop_in=f"{DROP_IN}LoadCredential=lab:/etc/smtd/lab.password\n")

    in_sync(machine, 3)
    assert machine.run("smtd-ctl", "pair", "list").startswith("pair: ")
    # Now there is an /etc/smtd/config.toml, which is not that of the server.
    machine.run("systemctl", "restart", "smtd-server")
    machine.run("smtd-ctl", "sync", "now")
    assert "s3cret" not in machine.log()
