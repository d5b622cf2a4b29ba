"""`smtd-ctl web`: open the daemon's pages in a browser, or print a link to them."""

from __future__ import annotations

import os
import sys
from typing import Any

from smtd.cli.client import add_verb, ask_daemon
from smtd.cli.say import say, say_json

#: The first use makes the daemon load what the pages need.
_PATIENCE = 60.0
#: Browsers that need a terminal of their own.
_OF_TERMINALS = ("elinks", "links", "links2", "lynx", "w3m", "www-browser")
#: Seconds in which a command that cannot open a browser says so.
_SOON = 3.0


def add_to(verbs: Any) -> None:
    """Add the verb to the parser's *verbs*."""
    web = add_verb(verbs, "web", _web, "Open the daemon's pages in a browser, or print a link.")
    web.add_argument(
        "--print", dest="only_print", action="store_true", help="Print the link; do not open a browser."
    )


def _web(arguments: Any) -> int:
    found = ask_daemon(arguments, "web", _PATIENCE)
    if arguments.json:
        say_json(found)
        return 0
    if not arguments.only_print and _open(found["address"]):
        say("opened the pages in your browser")
        return 0
    say(found["address"])
    if sys.stdout.isatty():
        say(f"this link opens the pages on this machine once, within {found['seconds']:.0f} s")
    return 0


def _open(address: str) -> bool:
    """Open *address* in a browser of the user's; say whether there is one."""
    import subprocess  # other verbs do not need it

    for command in _browsers():
        if os.path.basename(command[0]) in _OF_TERMINALS:
            continue
        try:
            process = subprocess.Popen(
                [*command, address],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            continue
        try:
            code = process.wait(_SOON)
        except subprocess.TimeoutExpired:
            return True  # it is the browser itself
        if code == 0:
            return True
    return False


def _browsers() -> list[list[str]]:
    """Return the commands that may open a browser: those of BROWSER, else xdg-open if there is a display."""
    import shlex  # other verbs need neither
    import shutil

    if named := os.environ.get("BROWSER"):
        return [shlex.split(each) for each in named.split(os.pathsep) if each.strip()]
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    opener = shutil.which("xdg-open")
    return [[opener]] if opener and has_display else []
