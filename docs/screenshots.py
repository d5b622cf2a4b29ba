"""Take the pictures of the documents: `make screenshots`.

A daemon and a server run with sample records, and Chromium looks at their pages. The records are always the
same; times of the daemon are those of the day.
"""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, sync_playwright

from docs.sample_records import PROJECT, records
from smtd.journal.figures import KEPT, lag_class
from smtd.records.record import Record
from tests.build import change, commented
from tests.daemon.process import DaemonProcess, daemon_process
from tests.daemon.sqlite_stores import held, put, write
from tests.server.process import ServerProcess, server_process
from tests.server.served import PASSWORD
from tests.web.filling import Filler
from tests.web.person import ARGUMENTS, TELEPHONE, Person, person

#: A file with as many bytes at most.
LARGEST = 150_000
RUNS = records(120)
#: The port of a server.
USUAL = 8471
#: Pages show where stores are.
PLACE = Path(tempfile.gettempdir()) / "home"


class Picture(NamedTuple):
    """A picture: its file, the page, and how a person looks at it."""

    name: str
    path: str
    size: tuple[int, int]
    dark: bool = False


WIDE = 1100
OF_THE_DAEMON = (
    Picture("daemon", "/", (WIDE, 600)),
    Picture("pair-dark", "/pair?name=bursting", (WIDE, 1000), dark=True),
    Picture(
        "conflict", f"/decide/record?pair=bursting&project={PROJECT}&label={RUNS[-2].label}", (WIDE, 640)
    ),
    Picture("history", "/history", (WIDE, 700)),
    Picture("daemon-telephone", "/", TELEPHONE),
)
_COMPARED = "&".join(f"label={each.label}" for each in (RUNS[3], RUNS[12], RUNS[22]))
OF_THE_SERVER = (
    Picture("records", f"/project?name={PROJECT}", (1280, 760)),
    Picture("record", f"/record?project={PROJECT}&label={RUNS[3].label}", (WIDE, 900)),
    Picture("compare", f"/compare?project={PROJECT}&{_COMPARED}", (WIDE, 800)),
)


@contextmanager
def lab(directory: Path) -> Iterator[tuple[DaemonProcess, ServerProcess]]:
    """Give a daemon with three pairs, one of them with a server, and what happened to them in a month."""
    for name in ("ada", "lab"):
        (directory / name).mkdir()
    laptop = directory / "ada" / "bursting.sqlite"
    with server_process(directory / "lab", _listening()) as server:
        put(laptop, *RUNS[:-2], project=PROJECT)
        put(directory / "ada" / "archive.sqlite", project=PROJECT)
        with daemon_process(directory / "ada", _configuration(directory, server), start=False) as daemon:
            daemon.smtd.more["LAB_PASSWORD"] = PASSWORD
            daemon.start()
            _is_idle(daemon, "bursting", len(RUNS) - 2)
            daemon.stop()
            _fill_charts(daemon.state / "journal.sqlite")
            daemon.start()
            _work(daemon, laptop, Filler(server.root, "ada"))
            yield daemon, server


def _listening() -> str:
    """Return the configuration of the server: its usual port, if that is free here."""
    with socket.socket() as tried:
        is_free = tried.connect_ex(("127.0.0.1", USUAL)) != 0
    return f'[server]\nlisten = "127.0.0.1:{USUAL if is_free else 0}"\n'


def _configuration(directory: Path, server: ServerProcess) -> str:
    ada = directory / "ada"
    stores = {
        "laptop": {"location": str(ada / "bursting.sqlite")},
        "lab": {"location": f"{server.root}records/", "username": "ada", "password_env": "LAB_PASSWORD"},
        "archive": {"location": str(ada / "archive.sqlite")},
        "stick": {"location": "/media/ada/STICK/records.sqlite"},
    }
    pairs = {"bursting": ("laptop", "lab"), "archive": ("laptop", "archive"), "stick": ("laptop", "stick")}
    lines = [
        f"[stores.{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        for name, keys in stores.items()
    ]
    lines += [f'[pairs.{name}]\nleft = "{left}"\nright = "{right}"' for name, (left, right) in pairs.items()]
    return "\n\n".join([*lines, ""])


def _is_idle(daemon: DaemonProcess, pair: str, records: int) -> None:
    """Wait until *pair* has this many records in sync."""
    while daemon.status(pair)["in_sync"] < records:
        time.sleep(0.2)


def _fill_charts(journal: Path) -> None:
    """Write the figures of a month, as a daemon would have counted them."""
    hour = int(time.time()) // 3600
    with closing(sqlite3.connect(journal)) as db:
        pairs = [row[0] for row in db.execute("SELECT id FROM pair ORDER BY id")]
        for pair in pairs:
            for back in range(KEPT - 1, 0, -1):
                changes = (back * 7919 + pair * 31 + back // 24 * 17) % 11
                if not 8 <= (hour - back) % 24 <= 20 or back // 24 % 7 in (1, 2):
                    changes = 0
                lags = Counter(str(lag_class(0.08 + back * number % 17 / 40)) for number in range(changes))
                count = len(RUNS) - 2 - back * 96 // KEPT
                size = 700_000 + 1_500 * (KEPT - back)
                row = (pair, hour - back, changes, json.dumps(lags), count, count, size)
                db.execute("INSERT OR REPLACE INTO figures VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        db.commit()


def _work(daemon: DaemonProcess, laptop: Path, lab: Filler) -> None:
    """Do what people do: edits that travel, and some that a person has to decide."""
    new: list[Record] = RUNS[-2:]
    put(laptop, *new, project=PROJECT)
    _is_idle(daemon, "bursting", len(RUNS))
    found = held(laptop)
    for each in RUNS[3:9]:
        _save(laptop, commented(found[each.label], "read again for the paper"))
    lab.annotate(RUNS[20].label, PROJECT, outcome="bursts, but later than on my machine")
    time.sleep(2)
    daemon.ctl("pause", "bursting")
    _save(laptop, change(held(laptop)[new[0].label], outcome="bursts at 2.71 Hz: use this one for figure 2"))
    lab.annotate(new[0].label, PROJECT, outcome="the electrode drifted; do not use it")
    now = datetime.now(timezone.utc).replace(microsecond=0)
    label = now.strftime("%Y%m%d-%H%M%S")
    going_on = {"tags": frozenset({"_running_"}), "duration": None, "stdout_stderr": "Not yet captured."}
    running = change(new[1], label=label, timestamp=now, outcome="", **going_on)
    put(laptop, running, project=PROJECT)
    daemon.ctl("resume", "bursting")
    while not daemon.status("bursting")["conflicts"]:
        time.sleep(0.2)
    time.sleep(2)


def _save(laptop: Path, record: Record) -> None:
    write(laptop, record, project=PROJECT)


def take(browser: Browser, someone: Person, picture: Picture, directory: Path) -> None:
    """Take *picture*; print its size."""
    someone.open(picture.path)
    someone.page.wait_for_timeout(500)
    file = directory / f"{picture.name}.png"
    someone.page.screenshot(path=file, animations="disabled")
    size = file.stat().st_size
    print(f"{file}: {size // 1000} kB")
    assert size <= LARGEST, "too large"


def main(directory: Path) -> None:
    """Take all pictures into *directory*."""
    directory.mkdir(parents=True, exist_ok=True)
    PLACE.mkdir()
    try:
        # Playwright keeps an event loop in its thread; what fills the stores has another one.
        with ThreadPoolExecutor(1) as thread, lab(PLACE) as (daemon, server):
            thread.submit(_look, daemon, server, directory).result()
    finally:
        shutil.rmtree(PLACE)


def _look(daemon: DaemonProcess, server: ServerProcess, directory: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*ARGUMENTS])
        for picture in OF_THE_DAEMON:
            root, _, opening = daemon.ctl("web", "--print").out.strip().partition("open?")
            with person(browser, root, picture.size, dark=picture.dark) as someone:
                someone.open(f"open?{opening}")
                take(browser, someone, picture, directory)
        for picture in OF_THE_SERVER:
            with person(browser, server.root, picture.size, dark=picture.dark) as someone:
                someone.log_in("ada")
                take(browser, someone, picture, directory)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
