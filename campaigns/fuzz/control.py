"""Altered requests to the control socket of a real daemon, which goes on as if nothing had been."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path
from random import Random

from campaigns.campaign import Tally
from campaigns.fuzz.mutations import mutated
from campaigns.fuzz.targets import WORDS
from tests.daemon.process import DaemonProcess, daemon_process, pair_of

#: The requests; none ends the daemon or writes to a file that it names.
REQUESTS = [
    *({"verb": verb} for verb in ("status", "pair list", "conflicts", "holds", "reload")),
    *({"verb": verb, "pairs": ["pair"]} for verb in ("sync now", "sync plan", "pause", "resume")),
    {"verb": "events", "since": 3, "pairs": ["pair"], "follow": False},
    {"verb": "history", "pair": "pair", "label": "run*", "limit": 5},
    {"verb": "explain", "pair": "pair", "project": "MyProject", "label": "run"},
    {"verb": "resolve", "pair": "pair", "labels": ["run"], "take": "left"},
    {"verb": "show", "id": 1},
    {"verb": "undo", "pair": "pair", "cycle": 1},
    {"verb": "verify", "pair": "pair", "deep": True},
    {"verb": "pair add", "name": "x", "left": "a", "right": "b"},
]
#: Seconds after which a client gives up a request without an answer.
PATIENCE = 5.0


def run(directory: Path, count: int, tally: Tally, most: int) -> None:
    """Send *count* requests; the daemon must not take more than *most* bytes."""
    home = directory / "control"
    home.mkdir()
    with daemon_process(home, pair_of(home / "left.sqlite", home / "right.sqlite")) as daemon:
        for number in range(count):
            chance = Random(f"control {number}")
            request = json.dumps(chance.choice(REQUESTS)).encode() + b"\n"
            answer = _ask(daemon, mutated(request, chance, [*WORDS, b"\n", b"\0"]))
            tally.count += 1
            tally.counts["refused" if b'"ok": false' in answer else "read" if answer else "unanswered"] += 1
            if b"a bug in smtd" in answer:
                tally.differences.append(f"control {number}: {answer.decode()}")
        if daemon.ctl("status").code != 0:
            tally.differences.append("control: the daemon answers no more")
        if (taken := daemon.memory()) > most:
            tally.differences.append(f"control: the daemon takes {taken >> 20} MiB")


def _ask(daemon: DaemonProcess, request: bytes) -> bytes:
    answer = b""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(PATIENCE)
        client.connect(str(daemon.socket))
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        while data := client.recv(65536):
            answer += data
    return answer
