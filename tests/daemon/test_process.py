"""A real daemon process: start, end, control socket, and every verb of `smtd-ctl`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from smtd.control.protocol import MOST_CLIENTS
from tests.build import PROJECT, RUNNING, full, record
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced, wait_until
from tests.daemon.sqlite_stores import keys, labels, put


@pytest.fixture
def daemon(tmp_path: Path, left: Path, right: Path) -> Iterator[DaemonProcess]:
    with daemon_process(tmp_path, pair_of(left, right)) as made:
        yield made


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon after its first cycle, for tests that change nothing."""
    directory = tmp_path_factory.mktemp("daemon")
    put(directory / "left.sqlite", full("run"))
    with daemon_process(directory, pair_of(directory / "left.sqlite", directory / "right.sqlite")) as made:
        made.wait_event(synced)
        yield made


def test_change_is_synced_when_it_happens(daemon: DaemonProcess, left: Path, right: Path) -> None:
    """Without any request, in both directions; its own writes cause no cycle."""
    first = daemon.wait_event(synced)
    before = daemon.status()["last_cycle"]
    assert first["right"]["created"] == 1
    put(right, full("there"))

    second = daemon.wait_event(synced, after=first["id"])
    during, after = daemon.status(), daemon.status()

    assert (second["left"]["created"], second["right"]["created"]) == (1, 0)
    assert labels(left) == labels(right) == {"run", "there"}
    assert [event["id"] for event in daemon.events()] == [1, 2, 3]
    assert before < during["last_cycle"] == after["last_cycle"]
    assert (after["state"], after["in_sync"], after["lag_seconds"]) == ("idle", 2, 0.0)


def test_socket_is_private_and_removed_at_the_end(daemon: DaemonProcess) -> None:
    """No other user may connect; then `smtd-ctl` reaches no daemon."""
    assert daemon.mode() == "srw-------"
    assert "READY=1" in daemon.told

    assert daemon.ctl("stop").code == 0

    assert daemon.ended() == 0
    assert not daemon.socket.exists()
    answer = daemon.ctl("status")
    assert (answer.code, answer.out) == (3, "")
    assert "no daemon answers at" in answer.err
    assert "start it with smtd run" in answer.err


def test_status_is_a_table_or_json(asked: DaemonProcess) -> None:
    """A table for users, an object for scripts."""
    left, right = asked.directory / "left.sqlite", asked.directory / "right.sqlite"

    table = asked.ctl("status")
    found = asked.ctl("status", "--json").json

    heading, row = table.out.splitlines()
    assert (table.code, table.err) == (0, "")
    assert re.split("  +", heading.strip()) == [
        *("pair", "state", "in sync", "pending", "conflicts", "held", "failed", "lag"),
        *("last cycle", "next cycle", "stores"),
    ]
    assert row.split()[:9] == ["pair", "idle", "1", "0", "0", "0", "0", "0.0", "s"]
    assert row.endswith(f"{left} (1) <-> {right} (1)")
    assert found.keys() == {"version", "uptime_seconds", "pairs"}
    (pair,) = found["pairs"]
    assert pair["left"] == {"location": str(left), "records": 1}
    assert pair["right"] == {"location": str(right), "records": 1}
    assert pair.keys() >= {
        *("pair", "state", "left", "right", "in_sync", "pending", "conflicts", "held", "failed"),
        *("lag_seconds", "last_cycle", "next_cycle", "problem"),
    }


def test_options_may_precede_or_follow_the_verb(asked: DaemonProcess) -> None:
    """`--socket` and `--json`, with every verb."""
    other = asked.directory / "none.sock"

    assert asked.ctl("--json", "status").json.keys() == asked.ctl("status", "--json").json.keys()
    assert asked.ctl("--socket", asked.socket, "pair", "list").code == 0
    assert asked.ctl("--socket", other, "pair", "list", "--socket", asked.socket).code == 0
    assert asked.ctl("pause", "pair", "--socket", other).code == 3
    paused, resumed = asked.ctl("pause", "pair", "--json"), asked.ctl("--json", "resume", "pair")
    assert paused.json == resumed.json == {"pairs": ["pair"], "changed": ["pair"]}


def test_unfinished_run_is_held_until_a_user_includes_it(
    daemon: DaemonProcess, left: Path, right: Path
) -> None:
    """The status says so."""
    daemon.wait_event(synced)
    put(left, record("running", tags=RUNNING, duration=None, timestamp=datetime.now(timezone.utc)))

    assert daemon.ctl("sync", "now").code == 1
    holds = daemon.ctl("holds", "--json")
    assert [(each["label"], each["reason"]) for each in holds.json["holds"]] == [("running", "running")]
    assert holds.code == 1
    held = daemon.ctl("holds").out
    assert held.startswith("pair: 1 hold in MyProject: running\n  MyProject/running")
    assert "\n  smtd syncs it when its run is over" in held
    assert "\n    smtd-ctl sync now --include-unfinished pair\n" in held
    assert daemon.ctl("sync", "now", "--include-unfinished").code == 0

    assert labels(right) == {"run", "running"}


def test_killed_run_is_copied_after_a_while(tmp_path: Path, left: Path, right: Path) -> None:
    """A run that began long ago and never ended counts as killed."""
    put(left, record("killed", tags=RUNNING, duration=None))
    with daemon_process(tmp_path, pair_of(left, right, stale_after="1d")) as daemon:
        assert daemon.wait_event(synced)["right"]["created"] == 2

    assert labels(right) == {"run", "killed"}


def test_pairs_are_added_and_removed_while_the_daemon_runs(
    daemon: DaemonProcess, tmp_path: Path, left: Path
) -> None:
    """Added pairs survive a restart; configured ones cannot be removed."""
    other = tmp_path / "other.sqlite"
    assert daemon.ctl("pair", "add", "more", left, other).code == 0
    daemon.wait_event(lambda event: synced(event) and event["pair"] == "more")
    assert labels(other) == {"run"}
    again = daemon.ctl("pair", "add", "more", left, other)
    assert (again.code, "pair more exists already" in again.err) == (2, True)
    daemon.restart()

    listed = daemon.ctl("pair", "list", "--json").json["pairs"]

    assert [(pair["pair"], pair["added"]) for pair in listed] == [("more", True), ("pair", False)]
    assert "(added)" in daemon.ctl("pair", "list").out
    assert daemon.ctl("pair", "remove", "more").code == 0
    assert [pair["pair"] for pair in daemon.ctl("pair", "list", "--json").json["pairs"]] == ["pair"]
    answer = daemon.ctl("pair", "remove", "pair")
    assert (answer.code, "in the configuration; remove it there" in answer.err) == (2, True)
    secret = daemon.ctl("pair", "add", "secret", left, "https://ada:s3cret@lab.example/records/")
    assert (secret.code, "smtd does not save passwords" in secret.err) == (2, True)


def test_reload_does_not_disturb_unchanged_pairs(daemon: DaemonProcess, tmp_path: Path, left: Path) -> None:
    """By SIGHUP or by `smtd-ctl reload`; a file with mistakes changes nothing."""
    daemon.wait_event(synced)
    before = daemon.status()["last_cycle"]
    text = daemon.config.read_text("utf-8")
    stores = f'[stores.more]\nlocation = "{tmp_path / "more.sqlite"}"\n'
    more = f'{stores}[pairs.more]\nleft = "left"\nright = "more"\n'
    daemon.config.write_text(text + more, "utf-8")

    assert daemon.ctl("reload").out == "configuration reloaded\nadded: more\n"

    daemon.wait_event(lambda event: synced(event) and event["pair"] == "more")
    assert daemon.status()["last_cycle"] == before
    daemon.config.write_text(text + more.replace("right", "rihgt"), "utf-8")
    answer = daemon.ctl("reload")
    assert (answer.code, "unknown key 'rihgt'; did you mean 'right'?" in answer.err) == (2, True)
    daemon.signal(signal.SIGHUP)
    event = daemon.wait_event(lambda event: event["event"] == "not reloaded")
    assert "rihgt" in event["problem"]
    assert len(daemon.ctl("status", "--json").json["pairs"]) == 2
    daemon.config.write_text(text, "utf-8")
    daemon.signal(signal.SIGHUP)
    event = daemon.wait_event(lambda event: event["event"] == "reloaded", after=event["id"])
    assert event["removed"] == ["more"]
    daemon.wait_told("RELOADING=1")


def test_pair_recovers_when_its_store_comes_back(daemon: DaemonProcess, left: Path, right: Path) -> None:
    """Meanwhile it is offline; the other pairs and the verbs work, and nothing is deleted."""
    first = daemon.wait_event(synced)
    away = left.with_suffix(".away")
    left.rename(away)
    offline = daemon.wait_event(lambda event: event["event"] == "offline", after=first["id"])
    assert "is missing, but was synced before" in offline["problem"]
    assert daemon.status()["state"] == "offline"
    shown = daemon.ctl("status")
    assert shown.code == 1
    assert re.search(r"is missing, but was synced before.*; next try (in \d+ s|now)\n", shown.out)
    assert daemon.ctl("sync", "now").code == 4
    put(right, full("meanwhile"))
    wait_until(lambda: [daemon.status()[name] for name in ("state", "pending")] == ["offline", 1])
    assert "; 1 record changed since the last sync; next try " in daemon.ctl("status").out

    away.rename(left)

    daemon.wait_event(lambda event: event["event"] == "recovered", after=offline["id"])
    assert labels(left) == labels(right) == {"run", "meanwhile"}


def test_pair_recovers_when_a_file_in_place_of_a_directory_is_gone(tmp_path: Path, left: Path) -> None:
    """A store whose status cannot be read is offline, and ends nothing."""
    place, away = tmp_path / "place", tmp_path / "away"
    place.mkdir()
    right = place / "right.sqlite"
    with daemon_process(tmp_path, pair_of(left, right)) as daemon:
        first = daemon.wait_event(synced)
        place.rename(away)
        place.touch()
        ill = daemon.wait_event(lambda event: event["event"] in ("offline", "halted"), after=first["id"])
        put(left, full("meanwhile"))
        place.unlink()
        away.rename(place)

        daemon.wait_event(lambda event: event["event"] == "recovered", after=ill["id"])

        assert labels(right) == {"run", "meanwhile"}


def test_broken_pair_stops_no_other(tmp_path: Path, left: Path, right: Path) -> None:
    """The problem that a user must repair is reported, with the reason, and the other pairs are synced."""
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database at all, and no shelf either")
    text = pair_of(left, right)
    text += f'[stores.broken]\nlocation = "{broken}"\n[pairs.broken]\nleft = "left"\nright = "broken"\n'
    with daemon_process(tmp_path, text) as daemon:
        daemon.wait_event(lambda event: event["event"] == "halted" and event["pair"] == "broken")
        daemon.wait_event(synced)

        assert daemon.status("broken")["state"] == "halted"
        assert "is not a record store" in daemon.status("broken")["problem"]
        assert daemon.status("pair")["state"] == "idle"
    assert broken.read_bytes().startswith(b"no database")


def test_second_daemon_reports_the_first_and_ends(asked: DaemonProcess) -> None:
    """A state directory has one daemon, which is not disturbed."""
    answer = asked.smtd("-c", asked.config, "run")

    assert answer.code == 2
    assert "another smtd uses the state directory" in answer.err
    assert asked.ctl("status").code == 0


def test_socket_of_a_killed_daemon_is_replaced(
    daemon: DaemonProcess, tmp_path: Path, left: Path, right: Path
) -> None:
    """And that of a running one is not."""
    last = daemon.wait_event(synced)["id"]
    daemon.signal(signal.SIGKILL)
    assert daemon.ended() == -signal.SIGKILL
    assert daemon.socket.exists()
    put(left, full("meanwhile"))

    daemon.start()

    daemon.wait_event(synced, after=last)
    assert labels(right) == {"run", "meanwhile"}
    other = tmp_path / "other"
    other.mkdir()
    with daemon_process(other, "", start=False) as second:
        answer = second.smtd("-c", second.config, "run", "--socket", daemon.socket)
    assert answer.code == 2
    assert f"another smtd runs at {daemon.socket}" in answer.err
    assert daemon.ctl("status").code == 0


def test_directory_for_a_socket_that_was_never_made_is_removed(tmp_path: Path) -> None:
    """A daemon was killed while it made its socket: the next one removes what it left."""
    with daemon_process(tmp_path, "", start=False) as daemon:
        left = daemon.socket.parent / ".smtd-ab1_xyz9"
        left.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(left / "s"))

        daemon.start()

        assert {each.name for each in daemon.socket.parent.iterdir()} == {daemon.socket.name, "notify"}


@pytest.mark.slow
def test_sigterm_in_a_cycle_ends_the_daemon_at_once(tmp_path: Path, left: Path, right: Path) -> None:
    """The next start finishes what the cycle had begun."""
    put(left, *(full(f"run-{number}", stdout_stderr="x" * 20_000) for number in range(400)))
    with daemon_process(tmp_path, pair_of(left, right)) as daemon:
        while daemon.status()["state"] == "starting":
            pass
        daemon.signal(signal.SIGTERM)
        assert daemon.ended(3.0) == 0
        daemon.start()
        assert daemon.sync()["in_sync"] == 401
    assert labels(left) == labels(right)
    assert len(labels(right)) == 401


def connected(daemon: DaemonProcess, count: int) -> list[socket.socket]:
    """Return *count* idle connections."""
    made = [socket.socket(socket.AF_UNIX) for _ in range(count)]
    for each in made:
        each.connect(str(daemon.socket))
    return made


def test_bad_clients_get_an_error_and_delay_no_other(asked: DaemonProcess) -> None:
    """Clients that send nonsense, too much or nothing, many at once."""
    silent = connected(asked, 20)

    assert asked.ask(b'{"verb": "status"}')["ok"] is True
    for bad in (b"nonsense", b"[1]", b'{"verb": 5}', b'{"verb": "dance"}', b"{" * 10_000):
        answer = asked.ask(bad)
        assert (answer["ok"], answer["code"]) == (False, 2)
    assert "larger than" in str(asked.ask(b"x" * 70_000)["error"])
    for each in silent:
        each.close()
    assert asked.ctl("status").code == 0


def test_project_may_have_another_name_on_the_other_side(tmp_path: Path, left: Path, right: Path) -> None:
    """Its records are synced; projects that are not renamed stay where they are."""
    put(left, full("other"), project="Other")
    text = pair_of(left, right) + f'projects = {{ {PROJECT} = "my-project" }}\n'
    with daemon_process(tmp_path, text) as daemon:
        first = daemon.wait_event(synced)
        put(right, full("there"), project="my-project")
        daemon.wait_event(synced, after=first["id"])

    assert keys(left) == {(PROJECT, "run"), (PROJECT, "there"), ("Other", "other")}
    assert keys(right) == {("my-project", "run"), ("my-project", "there")}


def test_sync_command_hands_the_pair_of_a_daemon_to_it(
    daemon: DaemonProcess, left: Path, right: Path, tmp_path: Path
) -> None:
    """In either order of the stores, with the cycle's report; the command does what the daemon would not."""
    first = daemon.wait_event(synced)
    smtd = daemon.smtd
    assert daemon.ctl("pause", "pair").code == 0
    put(left, full("more"))

    planned = smtd("sync", right, left, "--dry-run")
    done = smtd("sync", right, left, "--json")
    other = smtd("sync", left, right, "--mode", "left-to-right", "--json")
    elsewhere = smtd("sync", left, right, "--state", tmp_path / "another")

    assert "the running daemon syncs this pair (pair); it planned this" in planned.err
    assert f"left   {right}  would be: 1 created" in planned.out
    assert (done.code, done.err, done.pair["pair"]) == (0, "", "pair")
    assert (done.pair["left"]["created"], done.pair["right"]["created"]) == (1, 0)
    assert daemon.wait_event(synced, after=first["id"])["right"]["created"] == 1
    assert (other.code, other.pair["pair"]) == (0, f"{left} {right}")
    assert (elsewhere.code, elsewhere.err) == (0, "")


def test_event_numbers_continue_across_a_restart(daemon: DaemonProcess, left: Path) -> None:
    """A client that asks for events after a number gets all of them, and none twice."""
    last = daemon.wait_event(synced)["id"]
    daemon.restart()
    put(left, full("more"))
    daemon.wait_event(synced, after=last)

    events = daemon.events()

    assert [event["id"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["event"] for event in events] == ["started", "synced", "stopped", "started", "synced"]
    assert daemon.events("--since", "3") == events[3:]


def test_clients_that_left_free_their_connections(daemon: DaemonProcess) -> None:
    """Two hundred followed and left in a quiet time; a hundred stay, and the next one gets an error."""

    def follow() -> socket.socket:
        (made,) = connected(daemon, 1)
        made.sendall(b'{"verb": "events", "follow": true}\n')
        assert made.recv(10)
        return made

    for _ in range(3):
        for one in [follow() for _ in range(MOST_CLIENTS)]:
            one.close()
        wait_until(lambda: daemon.ctl("status").code == 0)
    stay = [follow() for _ in range(MOST_CLIENTS)]
    answer = daemon.ctl("status")
    for one in stay:
        one.close()

    assert (answer.code, answer.out) == (3, "")
    assert "100 clients are connected already; stop some" in answer.err


def test_clients_wait_if_the_daemon_is_out_of_file_descriptors(
    daemon: DaemonProcess, left: Path, right: Path
) -> None:
    """The daemon continues, and accepts them when others have left."""
    first = daemon.wait_event(synced)
    daemon.allow_files(20)
    silent = connected(daemon, 60)
    wait_until(lambda: "has to wait" in daemon.log.read_text("utf-8"))
    for each in silent:
        each.close()

    assert daemon.ctl("status").code == 0
    put(left, full("more"))
    daemon.wait_event(synced, after=first["id"])
    assert labels(right) == {"run", "more"}


def test_client_that_closes_its_writing_end_is_answered(asked: DaemonProcess) -> None:
    """As with `echo '{"verb": "status"}' | nc -N -U control.sock`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(asked.socket))
        client.sendall(b'{"verb": "sync now"}\n')
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answers:
            (line,) = answers.readlines()

    assert json.loads(line)["result"]["pairs"][0]["in_sync"] == 1


def test_impossible_pair_is_refused(asked: DaemonProcess) -> None:
    """With the reason; the daemon continues as before."""
    left = str(asked.directory / "left.sqlite")

    def add(name: str, **pair: object) -> str:
        request = {"verb": "pair add", "name": name, "pair": {"left": left, **pair}}
        answer = asked.ask(json.dumps(request).encode())
        assert (answer["ok"], answer["code"]) == (False, 2)
        return str(answer["error"])

    assert "it needs the key right" in add("new")
    assert "cannot be the name of a pair" in add(" ", right="/tmp/x.sqlite")
    assert "'soon' is not a duration" in add("new", right="/tmp/x.sqlite", settle="soon")
    assert "unknown key 'mod'; did you mean 'mode'?" in add("new", right="/tmp/x.sqlite", mod="two-way")
    assert "there is no store lap; name a configured store, or give a full path" in add("new", right="lap")
    assert "is on both sides; name two" in add("new", right=left)
    assert len(asked.ctl("pair", "list").out.splitlines()) == 1


def test_wait_for_a_cycle_ends_at_its_timeout(tmp_path: Path, left: Path) -> None:
    """A hanging server delays no verb, and not the daemon's end either."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/records/"
        with daemon_process(tmp_path, pair_of(left, address)) as daemon:
            answer = daemon.ctl("sync", "now", "--timeout", "0.5")
            status = daemon.status()
            added = daemon.ctl("pair", "add", "more", left, tmp_path / "more.sqlite")
            removed = daemon.ctl("pair", "remove", "more")
            daemon.signal(signal.SIGTERM)
            assert daemon.ended(3.0) == 0

    assert (answer.code, answer.out) == (4, "")
    assert "there is no result after 1 s; the cycle continues (see smtd status)" in answer.err
    assert status["state"] in ("starting", "scanning")
    assert (added.code, removed.code) == (0, 0)


@contextmanager
def kept_waiting(daemon: DaemonProcess, path: Path) -> Iterator[None]:
    """Lock the store at *path* as another program may for hours, in the middle of a cycle of the pair."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        os.utime(path)
        # A single status may be of an earlier cycle, which ends.
        wait_until(lambda: all(daemon.status()["next_cycle"] is None for _ in range(5)))
        yield


@pytest.mark.parametrize("reloading", [False, True])
@pytest.mark.slow
def test_lock_of_another_program_does_not_delay_the_shutdown(
    reloading: bool, daemon: DaemonProcess, left: Path
) -> None:
    """Not even while a reload waits for the pair to end."""
    daemon.wait_event(synced)
    with kept_waiting(daemon, left):
        if reloading:
            daemon.config.write_text(daemon.config.read_text("utf-8") + 'settle = "1s"\n', "utf-8")
            daemon.signal(signal.SIGHUP)
            daemon.wait_told("RELOADING=1")
        daemon.signal(signal.SIGTERM)

        assert daemon.ended(3.0) == 0
        assert not daemon.socket.exists()


@pytest.mark.slow
def test_lock_of_another_program_delays_no_verb(daemon: DaemonProcess, left: Path, tmp_path: Path) -> None:
    """A pair that has to wait is removed at once, and the work that it has begun ends by itself."""
    daemon.ctl("pair", "add", "more", left, tmp_path / "more.sqlite")
    daemon.wait_event(lambda event: synced(event) and event["pair"] == "more")
    with kept_waiting(daemon, left):
        began = time.monotonic()

        assert daemon.ctl("pair", "remove", "more").code == 0

        assert time.monotonic() - began < 5
        assert [pair["pair"] for pair in daemon.ctl("pair", "list", "--json").json["pairs"]] == ["pair"]


def test_pairs_waiting_for_a_lock_leave_threads_to_others(tmp_path: Path, left: Path) -> None:
    """However many wait in threads, the daemon starts, and another pair is added and synced."""
    text = f'[stores.left]\nlocation = "{left}"\n'
    for number in range(45):
        text += f'[stores.s{number}]\nlocation = "{tmp_path / f"{number}.sqlite"}"\n'
        text += f'[pairs.p{number}]\nleft = "left"\nright = "s{number}"\n'
    put(tmp_path / "one.sqlite", full("one"))
    with closing(sqlite3.connect(left, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        with daemon_process(tmp_path, text) as daemon:
            daemon.ctl("pair", "add", "more", tmp_path / "one.sqlite", tmp_path / "two.sqlite")
            daemon.wait_event(lambda event: synced(event) and event["pair"] == "more")

            assert time.monotonic() - began < 8


def test_requested_cycle_does_not_wait_for_a_burst_to_settle(tmp_path: Path, left: Path, right: Path) -> None:
    """Nor does a pause: the burst then waits, too."""
    with daemon_process(tmp_path, pair_of(left, right, settle="1h")) as daemon:
        daemon.wait_event(synced)
        put(left, full("more"))
        wait_until(lambda: daemon.status()["lag_seconds"] > 0)

        assert daemon.sync()["in_sync"] == 2

        put(left, full("last"))
        wait_until(lambda: daemon.status()["lag_seconds"] > 0)
        assert daemon.ctl("pause", "pair").code == 0
        wait_until(lambda: daemon.status()["state"] == "paused")
        assert labels(right) == {"run", "more"}


@pytest.mark.slow
def test_reload_continues_when_its_client_leaves(daemon: DaemonProcess, left: Path, right: Path) -> None:
    """No pair ends without its replacement."""
    first = daemon.wait_event(synced)
    daemon.config.write_text(daemon.config.read_text("utf-8") + 'settle = "100ms"\n', "utf-8")
    with kept_waiting(daemon, left):
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(daemon.socket))
            asked.sendall(b'{"verb": "reload"}\n')
            wait_until(lambda: not daemon.ctl("status", "--json").json["pairs"])  # the pair is being ended
        event = daemon.wait_event(lambda event: event["event"] == "reloaded", after=first["id"])
    assert event["changed"] == ["pair"]
    put(left, full("more"))

    daemon.wait_event(synced, after=event["id"])

    assert labels(right) == {"run", "more"}


def test_last_events_are_shown_alone(daemon: DaemonProcess) -> None:
    """However many there were before; none of them is repeated when the number of the last one is known."""
    daemon.wait_event(synced)
    before = daemon.events()

    assert daemon.events("--last", "1") == before[-1:]
    assert daemon.events("--last", "1000") == before
    assert daemon.events("--last", "5", "--since", str(before[-1]["id"])) == []


def test_status_watch_repeats_the_status(asked: DaemonProcess) -> None:
    """Until the user interrupts it, which is no error."""
    with asked.start_ctl("status", "--watch", "--json") as watching:
        assert watching.stdout is not None
        shown = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)

        assert watching.wait(10) == 130
    assert [each["pairs"][0]["in_sync"] for each in shown] == [1, 1]
    assert shown[1]["uptime_seconds"] > shown[0]["uptime_seconds"]


def test_status_command_imports_nothing_heavy(asked: DaemonProcess) -> None:
    """A user who runs it in a loop pays for a socket and JSON, not for what the daemon needs."""
    heavy = ("asyncio", "anyio", "aiohttp", "aiosqlite", "click", "msgspec", "pathlib", "rich", "watchfiles")
    code = f"""
import sys
from smtd.cli import ctl
ctl.run(["status"])
print(*sorted(set({heavy}) & set(sys.modules)))
"""

    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=asked.variables(), capture_output=True, text=True, check=True
    )

    *table, imported = done.stdout.split("\n")[:-1]
    assert table[0].startswith("pair ")
    assert imported == ""


@pytest.mark.slow
def test_store_that_appears_after_the_start_is_noticed(tmp_path: Path, left: Path, right: Path) -> None:
    """For example on a disk that is mounted later: the daemon watches its place before it exists."""
    away = tmp_path / "away"
    left.rename(away)
    with daemon_process(tmp_path, pair_of(tmp_path / "mnt" / "left.sqlite", right)) as daemon:
        offline = daemon.wait_event(lambda event: event["event"] == "offline")
        (tmp_path / "mnt").mkdir()
        away.rename(tmp_path / "mnt" / "left.sqlite")
        recovered = daemon.wait_event(lambda event: event["event"] == "recovered", after=offline["id"])

    assert labels(right) == {"run"}
    passed = datetime.fromisoformat(recovered["at"]) - datetime.fromisoformat(offline["at"])
    assert passed.total_seconds() < 30
