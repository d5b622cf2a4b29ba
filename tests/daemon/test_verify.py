"""`smtd-ctl verify`, and what the status shows of scrubs, with a real daemon."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smtd.cli.status_table import progress
from smtd.control.client import ask
from tests.build import full
from tests.daemon.process import DaemonProcess, Event, daemon_process, pair_of, synced, wait_until
from tests.daemon.sqlite_stores import put
from tests.peers.server import PASSWORD, SumatraServer


def run(path: Path, statement: str) -> None:
    """Run *statement* on the SQLite file at *path*, as any program with access to the file could."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
        db.execute(statement)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    put(tmp_path / "left.sqlite", full("one"), full("two"))
    return tmp_path / "left.sqlite"


@pytest.fixture
def daemon(tmp_path: Path, left: Path, right: Path) -> Iterator[DaemonProcess]:
    with daemon_process(tmp_path, pair_of(left, right)) as made:
        made.wait_event(synced)
        yield made


def test_pair_in_sync_is_verified(daemon: DaemonProcess) -> None:
    """One line for users, one object for scripts."""
    answer = daemon.ctl("verify")
    found = daemon.ctl("verify", "--deep", "--json", "pair").json

    assert (answer.code, answer.out, answer.err) == (0, "pair: 2 compared, 2 equal\n", "")
    assert found.keys() == {"ok", "seconds", "pairs", "errors"}
    (pair,) = found["pairs"]
    assert (pair["ok"], pair["deep"], pair["compared"], pair["equal"]) == (True, True, 2, 2)
    assert (pair["explained"], pair["findings"]) == ([], [])
    proven = daemon.status()["proven"]
    assert (proven["records"], proven["of"], proven["findings"]) == (2, 2, 0)
    assert proven["since"] is not None


def test_client_may_follow_the_progress_of_a_scrub(daemon: DaemonProcess) -> None:
    """With the keys of a status, so that a terminal shows both in the same way."""
    asked = {"verb": "verify", "deep": True, "progress": True}

    *words, last = ask(str(daemon.socket), asked)

    assert words
    assert {progress(pair).split()[0] for word in words for pair in word["progress"]} <= {"proving", "done"}
    assert last["pairs"][0]["equal"] == 2
    going_on = {"pair": "lab", "state": "proving", "pending": 750, "total": 1000}
    assert progress(going_on) == "proving 250/1,000"


def test_progress_without_a_known_backlog_has_no_numbers() -> None:
    """For example of a pair that was offline, when a client asks for its plan."""
    assert progress({"pair": "lab", "state": "scanning", "pending": None, "total": 1000}) == "scanning"


def test_changed_row_is_found_and_repaired(daemon: DaemonProcess, right: Path) -> None:
    """On a paused pair; the status shows the finding until its remedy was carried out."""
    daemon.ctl("pause", "pair")
    run(right, "UPDATE django_store_record SET version = 'tampered' WHERE label = 'one'")

    answer = daemon.ctl("verify", "--deep")
    status = daemon.ctl("status")

    what = (
        "MyProject/one: the right store differs from the last sync in version; run smtd sync now pair to"
        " copy that to the left store; if the change is a mistake, first put the version of the left store"
        " back"
    )
    assert (answer.code, answer.err) == (1, "")
    assert answer.out == f"pair: 2 compared, 1 equal, 1 unexpected difference\nfound: {what}\n"
    assert status.code == 1
    assert f"pair: {what}\n" in status.out
    event = daemon.wait_event(lambda event: event["event"] == "finding")
    assert (event["pair"], event["label"], event["side"]) == ("pair", "one", "right")
    assert daemon.ctl("sync", "now").code == 0
    assert daemon.ctl("verify").code == 0
    assert daemon.ctl("status").code == 0


def test_known_difference_is_explained_and_is_no_finding(
    daemon: DaemonProcess, left: Path, right: Path
) -> None:
    """For example a conflict."""
    daemon.ctl("pause", "pair")
    run(left, "UPDATE django_store_record SET version = '1' WHERE label = 'one'")
    run(right, "UPDATE django_store_record SET version = '2' WHERE label = 'one'")
    assert daemon.ctl("sync", "now").code == 1

    answer = daemon.ctl("verify")

    assert answer.code == 0
    assert answer.out.splitlines() == [
        "pair: 2 compared, 1 equal, 1 known difference",
        "known: MyProject/one: in conflict (version)",
    ]


def test_unreachable_store_cannot_be_verified(daemon: DaemonProcess, right: Path) -> None:
    """The exit code is that of an unreachable store; other pairs are still verified."""
    daemon.ctl("pause", "pair")
    right.rename(right.with_suffix(".away"))

    answer = daemon.ctl("verify")

    assert (answer.code, answer.out) == (4, "")
    assert "smtd-ctl: pair pair: " in answer.err
    assert "is missing, but was synced before" in answer.err
    assert daemon.ctl("verify", "nobody").code == 2


@pytest.fixture
def mirrored(server: SumatraServer, tmp_path: Path, left: Path) -> str:
    """A configuration of a pair with a server, whose cycles do not read known records there for a day."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD, "utf-8")
    lab = {
        "location": server.url,
        "username": "ada",
        "password_file": str(secret),
        "poll_interval": "200ms",
        "verify_interval": "1d",
    }
    return "\n".join(
        [
            *("[stores.left]", f"location = {json.dumps(str(left))}", "[stores.lab]"),
            *(f"{name} = {json.dumps(value)}" for name, value in lab.items()),
            *("[pairs.lab]", 'left = "left"', 'right = "lab"', 'projects = ["MyProject"]', ""),
        ]
    )


def is_finding(event: Event) -> bool:
    """Say whether an event is of a finding."""
    return bool(event["event"] == "finding")


@pytest.mark.slow
def test_altered_record_on_a_server_is_found_by_a_deep_scrub(
    mirrored: str, server: SumatraServer, tmp_path: Path, left: Path
) -> None:
    """The listing does not show it. `sync now` syncs it; then all records are verified."""
    with daemon_process(tmp_path, mirrored) as daemon:
        daemon.wait_event(synced)
        daemon.sync()  # the cycle after a write reads again what was written
        server.run("UPDATE django_store_record SET reason = 'tampered' WHERE label = 'one'")

        listing, certificate_error = daemon.ctl("verify"), daemon.status("lab")["proven"]["since"]
        deep = daemon.ctl("verify", "--deep", "--json")
        again = daemon.ctl("verify")
        synced_now = daemon.sync()
        after = daemon.ctl("verify", "--deep")

    assert (listing.code, certificate_error, again.code) == (0, None, 1)
    (finding,) = deep.json["pairs"][0]["findings"]
    assert (deep.code, finding["label"], finding["side"], finding["fields"]) == (
        1,
        "one",
        "right",
        ["reason"],
    )
    assert synced_now["left"]["updated"] == 1
    assert (after.code, after.out) == (0, "lab: 2 compared, 2 equal\n")


@pytest.mark.slow
def test_altered_record_on_a_server_is_found_in_the_background(
    mirrored: str, server: SumatraServer, tmp_path: Path
) -> None:
    """Within the configured time, across a restart, and until a user deals with it."""
    with daemon_process(tmp_path, f'{mirrored}prove_within = "1s"\n') as daemon:
        daemon.wait_event(synced)
        daemon.sync()  # the cycle after a write reads again what was written
        server.run("UPDATE django_store_record SET version = 'tampered' WHERE label = 'one'")

        event = daemon.wait_event(is_finding)
        daemon.restart()
        wait_until(lambda: bool(daemon.status("lab")["findings"]))
        status = daemon.status("lab")
        assert daemon.ctl("sync", "now").code == 0
        wait_until(lambda: not daemon.status("lab")["proven"]["findings"])
        told = [one for one in daemon.events() if is_finding(one)]

    assert (event["label"], event["side"], event["fields"]) == ("one", "right", ["version"])
    assert event["problem"] == "the right store differs from the last sync in version"
    assert [finding["label"] for finding in status["findings"]] == ["one"]
    assert status["proven"]["findings"] == 1
    assert [one["id"] for one in told] == [event["id"]]


def test_shelf_with_every_kind_of_record_is_verified(tmp_path: Path, rich_shelf: Path, right: Path) -> None:
    """What a database stores differently, with the same meaning, is equal; what it refused is known."""
    with daemon_process(tmp_path, pair_of(rich_shelf, right)) as daemon:
        synced_now = daemon.sync()
        deep, by_digest = (daemon.ctl("verify", "--json", *words).json for words in (["--deep"], []))

    for found in (deep, by_digest):
        (pair,) = found["pairs"]
        assert pair["findings"] == []
        assert pair["equal"] == synced_now["in_sync"] > 10
        assert {each["label"] for each in pair["explained"]} == {
            each["label"] for each in synced_now["failed"] + synced_now["held"]
        }
