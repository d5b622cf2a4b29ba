"""`smtd-ctl web` opens the pages of the daemon in a browser, or prints a link to them."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.process import DaemonProcess, daemon_process, wait_until


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon for a user without a display and without a browser."""
    with daemon_process(tmp_path, "") as made:
        made.smtd.more |= {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
        yield made


def browser(directory: Path, script: str) -> str:
    """Return the command of a browser that does what *script* says; the address is the last of `words`."""
    program = directory / "browser.py"
    program.write_text(f"import sys\nwords = sys.argv[1:]\n{script}\n", "utf-8")
    return f"{sys.executable} {program} --new-window"


def test_link_is_printed_where_there_is_no_browser(daemon: DaemonProcess) -> None:
    """It is one line, for scripts and for copying; it works."""
    answer = daemon.ctl("web")

    assert (answer.code, answer.err) == (0, "")
    (link,) = answer.out.splitlines()
    assert link.startswith("http://127.0.0.1:")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(link) as page:
        assert b"Mirror" in page.read()


def test_browser_gets_the_link(daemon: DaemonProcess, tmp_path: Path) -> None:
    """With the options that BROWSER has."""
    seen = tmp_path / "seen"
    daemon.smtd.more["BROWSER"] = browser(tmp_path, f"open({str(seen)!r}, 'w').write(' '.join(words))")

    answer = daemon.ctl("web")

    assert (answer.code, answer.out) == (0, "opened the pages in your browser\n")
    wait_until(lambda: seen.exists() and "/open?token=" in seen.read_text("utf-8"))
    assert seen.read_text("utf-8").startswith("--new-window http://127.0.0.1:")


def test_link_is_printed_if_no_browser_can_be_opened(daemon: DaemonProcess, tmp_path: Path) -> None:
    """One fails, and another is not there."""
    daemon.smtd.more["BROWSER"] = f"{browser(tmp_path, 'sys.exit(1)')}:/nowhere/browser"

    answer = daemon.ctl("web")

    assert answer.code == 0
    assert answer.out.startswith("http://127.0.0.1:")


def test_print_opens_no_browser(daemon: DaemonProcess, tmp_path: Path) -> None:
    """Nor does --json, which has the seconds, too."""
    seen = tmp_path / "seen"
    daemon.smtd.more["BROWSER"] = browser(tmp_path, f"open({str(seen)!r}, 'w')")

    printed, told = daemon.ctl("web", "--print"), daemon.ctl("web", "--json")

    assert printed.out.startswith("http://127.0.0.1:")
    assert told.json.keys() == {"address", "seconds"}
    assert told.json["seconds"] == 60
    assert not seen.exists()


def test_without_a_daemon_there_is_no_page(daemon: DaemonProcess) -> None:
    """The message says how to start one."""
    daemon.stop()

    answer = daemon.ctl("web")

    assert answer.code == 3
    assert "start it with smtd run" in answer.err
