"""What a user asks and decides with `smtd-ctl` about single records and cycles; with real processes."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smtd.output.local_time import local_time
from tests.build import PROJECT, change, full, record, tagged
from tests.command import Answer
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced, wait_until
from tests.daemon.sqlite_stores import Store

#: Two experiments under each of these labels.
DOUBLE = ("a1", "a2", "b")
RUNS = [full(f"run-{number:02}") for number in range(30)]


def left_in(directory: Path) -> Store:
    store = Store(directory / "left.sqlite")
    store.put(*[record(label, version="1111") for label in DOUBLE])
    return store


def right_in(directory: Path) -> Store:
    store = Store(directory / "right.sqlite")
    store.put(record("same"), *[record(label, version="2222") for label in DOUBLE])
    return store


@pytest.fixture
def left(tmp_path: Path) -> Store:
    return left_in(tmp_path)


@pytest.fixture
def right(tmp_path: Path) -> Store:
    return right_in(tmp_path)


@pytest.fixture(scope="module")
def daemon_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon of such a pair, for tests that change nothing."""
    directory = tmp_path_factory.mktemp("daemon")
    with daemon_process(directory, pair_of(left_in(directory).path, right_in(directory).path)) as made:
        made.wait_event(synced)
        yield made


@pytest.fixture
def daemon(tmp_path: Path, left: Store, right: Store) -> Iterator[DaemonProcess]:
    """A daemon whose pair has had its first cycle, and is paused."""
    with daemon_process(tmp_path, pair_of(left.path, right.path)) as made:
        made.wait_event(synced)
        assert made.ctl("pause", "pair").code == 0
        yield made


def error(answer: Answer) -> tuple[int, str, str]:
    """Return the exit code, the error message, and the rest of the output."""
    return answer.code, answer.err.removeprefix("smtd-ctl: ").removesuffix("\n"), answer.out


def labels(found: list[dict[str, Any]]) -> list[str]:
    """Return the labels in a JSON list."""
    return [each["label"] for each in found]


# Conflicts


def test_conflicts_are_listed_and_shown(daemon_of_all: DaemonProcess) -> None:
    """With the remedy; a script gets the fields."""
    daemon = daemon_of_all
    listed, told = daemon.ctl("conflicts"), daemon.ctl("conflicts", "pair", "--json")
    shown, values = (
        daemon.ctl("show", "pair", PROJECT, "a1"),
        daemon.ctl("show", "pair", PROJECT, "a1", "--json"),
    )

    assert listed.code == told.code == 1
    assert listed.out.splitlines()[:2] == [
        "pair: 3 conflicts in MyProject: both sides changed version",
        "  MyProject/a1",
    ]
    assert told.json["conflicts"][0] == {
        "pair": "pair",
        "project": PROJECT,
        "label": "a1",
        "fields": ["version"],
    }
    assert labels(told.json["conflicts"]) == list(DOUBLE)
    assert (shown.code, values.code) == (0, 0)
    assert "version (left): 1111\nversion (right): 2222\n" in shown.out
    assert "reason: a first look\n" in shown.out
    assert shown.out.startswith("the sides differ in version\n")
    assert values.json.keys() == {"project", "label", "differing", "fields", "forgotten"}
    assert values.json["fields"]["version"] == {"left": "1111", "right": "2222", "agreed": None}


def test_conflicts_are_resolved_one_by_one_by_glob_or_all_at_once(
    daemon: DaemonProcess, left: Store, right: Store
) -> None:
    """The exit code says whether something is left."""
    one = daemon.ctl("resolve", "pair", PROJECT, "a1", "--take", "left")
    some = daemon.ctl("resolve", "pair", PROJECT, "a*", "--all", "--take", "both")
    rest = daemon.ctl("resolve", "pair", "--all", "--take", "right", "--json")

    assert (one.code, some.code, rest.code) == (1, 1, 0)
    assert f"pair: right {right.path}  1 updated\n" in one.out
    assert "conflict: MyProject/a2: both sides changed version; use smtd-ctl resolve to take" in one.out
    assert f"pair: right {right.path}  1 created, 1 updated\n" in some.out
    assert (rest.pair["ok"], rest.pair["left"]["updated"], rest.pair["conflicts"]) == (True, 1, [])
    kept = {"a1": "1111", "a2": "1111", "a2-2": "2222", "b": "2222"}
    assert left.versions() == right.versions() == {**kept, "same": "2f1c0de"}
    assert error(daemon.ctl("conflicts")) == (0, "", "No conflicts.\n")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("resolve", "pair", PROJECT, "--take", "left"), 2, "name a project and a label, or use --all"),
        (
            ("resolve", "pair", PROJECT, "same", "--take", "left"),
            2,
            "no conflict matches; smtd conflicts lists them",
        ),
        (
            ("resolve", "nobody", "--all", "--take", "left"),
            2,
            "there is no pair nobody; smtd pair list shows the pairs",
        ),
        (("explain", "pari", PROJECT, "same"), 2, "there is no pair pari; did you mean 'pair'?"),
        (
            ("explain", "pair", PROJECT, "smae"),
            2,
            "neither side has MyProject/smae, and smtd has no history of it; did you mean 'MyProject/same'?",
        ),
        (("deletes", "approve", "pair"), 2, "no held deletion matches; smtd holds lists them"),
        (
            ("explain", "pair", PROJECT, "x"),
            2,
            "neither side has MyProject/x, and smtd has no history of it;"
            " smtd list shows the records of a store",
        ),
        (
            ("show", "pair", PROJECT, "x"),
            2,
            "neither side has MyProject/x; smtd list shows the records of a store",
        ),
        (
            ("undo", "4711"),
            2,
            "cycle 4711 wrote nothing to any pair of this daemon; smtd history lists the cycles that did",
        ),
        (
            ("restore", "pair", PROJECT, "a1", "--at", "noon"),
            2,
            "noon is neither a time such as 2026-11-25T13:00 nor an age such as 2h",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_invalid_request_is_an_error_of_usage(
    daemon_of_all: DaemonProcess, words: tuple[str, ...], code: int, sentence: str
) -> None:
    """The message says where to look."""
    assert error(daemon_of_all.ctl(*words)) == (code, sentence, "")
    json = daemon_of_all.ctl(*words, "--json")
    assert error(json) == (code, sentence, "")


# Deletions


def test_held_deletions_are_approved_and_rejected(daemon: DaemonProcess, left: Store, right: Store) -> None:
    """Some by label and glob, then all the rest."""
    left.put(*RUNS)
    daemon.ctl("resolve", "pair", "--all", "--take", "left")
    left.remove(*[one.label for one in RUNS[:28]])
    left.put(record("new"))
    assert daemon.ctl("sync", "now").code == 1

    listed, told = daemon.ctl("holds"), daemon.ctl("holds", "--json")
    some = daemon.ctl("deletes", "approve", "pair", "run-00", "run-1*")
    rest = daemon.ctl("deletes", "reject", "pair", "--json")

    assert (listed.code, told.code) == (1, 1)
    reason = "deletion held: 28 of 34 records disappeared from the left store within minutes"
    assert listed.out.startswith(f"pair: 28 held deletions in MyProject: {reason}\n  MyProject/run-00\n")
    assert "\n  to keep it, bring the left store back" in listed.out
    assert "or run smtd deletes reject PAIR; to delete it, " in listed.out
    assert labels(told.json["holds"]) == [one.label for one in RUNS[:28]]
    assert told.json["holds"][0].keys() == {
        *("pair", "project", "label", "reason", "next", "until", "kind", "code"),
    }
    assert (some.code, f"pair: right {right.path}  11 deleted\n" in some.out) == (1, True)
    assert (rest.code, rest.pair["left"]["created"], rest.pair["held"]) == (0, 17, [])
    assert left.records() == right.records()
    assert {"new", "run-01", "run-29"} <= right.versions().keys()
    assert {"run-00", "run-10"} & right.versions().keys() == set()


# Explanations and history


def test_record_is_explained(daemon_of_all: DaemonProcess) -> None:
    """What each side has, what was agreed, the rule, the remedy, and the history."""
    daemon = daemon_of_all
    conflict = daemon.ctl("explain", "pair", PROJECT, "a1")
    same, told = (daemon.ctl("explain", "pair", PROJECT, "same", *more) for more in ((), ("--json",)))

    assert (conflict.code, same.code, told.code) == (0, 0, 0)
    assert conflict.out.splitlines()[2:] == [
        "agreed  never, as far as smtd knows",
        "now     both sides changed version",
        "next    use smtd resolve to take left, right or both",
    ]
    (past,) = told.json["history"]
    assert (told.json["left"], told.json["right"]) == (told.json["agreed"]["left"],) * 2
    assert same.out.splitlines() == [
        f"left    {told.json['left']}",
        f"right   {told.json['left']}",
        f"agreed  {told.json['left']}, at {local_time(told.json['agreed']['at'])}",
        "now     in sync: both sides hold the same record",
        "next    nothing",
        f"cycle 1  {local_time(past['at'])}  create on the left: new on the right",
    ]


def test_history_is_shown_and_checked(daemon: DaemonProcess, left: Store) -> None:
    """Of a pair, a label, a cycle; the check finds a change of it."""
    daemon.ctl("resolve", "pair", "--all", "--take", "left")

    every, told = daemon.ctl("history"), daemon.ctl("history", "pair", "--json")

    lines = every.out.splitlines()
    assert (every.code, len(lines)) == (0, 7)
    assert lines[0].endswith("pair: 3 updated on the right")
    assert lines[1] == "  update MyProject/b on the right: resolved by hand"
    assert lines[6] == "  create MyProject/same on the left: new on the right"
    assert [each["id"] for each in told.json["history"]] == [4, 3, 2, 1]
    assert told.json["history"][0].keys() == {
        *("id", "cycle", "at", "pair", "side", "project", "label", "action", "reason", "code"),
    }
    assert labels(daemon.ctl("history", "--label", "a?", "--json").json["history"]) == ["a2", "a1"]
    first = str(told.json["history"][-1]["cycle"])
    assert labels(daemon.ctl("history", "--cycle", first, "--json").json["history"]) == ["same"]
    assert labels(daemon.ctl("history", "--limit", "1", "--json").json["history"]) == ["b"]
    assert daemon.ctl("history", "--check").out.startswith("4 entries, intact; last seal ")
    whole = daemon.ctl("history", "--check", "--json")
    assert (whole.code, whole.json["ok"], whole.json["entries"], len(whole.json["head"])) == (0, True, 4, 64)

    with closing(sqlite3.connect(daemon.state / "journal.sqlite")) as db, db:
        db.execute("UPDATE history SET reason = 'another' WHERE id = 3")

    answer = daemon.ctl("history", "--check")
    assert (answer.code, answer.out) == (4, "")
    assert "the history was altered among its entries 2 to 4; everything before" in answer.err


def test_cycle_is_undone_except_records_that_changed_since(
    daemon: DaemonProcess, left: Store, right: Store
) -> None:
    """These are listed, and the exit code says so; the rest is reverted, and pinned."""
    right.put(tagged(record("same"), "seen"))
    left.put(full("new"))
    daemon.ctl("sync", "now")
    cycle = str(daemon.ctl("history", "--limit", "1", "--json").json["history"][0]["cycle"])

    would = daemon.ctl("undo", cycle, "--dry-run")
    assert right.versions().keys() == {*DOUBLE, "same", "new"}
    left.put(tagged(record("same"), "seen", "again"))
    done = daemon.ctl("undo", cycle)
    again = daemon.ctl("undo", cycle, "--json")

    assert would.out.splitlines() == [
        "pair: would update MyProject/same on the left",
        "pair: would delete MyProject/new on the right",
    ]
    assert (would.code, done.code, again.code) == (0, 1, 1)
    assert done.out.splitlines() == [
        "pair: delete MyProject/new on the right",
        "where the two sides differ now, smtd waits for your choice: smtd-ctl holds pair",
    ]
    assert done.err.startswith("smtd-ctl: not undone: MyProject/same on the left: it has changed since")
    assert (again.json["cycle"], again.json["done"], again.err) == (int(cycle), [], "")
    assert sorted(labels(again.json["refused"])) == ["new", "same"]
    assert right.versions().keys() == {*DOUBLE, "same"}
    daemon.ctl("sync", "now")
    rest = next(each for each in daemon.ctl("holds", "--json").json["holds"] if each["label"] == "new")
    assert (rest["kind"], rest["reason"]) == ("undone", f"cycle {cycle} was undone")
    taken = daemon.ctl("resolve", "pair", PROJECT, "new", "--take", "left", "--json")
    assert taken.pair["right"]["created"] == 1


def test_record_is_restored(daemon: DaemonProcess, left: Store, right: Store) -> None:
    """To a time with or without a zone, or an age; then both sides have it."""
    before = daemon.ctl("history", "--json").json["history"][0]["at"]
    left.put(full("more"))
    right.put(change(record("same"), outcome="spoilt"))
    daemon.ctl("sync", "now")

    done = daemon.ctl("restore", "pair", PROJECT, "same", "--at", before)
    again = daemon.ctl("restore", "pair", PROJECT, "same", "--at", before)
    early = daemon.ctl("restore", "pair", PROJECT, "same", "--at", "30d")
    right.remove("same")
    daemon.ctl("sync", "now")
    told = daemon.ctl("restore", "pair", PROJECT, "same", "--at", before, "--json")

    assert (done.code, done.out.splitlines()) == (
        0,
        [f"left   {left.path}  1 updated", f"right  {right.path}  1 updated"],
    )
    assert (again.code, again.err.startswith("smtd-ctl: MyProject/same is the same as at ")) == (2, True)
    assert (early.code, early.err.startswith("smtd-ctl: smtd has no version of MyProject/same from ")) == (
        2,
        True,
    )
    assert (told.code, told.json["left"]["created"], told.json["right"]["created"]) == (0, 1, 1)
    assert left.records()["same"] == right.records()["same"]
    assert not left.records()["same"].outcome


# Plans


def test_plan_is_run_only_if_the_stores_have_not_changed(
    daemon: DaemonProcess, left: Store, right: Store
) -> None:
    """It shows each action and its own identity; after a change it is refused, and nothing is written."""
    left.put(full("new"))
    plan = daemon.ctl("sync", "plan")
    number = daemon.ctl("sync", "plan", "--json").pair["plan"]
    right.put(tagged(record("same"), "seen"))
    moved = daemon.ctl("sync", "now", "pair", "--plan", number)
    told = daemon.ctl("sync", "now", "pair", "--plan", number, "--json")

    assert "  create MyProject/new on the right: new on the left\n" in plan.out
    assert f"  to run exactly this plan: smtd-ctl sync now pair --plan {number}\n" in plan.out
    sentence = f"the stores have changed since plan {number} was made; make a new plan"
    assert error(moved) == (1, f"pair pair: {sentence}", "")
    assert told.json["errors"] == [{"pair": "pair", "error": sentence, "code": 1}]
    assert (told.code, told.json["ok"], told.json["pairs"]) == (1, False, [])
    assert "new" not in right.versions()
    again = daemon.ctl("sync", "plan", "--json").pair
    assert [(each["action"], each["label"], each["side"]) for each in again["actions"]] == [
        ("create", "new", "right"),
        ("update", "same", "left"),
    ]
    done = daemon.ctl("sync", "now", "pair", "--plan", again["plan"], "--json").pair
    assert (done["right"]["created"], done["left"]["updated"]) == (1, 1)


# Sides


@pytest.fixture
def turned(tmp_path: Path, left: Store, right: Store) -> Iterator[DaemonProcess]:
    """A daemon whose pair was synced before with its sides exchanged."""
    with daemon_process(tmp_path, pair_of(left.path, right.path), start=False) as made:
        first = made.smtd.sync(right.path, left.path)
        assert (first["left"]["location"], first["right"]["created"]) == (str(right.path), 1)
        made.start()
        assert made.sync()["left"]["location"] == str(left.path)
        made.ctl("pause", "pair")
        yield made


def test_sides_of_an_exchanged_pair_have_the_users_names(
    turned: DaemonProcess, left: Store, right: Store
) -> None:
    """In every list, every message and every decision."""
    left.put(tagged(record("same"), "seen"))
    right.put(full("new"))

    plan = turned.ctl("sync", "plan", "--json").pair
    explained = turned.ctl("explain", "pair", PROJECT, "new", "--json").json
    shown = turned.ctl("show", "pair", PROJECT, "a1", "--json").json["fields"]

    assert sorted((each["label"], each["side"], each["reason"]) for each in plan["actions"]) == [
        ("new", "left", "new on the right"),
        ("same", "right", "changed on the left"),
    ]
    assert (explained["left"], explained["rule"]) == (None, "new on the right")
    assert explained["next"] == "the next cycle copies it to the left"
    assert shown["version"] == {"left": "1111", "right": "2222", "agreed": None}
    turned.ctl("sync", "now", "--plan", plan["plan"])
    done = turned.ctl("history", "--json").json["history"]
    assert sorted((each["label"], each["side"], each["reason"]) for each in done) == [
        ("new", "left", "new on the right"),
        ("same", "left", "new on the right"),
        ("same", "right", "changed on the left"),
    ]


def test_decisions_on_an_exchanged_pair_use_the_users_names(
    turned: DaemonProcess, left: Store, right: Store
) -> None:
    """Whatever the journal calls them; if both records are kept, the right one gets the alias."""
    turned.ctl("resolve", "pair", PROJECT, "a1", "--take", "left")
    turned.ctl("resolve", "pair", PROJECT, "a2", "--take", "both")
    turned.ctl("resolve", "pair", PROJECT, "b", "--take", "right")

    kept = {"a1": "1111", "a2": "1111", "a2-2": "2222", "b": "2222", "same": "2f1c0de"}
    assert left.versions() == right.versions() == kept
    cycle = turned.ctl("history", "--label", "b", "--json").json["history"][0]["cycle"]
    steps = turned.ctl("undo", str(cycle), "--dry-run", "--json").json
    assert [(each["label"], each["side"]) for each in steps["done"]] == [("b", "left")]
    left.remove(*kept)
    turned.ctl("sync", "now")
    hold = turned.ctl("holds", "--json").json["holds"][0]
    assert hold["reason"].startswith("deletion held: all earlier records are gone from the left store")
    assert hold["next"].startswith(
        "to keep it, bring the left store back, comment on it in the right store, or"
    )
    rejected = turned.ctl("deletes", "reject", "pair", "--json").pair
    assert (rejected["left"]["created"], rejected["right"]["deleted"]) == (5, 0)
    moment = turned.ctl("history", "--limit", "1", "--json").json["history"][0]["at"]
    right.put(change(record("same"), outcome="spoilt"))
    restored = turned.ctl("restore", "pair", PROJECT, "same", "--at", moment, "--json").json
    assert (restored["left"]["location"], restored["right"]["updated"]) == (str(left.path), 1)


# While the pair is busy or offline


def test_restored_store_is_reported(daemon: DaemonProcess, left: Store, tmp_path: Path) -> None:
    """As an event, with the side; the log says that nothing is deleted."""
    backup = tmp_path / "backup"
    backup.write_bytes(left.path.read_bytes())
    left.put(full("new"))
    daemon.ctl("sync", "now")

    backup.replace(left.path)
    report = daemon.sync()

    assert (report["left"]["created"], report["right"]["deleted"]) == (1, 0)
    (told,) = [event for event in daemon.events() if event["event"] == "store replaced"]
    assert (told["pair"], told["side"]) == ("pair", "left")
    warning = "its left store or the journal was replaced or restored; nothing is deleted"
    assert warning in daemon.log.read_text("utf-8")


OF_STORES = (
    ("explain", "pair", PROJECT, "same"),
    ("show", "pair", PROJECT, "same"),
    ("undo", "1"),
    ("restore", "pair", PROJECT, "same", "--at", "0s"),
    ("resolve", "pair", "--all", "--take", "left"),
    ("deletes", "approve", "pair"),
    ("sync", "plan"),
)


def test_commands_on_an_offline_pair_say_what_is_missing(daemon: DaemonProcess, left: Store) -> None:
    """Those that need no store still answer."""
    left.path.rename(left.path.with_name("away"))
    missing = f"{left.path} is missing, but was synced before; bring it back"

    for words in OF_STORES:
        answer = daemon.ctl(*words)
        assert (answer.code, missing in answer.err) == (4, True), words

    assert labels(daemon.ctl("conflicts", "--json").json["conflicts"]) == list(DOUBLE)
    assert daemon.ctl("holds").code == daemon.ctl("history").code == 0
    assert daemon.ctl("sync", "now").code == 4
    status = daemon.ctl("status")
    assert (status.code, missing in status.out) == (1, True)


def test_commands_that_need_no_store_answer_during_a_cycle(tmp_path: Path, left: Store) -> None:
    """A server hangs; a command that needs the stores waits for it."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/records/"
        with daemon_process(tmp_path, pair_of(left.path, address)) as daemon:
            conversation, _ = silent.accept()
            waiting = daemon.start_ctl("explain", "pair", PROJECT, "a1")
            answers = [daemon.ctl(verb) for verb in ("conflicts", "holds", "history", "status")]
            check = daemon.ctl("history", "--check")
            assert waiting.poll() is None
            daemon.ctl("stop")
            out, _ = waiting.communicate(timeout=10)
            conversation.close()

    assert [answer.code for answer in answers] == [0, 0, 0, 0]
    assert check.out.startswith("0 entries, intact; last seal none")
    assert (out, waiting.returncode) == (b"", 3)


def test_history_is_kept_for_as_long_as_configured(tmp_path: Path, left: Store, right: Store) -> None:
    """The daemon prunes older entries when it starts; the rest is intact, and can be restored."""
    text = '[daemon]\nhistory_age = "1d"\n' + pair_of(left.path, right.path)
    with daemon_process(tmp_path, text) as daemon:
        daemon.wait_event(synced)
        left.put(full("new"))
        daemon.wait_event(lambda event: synced(event) and event["right"]["created"] == 1)
        daemon.stop()
        with closing(sqlite3.connect(daemon.state / "journal.sqlite")) as db, db:
            db.execute("UPDATE history SET at = '2020-01-01' WHERE id = 1")
        daemon.start()

        wait_until(lambda: len(daemon.ctl("history", "--json").json["history"]) == 1)

        assert labels(daemon.ctl("history", "--json").json["history"]) == ["new"]
        assert daemon.ctl("history", "--check").out.startswith("1 entry, intact")
    assert "history entries removed because of their age or size: 1" in daemon.log.read_text("utf-8")
