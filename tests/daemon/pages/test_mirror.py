"""The first page and the page of a pair, by HTTP: what people read there, and what changes by itself."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.build import full
from tests.daemon.pages.visitor import Visitor
from tests.daemon.process import DaemonProcess, wait_until
from tests.daemon.sqlite_stores import labels, put


@contextmanager
def live(visitor: Visitor, path: str = "/live") -> Iterator[Iterator[dict[str, str]]]:
    """Yield the changes of a page as they come."""
    with closing(http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=30)) as connection:
        connection.request("GET", path, headers={"Cookie": visitor.cookie})
        answer = connection.getresponse()
        assert answer.headers["content-type"] == "text/event-stream"
        yield (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))


def test_page_shows_each_pair_and_first_what_waits(guest: Visitor) -> None:
    """With its stores, their records, and the button that helps."""
    text = guest.get("/").text

    assert "What waits for you pair 3 records changed on both sides, and no rule can decide. Decide" in text
    assert "pair idle In sync, except for what is listed above." in text
    assert "left.sqlite 33 records" in text
    assert "right.sqlite 33 records" in text
    assert "In sync 30" in text
    assert "30 changes today, 30 in 31 days." in text
    assert text.index("What waits for you") < text.index("Pairs")


def test_page_of_a_pair_shows_all_that_is_known_of_it(guest: Visitor) -> None:
    """Its charts are drawings with a text."""
    seen = guest.get("/pair?name=pair")

    assert "33 left (line), 33 right (dashes)." in seen.text
    assert seen.page.count('role="img" aria-label="') == 3  # no change was carried that smtd saw happen
    assert guest.get("/pair?name=nobody").status == 404
    assert guest.get("/pair").status == 400


def test_pair_goes_offline_and_comes_back(daemon: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """The page says so by itself, and says when smtd tries again."""
    away = left.with_name("away")
    with live(visitor) as changes:
        (part, _), *_ = [each for each in next(changes).items() if each[0] != "needs"]

        left.rename(away)
        offline = next(each[part] for each in changes if ">offline<" in each.get(part, ""))
        away.rename(left)
        back = next(each[part] for each in changes if ">idle<" in each.get(part, ""))

    assert "A store cannot be reached. smtd tries again by itself." in offline
    assert "Next try:" in offline
    assert "In sync" in back
    assert daemon.status()["state"] == "idle"


def test_live_page_shows_new_counts_and_needs(daemon: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """At most once a second; the page of one pair has its parts only."""
    with live(visitor, "/live?name=pair") as changes:
        first = next(changes)

        put(left, full("new"))
        then = next(each for each in changes if any("34 records" in html for html in each.values()))

    assert "needs" in first
    assert "3 records changed on both sides" in first["needs"]
    assert "needs" not in then  # they have not changed


def test_lag_of_a_change_is_in_the_chart(daemon: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """From when smtd saw it until both stores had it."""
    put(left, full("new"))
    daemon.wait_event(lambda event: event.get("right", {}).get("created") == 1)

    text = visitor.get("/").text

    assert "Half of the changes (line) arrived within" in text
    assert "31 changes today" in text


def test_pair_is_paused_and_resumed(daemon: DaemonProcess, visitor: Visitor) -> None:
    """The button says what it does; pressed twice, it does no harm."""
    paused = visitor.post("/pause", ("pair", "pair"))
    again = visitor.post("/pause", ("pair", "pair"))
    assert daemon.status()["state"] == "paused"
    resumed = visitor.post("/resume", ("pair", "pair"), ("back", "pair"))

    assert paused.text.startswith("Paused.")
    assert "Resume pair" in again.text
    assert resumed.text.startswith("Resumed. pair")
    assert "Pause pair" in resumed.text


def test_notice_is_shown_once(visitor: Visitor) -> None:
    """Not again when the page is loaded again."""
    assert visitor.post("/sync", ("pair", "pair")).text.startswith("Synced: nothing to do.")
    assert visitor.get("/").text.startswith("Mirror")


def test_plan_is_shown_and_run_as_it_was_shown(
    daemon: DaemonProcess, visitor: Visitor, left: Path, right: Path
) -> None:
    """Or not at all, if something changed meanwhile."""
    daemon.ctl("pause", "pair")
    put(left, full("one"))
    shown = visitor.get("/plan?pair=pair")
    assert "one MyProject is created on the right new on the left" in shown.text
    put(left, full("two"))

    late = visitor.post("/sync", ("pair", "pair"), ("plan", shown.hidden("plan")))
    assert "The stores have changed since plan" in late.text
    assert "one" not in labels(right)
    plan = visitor.get("/plan?pair=pair").hidden("plan")
    done = visitor.post("/sync", ("pair", "pair"), ("plan", plan))

    assert done.text.startswith("Synced: 2 created.")
    assert labels(right) >= {"one", "two"}
    assert "Nothing." in visitor.get("/plan?pair=pair").text


def test_halted_pair_says_what_to_do(daemon: DaemonProcess, visitor: Visitor, left: Path) -> None:
    """First of all."""
    left.write_bytes(b"not a store")
    wait_until(lambda: daemon.status()["state"] == "halted")

    text = visitor.get("/").text

    assert "What waits for you pair It cannot sync:" in text
    assert "halted It needs you." in text


def test_page_is_shown_without_charts_if_the_journal_is_damaged(
    daemon: DaemonProcess, visitor: Visitor
) -> None:
    """It says what is wrong."""
    journal = daemon.state / "journal.sqlite"
    size = journal.stat().st_size
    for name in ("journal.sqlite-wal", "journal.sqlite-shm"):
        assert (daemon.state / name).exists()
    with journal.open("r+b") as file:
        file.write(b"x" * size)
    (daemon.state / "journal.sqlite-wal").write_bytes(b"")
    daemon.ctl("sync", "now")

    answer = visitor.get("/")

    assert answer.status == 200
    assert "Pairs pair halted It needs you." in answer.text
