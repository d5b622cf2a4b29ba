"""Who may use the control socket: `control_group`."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smtd.control.audience import READING, ClientProcess, Readers, Role, readers_named, refusal, role_of
from smtd.control.protocol import MOST_READERS
from smtd.daemon.pair_verbs import Verbs
from smtd.errors import UsageError
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, wait_until
from tests.stores.places import DjangoPlace

LAB = Readers("lab", 70)
#: Asks the daemon at the socket "$1" the request "$2".
ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(sys.argv[2].encode() + b"\\n")
    print(connection.makefile().readline())
"""
#: Two users of no account: a member of the group by its further groups, and a stranger.
MEMBER, STRANGER = 40_001, 40_002


@pytest.mark.parametrize(
    ("client", "readers", "role"),
    [
        (ClientProcess(0, frozenset({0})), None, Role.ADMIN),
        (ClientProcess(1000, frozenset({1000})), LAB, Role.ADMIN),
        (ClientProcess(1001, frozenset({1001, 70})), LAB, Role.READER),
        (ClientProcess(1001, frozenset({70})), LAB, Role.READER),
        (ClientProcess(1001, frozenset({1001, 70})), None, Role.STRANGER),
        (ClientProcess(1001, frozenset({1001})), LAB, Role.STRANGER),
    ],
)
def test_role_follows_from_user_and_groups(client, readers, role):
    """Root and the daemon's user act, whatever their groups; members look; nobody else is answered."""
    assert role_of(client, 1000, readers) is role


def test_members_may_use_what_changes_nothing():
    """Each verb is one or the other, by name: a new one is for those who act, until it is listed."""
    nobody: Any = None
    known = set(Verbs(nobody).names)

    assert known >= READING
    assert {verb for verb in known if refusal(Role.READER, verb, LAB)} == known - READING
    assert not any(refusal(Role.ADMIN, verb, LAB) for verb in known)
    assert all(refusal(Role.STRANGER, verb, LAB) for verb in known)
    for harmful in (
        "stop",
        "reload",
        "undo",
        "backup",
        "web",
        "sync now",
        "sync plan",
        "pair add",
        "resolve",
    ):
        assert harmful not in READING


def test_unknown_group_is_a_mistake(tmp_path):
    """The daemon does not start with less than what was configured."""
    text = '[daemon]\ncontrol_group = "no-such-group"\n'
    with daemon_process(tmp_path, text, start=False) as daemon:
        daemon.start(ready=False)

        assert daemon.ended() == 2
        assert (
            "there is no group 'no-such-group'; create it, or change control_group" in daemon.log.read_text()
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon of root with a pair, which a group of this machine may look at."""
    group = grp.getgrnam("games").gr_name
    pair = pair_of(DjangoPlace(tmp_path / "left.sqlite").path, DjangoPlace(tmp_path / "right.sqlite").path)
    with daemon_process(tmp_path, f'{pair}\n[daemon]\ncontrol_group = "{group}"\n', start=False) as made:
        made.socket.parent.chmod(0o711)
        made.start()
        yield made


def asked(daemon: DaemonProcess, user: int, *groups: int, verb: str = "status") -> dict[str, Any]:
    """Return the answer to a process of *user* in *groups*, or why it cannot even connect."""
    who = ["setpriv", f"--reuid={user}", f"--regid={groups[0]}", f"--groups={','.join(map(str, groups))}"]
    request = json.dumps({"verb": verb, "pairs": ["pair"]})
    done = subprocess.run(
        [*who, os.path.realpath("/usr/bin/python3"), "-c", ASK, daemon.socket, request],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"ok": False, "error": done.stderr.splitlines()[-1]}
    return dict(json.loads(done.stdout))


@pytest.mark.root
def test_members_look_and_root_acts(lab):
    """A member gets answers, and refusals that say who may act; a stranger cannot connect."""
    games = grp.getgrnam("games").gr_gid

    assert lab.mode() == "srw-rw----"
    assert asked(lab, MEMBER, MEMBER, games)["result"]["pairs"][0]["pair"] == "pair"
    assert asked(lab, MEMBER, games, verb="history")["ok"] is True
    assert asked(lab, MEMBER, MEMBER, games, verb="pause") == {
        "ok": False,
        "error": "only root and the user root may use 'pause' here; members of the group games may look, with"
        " status, conflicts, holds, explain, show, history and events",
        "code": 2,
    }
    assert "PermissionError" in asked(lab, STRANGER, STRANGER)["error"]
    assert lab.ctl("pause", "pair").code == 0
    wait_until(lambda: lab.status()["state"] == "paused")


@pytest.mark.root
def test_reload_closes_the_socket_to_the_group(lab):
    """And opens it again; clients of before have their answers."""
    games = grp.getgrnam("games").gr_gid
    text = lab.config.read_text("utf-8")

    lab.config.write_text(text.replace("control_group", "# control_group"), "utf-8")
    assert lab.ctl("reload").code == 0
    assert lab.mode() == "srw-------"
    assert "PermissionError" in asked(lab, MEMBER, games)["error"]
    lab.config.write_text(text, "utf-8")
    assert lab.ctl("reload").code == 0
    assert asked(lab, MEMBER, games)["ok"] is True


@pytest.mark.root
def test_unreachable_directory_is_reported(lab):
    """The socket alone is not enough: members must be able to enter its directory."""
    lab.socket.parent.chmod(0o700)

    assert lab.ctl("reload").code == 0
    assert "the group games cannot reach" in lab.log.read_text("utf-8")


def test_daemon_that_is_not_in_the_group_says_so(monkeypatch):
    """Only root may give a file to any group."""
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    monkeypatch.setattr(os, "getegid", lambda: pwd.getpwnam("nobody").pw_gid)
    monkeypatch.setattr(os, "getgroups", list)

    with pytest.raises(
        UsageError, match=r"^the user nobody is not in the group games, .* --groups games nobody"
    ):
        readers_named("games")


#: Opens as many connections as the daemon serves, and asks by one more.
CROWD = """
import socket, sys
def connected():
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    return connection
crowd = [connected() for _ in range(int(sys.argv[2]))]
last = connected()
last.sendall(b'{"verb": "status"}\\\\n')
print(last.makefile().readline(), end="", flush=True)
sys.stdin.read()
"""


@pytest.mark.root
def test_crowd_of_members_keeps_nobody_else_out(lab):
    """Members have a number of connections of their own; those who act are served beside them."""
    games = grp.getgrnam("games").gr_gid
    who = ["setpriv", f"--reuid={MEMBER}", f"--regid={games}", "--clear-groups"]
    program = [os.path.realpath("/usr/bin/python3"), "-c", CROWD, str(lab.socket), str(MOST_READERS)]
    crowd = subprocess.Popen(
        [*who, *program], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert crowd.stdout is not None
        answer = json.loads(crowd.stdout.readline())
        status = lab.ctl("status")
    finally:
        crowd.communicate(input="")

    assert answer["error"] == "50 clients are connected already; stop some, such as events --follow"
    assert (answer["code"], status.code) == (3, 0)
