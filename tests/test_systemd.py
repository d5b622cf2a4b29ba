"""The units of systemd/, as systemd itself reads them. Only its tools are needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from smtd.config import ServerConfig
from smtd.errors import DaemonRuns, JournalError, StoreUnreachable, UsageError
from smtd.server.acceptor import BACKLOG

UNITS = Path(__file__).parents[1] / "systemd"
SYSTEM = ["smtd.service", "smtd@.service", "smtd-server.service"]
USER = ["user/smtd.service"]
SOCKET = "smtd-server.socket"
LARGEST_EXPOSURE = 2.0


def analyze(*words: str | Path, runtime: Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; *runtime* is the runtime directory that --user needs."""
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, words)],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR": str(runtime), "HOME": str(runtime)},
        capture_output=True,
        text=True,
        check=False,
    )


def installed(unit: str, directory: Path) -> Path:
    """Return a copy of *unit* in *directory*, with paths of programs in this environment.

    systemd-analyze complains about missing programs, and looks for them only in /usr, whatever
    ExecSearchPath= says. Everything else is unchanged.
    """
    programs = Path(sys.executable).parent
    text = (UNITS / unit).read_text("utf-8")
    copy = directory / Path(unit).name
    copy.write_text(re.sub(r"^(Exec(?:Start|Reload)=)smtd", rf"\1{programs}/smtd", text, flags=re.MULTILINE))
    return copy


def settings(unit: str, name: str) -> list[str]:
    """Return the values of the setting *name* in *unit*."""
    return re.findall(rf"^{name}=(.*)$", (UNITS / unit).read_text("utf-8"), re.MULTILINE)


def test_unit_of_the_server_keeps_its_files_where_commands_look():
    """In the home of its user, which is its state directory: `smtd user` and `smtd backup` know no other."""
    home = f"/var/lib/{settings('smtd-server.service', 'StateDirectory')[0]}"
    guide = (UNITS / "README.md").read_text("utf-8")

    assert settings("smtd-server.service", "UnsetEnvironment") == ["STATE_DIRECTORY"]
    assert f"--home-dir {home} " in guide
    assert settings("smtd-server.service", "ExecStart") == ["smtd serve"]


@pytest.mark.parametrize("unit", SYSTEM + USER)
def test_units_permit_a_server(unit):
    """With [server] in the configuration each of them serves over TCP, with its store in the state."""
    assert settings(unit, "RestrictAddressFamilies") == ["AF_INET AF_INET6 AF_UNIX AF_NETLINK"]
    assert settings(unit, "PrivateNetwork") == []
    assert settings(unit, "IPAddressDeny") == []
    assert settings(unit, "SocketBindDeny") == []


def test_all_units_are_tested():
    """No unit is missing here."""
    found = {path.relative_to(UNITS).as_posix() for path in UNITS.rglob("*.*") if path.suffix != ".md"}

    assert found == {*SYSTEM, *USER, SOCKET}


@pytest.mark.parametrize("unit", SYSTEM + USER)
def test_unit_is_valid(unit, tmp_path):
    """systemd reports nothing; for unknown settings it would, but returns 0 all the same."""
    manager = "--user" if unit in USER else "--system"

    checked = analyze("verify", manager, installed(unit, tmp_path), runtime=tmp_path)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_socket_of_the_server_is_understood(tmp_path):
    """With its service, which systemd finds by the name."""
    units = [installed(unit, tmp_path) for unit in (SOCKET, "smtd-server.service")]

    checked = analyze("verify", "--system", *units, runtime=tmp_path)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_socket_of_the_server_listens_where_the_server_would():
    """The defaults of both fit together; a connection is for the service, which accepts it."""
    assert settings(SOCKET, "ListenStream") == [ServerConfig().listen]
    assert settings(SOCKET, "Backlog") == [str(BACKLOG)]
    assert settings(SOCKET, "Accept") == []


@pytest.mark.parametrize("unit", SYSTEM)
def test_system_unit_has_a_low_exposure(unit, tmp_path):
    """A vulnerability in smtd does little harm: the exposure, from 0 to 10, is small."""
    told = analyze("security", "--offline=true", installed(unit, tmp_path), runtime=tmp_path)

    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    assert found is not None, told
    assert float(found[1]) <= LARGEST_EXPOSURE


@pytest.mark.parametrize("unit", SYSTEM + USER)
def test_unit_is_ready_when_smtd_says_so(unit):
    """`systemctl start` and `reload` return when it is done, and a hanging daemon is restarted."""
    assert settings(unit, "Type") == ["notify"]
    assert settings(unit, "ExecReload") == ["smtd-ctl reload"]
    assert settings(unit, "WatchdogSec") == ["1min"]
    assert settings(unit, "Restart") == ["on-failure"]


@pytest.mark.parametrize("unit", SYSTEM + USER)
def test_unit_restarts_after_passing_problems(unit):
    """Not after one that a user must repair; but after a missing store or disk."""
    (prevented,) = settings(unit, "RestartPreventExitStatus")
    codes = {int(code) for code in prevented.split()}

    assert {UsageError.exit_code, DaemonRuns.exit_code} <= codes
    assert codes.isdisjoint({1, StoreUnreachable.exit_code, JournalError.exit_code})


@pytest.mark.parametrize("unit", SYSTEM + USER)
def test_unit_can_list_open_files_of_other_processes(unit):
    """Nothing puts smtd into a user namespace, where /proc/PID/fd of others is closed to it."""
    assert settings(unit, "PrivateUsers") == []
    if unit in USER:  # systemd makes one for these in a user's manager
        assert settings(unit, "(?:Protect|Private|Bind|ReadOnly|ReadWrite|Inaccessible)[A-Za-z]*") == []
