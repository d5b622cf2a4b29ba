"""Real `smt` works in a project while the daemon mirrors it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.daemon.process import DaemonProcess, Event, daemon_process, pair_of, synced
from tests.peers.environments import HERE, Environment
from tests.peers.project import SumatraProject
from tests.peers.server import PASSWORD, SumatraServer
from tests.peers.stores import PeerStore


@pytest.fixture
def project(django_environment: Environment, tmp_path: Path) -> SumatraProject:
    """A project with an SQLite store, as `smt init` creates it."""
    made = SumatraProject(tmp_path / "MyProject", django_environment)
    made.init("MyProject")
    return made


def configuration(project: SumatraProject, tmp_path: Path, server: SumatraServer, *pairs: str) -> str:
    """Return a configuration that mirrors the project to a file and to a server, or only by *pairs*."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD, "utf-8")
    stores = {
        "laptop": {"location": str(project.directory)},
        "file": {"location": str(tmp_path / "mirror.sqlite")},
        "lab": {
            "location": server.url,
            "username": "ada",
            "password_file": str(secret),
            "poll_interval": "200ms",
            "verify_interval": "1s",
        },
    }
    lines = []
    for name, keys in stores.items():
        lines += [f"[stores.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    for name in pairs or ("file", "lab"):
        lines += [f"[pairs.{name}]", 'left = "laptop"', f'right = "{name}"', 'projects = ["MyProject"]']
    return "\n".join(lines)


def recovered(name: str, event: Event) -> bool:
    """Say whether *event* is of a pair that has recovered."""
    return bool(event["event"] == "recovered" and event["pair"] == name)


class Mirrors:
    """What the daemon reports about the two mirrors of one project."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        self._last = dict.fromkeys(("file", "lab"), 0)

    def wait(self, side: str, **counts: int) -> None:
        """Wait until cycles of both mirrors together have done *counts* to *side*."""
        for name in self._last:
            left = dict(counts)

            def done(event: Event, name: str = name, left: dict[str, int] = left) -> bool:
                if synced(event) and event["pair"] == name:
                    for what in left:
                        left[what] -= event[side][what]
                return not any(left.values())

            self._last[name] = self._daemon.wait_event(done, self._last[name])["id"]


@pytest.mark.slow
def test_a_working_day_is_mirrored_to_a_file_and_to_a_server(
    project: SumatraProject, server: SumatraServer, tmp_path: Path
) -> None:
    """Runs arrive once and whole; comments, tags and deletions follow; edits there come back."""
    with daemon_process(tmp_path, configuration(project, tmp_path, server)) as daemon:
        mirrors = Mirrors(daemon)
        for label in ("one", "two", "three"):
            project.run(label=label)
        mirrors.wait("right", created=3)
        project.comment("one", "as expected")
        project.tag("figure", "two")
        mirrors.wait("right", updated=2)
        project.delete("three")
        mirrors.wait("right", deleted=1)
        server.run("UPDATE django_store_record SET reason = 'asked by a reviewer' WHERE label = 'two'")
        came_back = daemon.wait_event(
            lambda event: synced(event) and event["pair"] == "lab" and event["left"]["updated"] == 1
        )
        daemon.wait_event(
            lambda event: synced(event) and event["pair"] == "file" and event["right"]["updated"] == 1,
            came_back["id"] - 1,
        )
        status = daemon.ctl("status", "--json").json

    # The mirror with the server polls it.
    assert {pair["state"] for pair in status["pairs"]} <= {"idle", "scanning"}
    records = project.records()
    assert sorted(records) == ["one", "two"]
    assert records["one"]["outcome"] == "as expected"
    assert "figure" in records["two"]["tags"]
    assert records["two"]["reason"] == "asked by a reviewer"
    assert records["one"]["duration"] is not None
    shown = server.run("SELECT label, outcome, reason, duration FROM django_store_record ORDER BY label")
    assert [(label, outcome, reason) for label, outcome, reason, _ in shown] == [
        ("one", "as expected", ""),
        ("two", "", "asked by a reviewer"),
    ]
    assert all(duration for *_, duration in shown)


@pytest.mark.slow
def test_mirror_fills_a_recreated_record_store(
    project: SumatraProject, server: SumatraServer, tmp_path: Path
) -> None:
    """The old store was moved away; the mirror keeps all records."""
    with daemon_process(tmp_path, configuration(project, tmp_path, server)) as daemon:
        mirrors = Mirrors(daemon)
        for label in ("one", "two"):
            project.run(label=label)
        mirrors.wait("right", created=2)

        project.smt_directory.rename(project.directory / ".smt_orig")
        daemon.wait_event(lambda event: event["event"] == "offline" and event["pair"] == "file")
        project.init("MyProject", prepared=False)
        for name in ("file", "lab"):
            daemon.wait_event(partial(recovered, name))
        for name in ("file", "lab"):
            report = daemon.sync(name)
            assert (report["ok"], report["in_sync"]) == (True, 2)

    assert sorted(project.labels()) == ["one", "two"]
    assert len(server.run("SELECT label FROM django_store_record")) == 2


def test_pair_follows_a_project_to_its_new_store(
    project: SumatraProject, server: SumatraServer, tmp_path: Path
) -> None:
    """And reports that."""
    with daemon_process(tmp_path, configuration(project, tmp_path, server, "file")) as daemon:
        project.run(label="one")
        daemon.wait_event(lambda event: synced(event) and event["right"]["created"] == 1)
        file = project.smt_directory / "project"
        settings = json.loads(file.read_text("utf-8"))
        other = project.smt_directory / "other"
        project.store_path.rename(other)
        settings["record_store"]["db_file"] = str(other)
        file.write_text(json.dumps(settings), "utf-8")

        event = daemon.wait_event(
            lambda event: (
                event["event"] == "store changed" and event["pair"] == "file" and event["side"] == "left"
            )
        )
        assert event["location"] == str(other)
        project.run(label="two")
        report = daemon.sync("file")

    assert (report["ok"], report["in_sync"]) == (True, 2)
    assert "its left store is now" in daemon.log.read_text("utf-8")


def test_sumatra_saves_while_the_daemon_writes_to_the_same_file(
    project: SumatraProject, django_environment: Environment, tmp_path: Path
) -> None:
    """Neither finds the file locked for long: no save fails, and every record arrives."""
    mirror = tmp_path / "mirror.sqlite"
    PeerStore(django_environment, "django", project.store_path).make_many("MyProject", 50)
    text = pair_of(project.directory, mirror) + 'settle = "0s"\n'
    with daemon_process(tmp_path, text) as daemon:
        daemon.wait_event(synced)
        script = HERE / "scripts" / "time_saves.py"
        words = ("--django", project.store_path, "MyProject", "saved", "--count=5")
        with (
            subprocess.Popen(
                django_environment.command("python", script, *words),
                env=django_environment.variables(),
                stdout=subprocess.PIPE,
                text=True,
            ) as saving,
            closing(sqlite3.connect(mirror, timeout=30, isolation_level=None)) as db,
        ):
            edits = 0
            while saving.poll() is None:
                edits += 1
                where = (f"edit {edits}", f"sweep-{edits % 50:05d}")
                db.execute("UPDATE django_store_record SET outcome = ? WHERE label = ?", where)
        report = daemon.sync()

    assert saving.returncode == 0
    assert edits > 100
    assert (report["ok"], report["in_sync"]) == (True, 55)
    outcomes = {label: record["outcome"] for label, record in project.records().items()}
    assert f"edit {edits}" in outcomes.values()
    assert len(outcomes) == 55


@pytest.mark.slow
def test_corrected_password_is_used_without_a_reload(
    project: SumatraProject, server: SumatraServer, tmp_path: Path
) -> None:
    """At the next try after the server rejected the old one."""
    server.make_project("MyProject")
    text = configuration(project, tmp_path, server, "lab")
    secret = tmp_path / "password"
    secret.write_text("mistaken", "utf-8")
    with daemon_process(tmp_path, text) as daemon:
        halted = daemon.wait_event(lambda event: event["event"] == "halted" and event["pair"] == "lab")
        assert "failed: wrong user name or password" in halted["problem"]
        secret.write_text(PASSWORD, "utf-8")

        daemon.wait_event(partial(recovered, "lab"), after=halted["id"])

        assert "mistaken" not in daemon.log.read_text("utf-8") + json.dumps(daemon.events())
