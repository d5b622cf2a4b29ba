"""What keeps others away from the pages, by HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from smtd.daemon.pages.peer import can_tell
from tests.daemon.pages.visitor import Visitor
from tests.daemon.process import DaemonProcess, daemon_process
from tests.daemon.sqlite_stores import held


def listening(pid: int) -> int:
    """Return how many TCP sockets the process has."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(handle))
        except OSError:
            continue
    lines = Path(f"/proc/{pid}/net/tcp").read_text("ascii").splitlines()[1:]
    return sum(f"socket:[{line.split()[9]}]" in inodes and line.split()[3] == "0A" for line in lines)


def test_nothing_listens_until_somebody_asks(daemon: DaemonProcess) -> None:
    """Then on one port of loopback, which stays the same."""
    assert listening(daemon.pid) == 0

    first, second = Visitor(daemon), Visitor(daemon)

    assert listening(daemon.pid) == 1
    assert (first.port, first.link.partition("?")[0]) == (second.port, f"http://127.0.0.1:{first.port}/open")
    assert first.enter().status == second.enter().status == 200


def test_link_opens_the_pages_once(kept: DaemonProcess) -> None:
    """Somebody else with the same link sees how to get another."""
    visitor, other = Visitor(kept), Visitor(kept)
    other.link = visitor.link
    path = visitor.link.partition(str(visitor.port))[2]

    first, again = visitor.enter(), other.get(path)

    assert first.text.startswith("Mirror")
    assert (again.status, other.cookie) == (403, "")
    assert "This one was used already, or is too old." in again.text
    assert "smtd web" in again.text


def test_cookie_is_of_no_use_to_scripts_and_other_sites(kept: DaemonProcess) -> None:
    """It has the port in its name: browsers send a cookie to all ports of a host."""
    visitor = Visitor(kept)

    cookie = visitor.get(visitor.link.partition(str(visitor.port))[2]).headers["set-cookie"]

    assert cookie.startswith(f"smtd_{visitor.port}=")
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.parametrize("path", ["/", "/decide", "/history", "/live", "/pair?name=pair", "/nowhere"])
def test_page_without_a_session_says_how_to_open_one(kept: DaemonProcess, path: str) -> None:
    """And nothing else, not even whether there is such a page."""
    stranger = Visitor(kept)

    answer = stranger.get(path)

    assert (answer.status, answer.headers["cache-control"]) == (403, "private, no-store")
    assert "Run this command in a terminal" in answer.text
    assert "left.sqlite" not in answer.page


def test_wrong_token_opens_nothing(kept: DaemonProcess) -> None:
    """Nor does none."""
    stranger = Visitor(kept)

    assert stranger.get("/open?token=guessed").status == stranger.get("/open").status == 403
    assert stranger.cookie == ""


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "192.0.2.1", ""])
def test_request_for_another_host_is_refused(guest: Visitor, host: str) -> None:
    """A name of another site may lead a browser here."""
    answer = guest.get("/", Host=host)

    assert answer.status == 400
    assert "left.sqlite" not in answer.page


def test_localhost_is_a_name_of_this_machine(guest: Visitor) -> None:
    """As 127.0.0.1 is."""
    assert guest.get("/", Host=f"localhost:{guest.port}").status == 200


@pytest.mark.parametrize("path", ["/sync", "/pause", "/decide/review", "/decide/apply", "/undo"])
def test_form_of_another_page_is_refused(guest: Visitor, kept: DaemonProcess, path: str) -> None:
    """It lacks the token of the session, or comes from another site."""
    fields = [("pair", "pair"), ("kind", "conflict"), ("choice", "left"), ("all", "yes"), ("cycle", "1")]

    forged = guest.post(path, *fields, ("plan", "x"), token="forged")
    foreign = guest.post(path, *fields, ("plan", "x"), Sec_Fetch_Site="cross-site")
    plain = guest.post(path, *fields, Content_Type="text/plain")

    assert (forged.status, foreign.status, plain.status) == (403, 403, 415)
    assert kept.status()["state"] == "idle"
    assert kept.status()["conflicts"] == 3


def test_form_cannot_be_sent_as_an_address(guest: Visitor, kept: DaemonProcess) -> None:
    """A link must do nothing."""
    answers = [
        guest.get(f"/{path}?pair=pair&token={guest.token}") for path in ("pause", "sync", "decide/apply")
    ]

    assert [answer.status for answer in answers] == [405, 405, 405]
    assert kept.status()["state"] == "idle"


def test_pages_allow_nothing_from_elsewhere(guest: Visitor) -> None:
    """No inline script or style, no frame, no form to another site."""
    policy = guest.get("/").headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert all(" style=" not in guest.get(path).page for path in ("/", "/pair?name=pair", "/decide"))


def test_session_ends_with_the_daemon(daemon: DaemonProcess) -> None:
    """Nothing of it is stored."""
    visitor = Visitor(daemon)
    visitor.enter()

    daemon.restart()
    visitor.port = Visitor(daemon).port

    assert visitor.get("/").status == 403


def test_daemon_ends_at_once_although_a_page_is_live(daemon: DaemonProcess) -> None:
    """The stream ends with it."""
    visitor = Visitor(daemon)
    visitor.enter()
    with socket.create_connection(("127.0.0.1", visitor.port)) as stream:
        head = f"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {visitor.cookie}\r\n\r\n"
        stream.sendall(head.encode())
        assert stream.recv(100).startswith(b"HTTP/1.1 200")

        assert daemon.ctl("stop").code == 0
        assert daemon.ended(within=1.5) == 0


@pytest.mark.root
@pytest.mark.skipif(not can_tell(os.getuid()), reason="the kernel of this machine does not tell it")
def test_process_of_another_user_is_refused(guest: Visitor) -> None:
    """Even with the cookie, which a browser may have sent to it."""
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {guest.cookie}\r\n\r\n"
    program = (
        "import encodings.idna, os, socket, sys; os.setuid(65534)\n"
        "asked = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "asked.sendall(sys.argv[2].encode())\n"
        "print(asked.recv(100).split()[1].decode())"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program, str(guest.port), request],
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout == "403\n"
    assert guest.get("/").status == 200


def test_pages_of_a_daemon_without_pairs_say_what_to_do(tmp_path: Path) -> None:
    """On the first page, and on those that list something."""
    with daemon_process(tmp_path, "") as daemon:
        visitor = Visitor(daemon)

        assert "Add one: smtd pair add NAME LEFT RIGHT" in visitor.enter().text
        assert "Nothing waits for a decision." in visitor.get("/decide").text
        assert "smtd has written nothing yet." in visitor.get("/history").text


def test_stores_are_as_they_were(daemon: DaemonProcess, left: Path, visitor: Visitor) -> None:
    """To look at every page changes nothing."""
    before = held(left)

    for path in (
        "/",
        "/pair?name=pair",
        "/plan?pair=pair",
        "/decide",
        "/history",
        "/cycle?number=1",
        "/undo?cycle=1",
    ):
        assert visitor.get(path).status == 200

    assert held(left) == before
    assert len(daemon.ctl("history", "--json", "--limit", "1000").json["history"]) == 30
