"""A real daemon sends notifications through a real command and a real server."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from smtd.records.record import Executable
from tests.build import full, record
from tests.daemon.process import daemon_process, pair_of, wait_until
from tests.daemon.receiver import STALL, receiver
from tests.daemon.sqlite_stores import write


def quarrel(left: Path, right: Path, label: str = "quarrel") -> None:
    """Put two experiments under one label."""
    write(left, record(label, executable=Executable("/usr/bin/a", "A", "1", "")))
    write(right, record(label, executable=Executable("/usr/bin/b", "B", "2", "")))


class Program:
    """A command that records the notifications that it gets."""

    def __init__(self, directory: Path) -> None:
        self._heard = directory / "heard"
        self.path = directory / "program"
        self.path.write_text(f'#!/bin/sh\n{{ cat; printf "\\n%s\\n" "$1"; }} >> {self._heard}\n')
        self.path.chmod(0o700)

    @property
    def heard(self) -> list[tuple[str, str]]:
        """The events and the messages so far, of calls that have ended."""
        lines = self._heard.read_text("utf-8").splitlines() if self._heard.exists() else []
        return [
            (json.loads(data)["event"], text) for data, text in zip(lines[::2], lines[1::2], strict=False)
        ]

    def wait(self, *events: str) -> None:
        """Wait until it has got exactly these events."""
        wait_until(lambda: len(self.heard) >= len(events))
        assert [event for event, _ in self.heard] == list(events)


def notify(**ways: object) -> str:
    """Return a section of the configuration."""
    return "\n".join(["[notify]", *(f"{name} = {json.dumps(value)}" for name, value in ways.items()), ""])


def test_conflict_is_reported_once(tmp_path: Path, left: Path, right: Path) -> None:
    """Not in each cycle, nor after a restart; a new one is."""
    program = Program(tmp_path)
    quarrel(left, right)
    with daemon_process(tmp_path, pair_of(left, right) + notify(command=[str(program.path)])) as daemon:
        program.wait("conflict")
        for _ in range(3):
            daemon.sync()
        daemon.restart()
        daemon.sync()
        assert daemon.ctl("pause", "pair").code == 0  # until both sides have theirs
        quarrel(left, right, "another")
        daemon.sync()
        program.wait("conflict", "conflict")

    sentences = [sentence for _, sentence in program.heard]
    assert "1 record is in conflict (MyProject/quarrel); see smtd conflicts pair" in sentences[0]
    assert "1 record is in conflict (MyProject/another)" in sentences[1]


def test_halt_and_recovery_are_reported_once(tmp_path: Path, left: Path, right: Path) -> None:
    """With the problem, in the order of the events, across a restart."""
    program = Program(tmp_path)
    with daemon_process(tmp_path, pair_of(left, right) + notify(command=[str(program.path)])) as daemon:
        daemon.sync()
        kept = right.read_bytes()
        right.write_bytes(b"no database " * 1000)
        daemon.ctl("sync", "now")
        program.wait("halted")
        daemon.restart()
        daemon.ctl("sync", "now")
        right.write_bytes(kept)
        daemon.ctl("sync", "now")
        program.wait("halted", "recovered")


def test_short_outage_of_a_store_is_not_reported(tmp_path: Path, left: Path, right: Path) -> None:
    """A long one is."""
    program = Program(tmp_path)
    ways = notify(command=[str(program.path)], offline_after="1h")
    with daemon_process(tmp_path, pair_of(left, right) + ways) as daemon:
        daemon.sync()
        left.rename(tmp_path / "away")
        daemon.ctl("sync", "now")
        assert daemon.status()["state"] == "offline"
        daemon.config.write_text(pair_of(left, right) + ways.replace("1h", "0s"), "utf-8")
        assert program.heard == []
        assert daemon.ctl("reload").code == 0
        program.wait("offline")
        (tmp_path / "away").rename(left)
        daemon.ctl("sync", "now")
        program.wait("offline", "recovered")


@pytest.mark.slow
def test_webhook_and_heartbeat_are_real_requests(tmp_path: Path, left: Path, right: Path) -> None:
    """Neither waits for the other, and no address is shown anywhere."""
    quarrel(left, right)
    with receiver((500, {})) as hook, receiver() as monitor:
        ways = notify(webhook=f"{hook.url}/s3cret?key=t0ken", heartbeat_url=f"{monitor.url}/s3cret/ping")
        with daemon_process(tmp_path, pair_of(left, right) + ways) as daemon:
            beat, heard = monitor.next(), [hook.next() for _ in range(2)]
            shown = daemon.ctl("status", "--json").out + json.dumps(daemon.events())
            log = daemon.log.read_text("utf-8")

    assert (beat.method, beat.path) == ("GET", "/s3cret/ping")
    assert {(each.method, each.path, each.body["event"]) for each in heard} == {
        ("POST", "/s3cret?key=t0ken", "conflict")
    }
    assert "s3cret" not in shown + log
    assert "t0ken" not in shown + log
    assert (
        log.count("notifications through the webhook of [notify] fail: 127.0.0.1 answered with status 500")
        == 1
    )


def test_hanging_channels_delay_neither_a_cycle_nor_the_shutdown(
    tmp_path: Path, left: Path, right: Path
) -> None:
    """Undelivered notifications are delivered after the next start."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nsleep 1000\n")
    program.chmod(0o700)
    quarrel(left, right)
    with receiver((STALL, {}), (200, {})) as hook, receiver((STALL, {})) as monitor:
        ways = notify(command=[str(program)], webhook=hook.url, heartbeat_url=monitor.url)
        with daemon_process(tmp_path, pair_of(left, right) + ways) as daemon:
            hook.next()
            monitor.next()
            wait_until((tmp_path / "begun").exists)
            write(left, full("more"))
            assert daemon.sync()["in_sync"] == 2
            daemon.signal(signal.SIGTERM)
            assert daemon.ended(3.0) == 0
            daemon.start()
            assert hook.next().body["event"] == "conflict"


def test_failing_command_is_logged_once(tmp_path: Path, left: Path, right: Path) -> None:
    """With its output, which is shown nowhere else."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho x >> {tmp_path}/calls\necho so it is\nexit 7\n")
    program.chmod(0o700)
    with daemon_process(tmp_path, pair_of(left, right) + notify(command=[str(program)])) as daemon:
        assert daemon.ctl("pause", "pair").code == 0  # except what is requested
        for number in range(3):
            quarrel(left, right, f"quarrel-{number}")
            assert len(daemon.sync()["conflicts"]) == number + 1
            wait_until(
                lambda calls=number + 1: (  # type: ignore[misc]
                    (tmp_path / "calls").exists() and (tmp_path / "calls").read_text().count("x") == calls
                )
            )
        assert daemon.status()["problem"] is None
        daemon.restart()
        daemon.sync()
        log = daemon.log.read_text("utf-8")

    assert log.count("notifications through the command of [notify] fail") == 1
    assert f"the command {program} failed with code 7: so it is" in log
    assert (tmp_path / "calls").read_text().count("x") == 3


def test_web_client_is_imported_only_for_a_webhook(tmp_path: Path, left: Path, right: Path) -> None:
    """Most daemons use no server."""
    with daemon_process(tmp_path, pair_of(left, right), start=False) as daemon:
        daemon.start(PYTHONPROFILEIMPORTTIME="1")
        daemon.sync()
        without = daemon.log.read_text("utf-8")
        daemon.config.write_text(pair_of(left, right) + notify(webhook="http://127.0.0.1:9/"), "utf-8")
        assert daemon.ctl("reload").code == 0
        wait_until(lambda: "| aiohttp\n" in daemon.log.read_text("utf-8").replace("  ", ""))

    assert "aiohttp" not in without
