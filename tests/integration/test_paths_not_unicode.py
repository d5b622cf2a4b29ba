"""A path need not be Unicode, for example in an old home directory in Latin-1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.build import full
from tests.command import Smtd, written
from tests.daemon.process import daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import labels, put
from tests.projects import make_project


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A directory named thèse, in Latin-1."""
    made = tmp_path / os.fsdecode("thèse".encode("latin-1"))
    try:
        made.mkdir()
    except OSError as exc:
        pytest.skip(f"this file system has no such names: {exc.strerror}")
    return made


def test_stores_and_state_below_such_a_directory_are_synced(smtd: Smtd, odd: Path) -> None:
    """Repeatedly, with the baselines; paths are shown with an escape."""
    put(odd / "a.sqlite", full("run"))

    first = smtd.sync(odd / "a.sqlite", odd / "b.shelf", "--state", odd / "state")
    second = smtd.sync(odd / "a.sqlite", odd / "b.shelf", "--state", odd / "state")
    listed = smtd("list", odd / "b.shelf", "--json")

    assert (written(first)["right"], written(second)["right"]) == ((1, 0, 0), (0, 0, 0))
    assert first["left"]["location"].endswith(r"/th\udce8se/a.sqlite")
    assert listed.json["location"].endswith(r"/th\udce8se/b.shelf")


def test_project_below_such_a_directory_is_synced_from_inside(smtd: Smtd, odd: Path) -> None:
    """By the relative path in its file."""
    make_project(odd, ".smt/records")
    put(odd / "other.sqlite", full("run"))

    done = smtd.sync("other.sqlite", cwd=odd)

    assert written(done)["right"] == (1, 0, 0)
    assert done["right"]["location"].endswith(r"/th\udce8se/.smt/records")


def test_error_below_such_a_directory_shows_the_path(smtd: Smtd, odd: Path) -> None:
    """In one sentence."""
    answer = smtd("sync", odd / "nothing.sqlite", odd / "none" / "b.sqlite")

    assert answer.code == 4
    assert answer.err.startswith("smtd: there is no record store at /")
    assert r"th\udce8se/nothing.sqlite" in answer.err


def test_daemon_keeps_such_stores_in_sync(odd: Path, tmp_path: Path) -> None:
    """With its configuration, state and socket there; a pair is kept across a restart."""
    put(odd / "a.sqlite", full("run"))
    put(tmp_path / "c.sqlite", full("run"))
    with daemon_process(odd, pair_of(tmp_path / "c.sqlite", tmp_path / "d.sqlite")) as daemon:
        added = daemon.ctl("pair", "add", "odd", odd / "a.sqlite", odd / "b.sqlite")
        done = daemon.wait_event(lambda event: synced(event) and event["pair"] == "odd")
        put(odd / "a.sqlite", full("later"))
        daemon.wait_event(lambda event: synced(event) and event["pair"] == "odd", after=done["id"])
        copied = daemon.ctl("backup", odd / "copy")
        asked = daemon.smtd("sync", odd / "a.sqlite", odd / "b.sqlite", "--json")
        daemon.ctl("stop")
        daemon.ended()
        daemon.start()
        listed = daemon.ctl("pair", "list").out
        shown = daemon.ctl("status", "--json", "odd")

    assert (added.err, copied.err) == ("", "")
    assert labels(odd / "b.sqlite") == {"run", "later"}
    assert asked.json["pairs"][0]["pair"] == "odd"
    assert r"th\udce8se/a.sqlite" in listed
    assert shown.json["pairs"][0]["left"]["location"].endswith(r"/th\udce8se/a.sqlite")


def test_status_and_events_escape_such_a_path(odd: Path) -> None:
    """When the stores of the pair are gone."""
    put(odd / "a.sqlite", full("run"))
    with daemon_process(odd, "") as daemon:
        daemon.ctl("pair", "add", "odd", odd / "a.sqlite", odd / "b.sqlite")
        daemon.wait_event(synced)
        (odd / "a.sqlite").unlink()
        (odd / "b.sqlite").unlink()

        event = daemon.wait_event(lambda event: event["event"] == "offline")

    assert r"th\udce8se" in event["problem"]
