"""`smtd forget`: what the journal remembers of a pair that is no longer configured, and what goes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.build import change, record
from tests.command import Answer, Smtd, has_terminals
from tests.daemon.process import DaemonProcess, daemon_process, pair_of
from tests.daemon.sqlite_stores import labels, put, write
from tests.dialog import at_terminal

PAIR = ["unmirror", "pair"]


class Lab:
    """A pair that was synced by the configuration of `smtd`, with an edit that overwrote a record."""

    def __init__(self, directory: Path) -> None:
        self.left, self.right = directory / "left.sqlite", directory / "right.sqlite"
        put(self.left, record("one"), record("two"))
        self.text = pair_of(self.left, self.right)
        self.smtd = Smtd(directory)
        self.smtd.more["SMTD_SOCKET"] = str(directory / "no.sock")

    @property
    def journal(self) -> Path:
        return self.smtd.home / "smtd" / "journal.sqlite"

    def edit(self) -> None:
        """Change a record on the left, as a person does."""
        write(self.left, change(record("one"), outcome="converged"))

    def remembered(self) -> list[str]:
        with closing(sqlite3.connect(self.journal)) as db:
            return [name for (name,) in db.execute("SELECT name FROM pair")]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """The pair, which was synced twice, and called pair by the configuration, which has it no longer."""
    made = Lab(tmp_path)
    made.smtd.sync(made.left, made.right)
    made.edit()
    made.smtd.sync(made.left, made.right)
    with closing(sqlite3.connect(made.journal)) as db, db:
        db.execute("UPDATE pair SET name = 'pair'")  # as a daemon does, which a test below starts
    (tmp_path / "config.toml").write_text(made.text)
    made.smtd.more["SMTD_CONFIG"] = str(tmp_path / "config.toml")
    return made


def forgotten(answer: Answer) -> list[str]:
    return [each["pair"] for each in answer.json["forgotten"]]


def test_pair_that_is_still_configured_is_not_forgotten(lab: Lab) -> None:
    """By its name, and by its stores under another name."""
    synced = lab.smtd("forget", "pair", "--yes")
    (lab.smtd.directory / "config.toml").write_text(lab.text.replace("[pairs.pair]", "[pairs.renamed]"))
    renamed = lab.smtd("forget", "pair", "--yes")
    listed = lab.smtd("forget", "--json")

    assert (synced.code, renamed.code) == (2, 2)
    assert "pair pair is still synced; remove it first (smtd unmirror pair" in synced.err
    assert [each["synced"] for each in listed.json["pairs"]] == [True]
    assert lab.remembered() == ["pair"]


@pytest.mark.slow
def test_person_sees_what_goes_and_is_asked(lab: Lab) -> None:
    """Nothing happens without a yes; the stores stay as they are."""
    if not has_terminals():
        pytest.skip("a pseudo-terminal (/dev/pts) is not here")
    assert "smtd forget pair removes that" in lab.smtd(*PAIR).out
    with at_terminal(["forget", "pair"], lab.smtd.variables(), lab.smtd.directory) as terminal:
        terminal.answers(b"Forget it? [y/N]: ", b"\n")
        assert terminal.end() == 1
    shown = terminal.shown.decode()
    kept = lab.remembered()
    with at_terminal(["forget", "pair"], lab.smtd.variables(), lab.smtd.directory) as terminal:
        terminal.answers(b"Forget it? [y/N]: ", b"y\n")
        assert terminal.end() == 0

    assert f"pair: {lab.left} <-> {lab.right}" in shown
    assert "what both stores last agreed on: 2 records" in shown
    assert "3 writes" in shown
    assert "smtd can then undo or restore none of this" in shown
    assert "nothing was forgotten" in shown
    assert (kept, lab.remembered()) == (["pair"], [])
    assert labels(lab.left) == labels(lab.right) == {"one", "two"}
    assert lab.smtd("forget").err == "smtd: the journal remembers no pair\n"


def test_script_says_yes_and_gets_one_object(lab: Lab) -> None:
    """Without a terminal and --yes nothing is forgotten; a misspelt pair is met with the likely one."""
    lab.smtd(*PAIR)
    refused = [lab.smtd("forget", "pair"), lab.smtd("forget", "pair", "--no-input", "--json")]
    misspelt = lab.smtd("forget", "piar", "--yes")

    done = lab.smtd("forget", "pair", "--yes", "--json")

    assert [(each.code, each.out) for each in refused] == [(2, ""), (2, "")]
    assert all("give --yes" in each.err for each in refused)
    assert misspelt.err == "smtd: the journal remembers no pair 'piar'; did you mean 'pair'?\n"
    assert (done.code, done.err, forgotten(done)) == (0, "", ["pair"])
    assert done.json["forgotten"][0]["history"] == 3
    assert lab.remembered() == []


def test_new_store_takes_the_place_of_one_that_is_gone_for_good(lab: Lab) -> None:
    """What smtd refuses as long as it remembers the pair, for fear of deleting records."""
    lab.smtd(*PAIR)
    lab.right.unlink()
    refused = lab.smtd("sync", lab.left, lab.right)
    lab.smtd("forget", "pair", "--yes")

    pair = lab.smtd.sync(lab.left, lab.right)

    assert refused.code == 4
    assert "is missing, but was synced before; bring it back, or let smtd forget the pair" in refused.err
    assert (pair["in_sync"], pair["right"]["created"]) == (2, 2)
    assert labels(lab.left) == labels(lab.right) == {"one", "two"}


def test_running_daemon_forgets_what_it_does_not_sync(tmp_path: Path) -> None:
    """And refuses the pairs that it syncs, whatever the configuration says now."""
    lab = Lab(tmp_path)
    with daemon_process(tmp_path, lab.text) as daemon:
        daemon.sync()
        daemon.ctl("pair", "add", "added", str(lab.left), str(tmp_path / "third.sqlite"))
        daemon.sync("added")
        synced = [daemon.smtd("forget", name, "--yes") for name in ("pair", "added")]
        daemon.ctl("pair", "remove", "added")
        removed = daemon.smtd("forget", "added", "--yes", "--json")
        daemon.config.write_text("")
        for stores, error in (("[1, 2]", "must be a list"), (known(daemon), "the daemon syncs this pair")):
            assert error in forget(daemon, stores)["error"]
        not_reloaded = daemon.smtd("forget", "pair", "--yes", "-c", daemon.config)
        daemon.ctl("reload")
        reloaded = daemon.smtd("forget", "pair", "--yes", "--json", "-c", daemon.config)

        assert [each.code for each in synced] == [2, 2]
        assert (removed.code, forgotten(removed)) == (0, ["added"]), removed.err
        assert (not_reloaded.code, "is still synced" in not_reloaded.err) == (2, True)
        assert (reloaded.code, forgotten(reloaded)) == (0, ["pair"]), reloaded.err
        assert forget(daemon, '["a", "b"]')["ok"]
        assert daemon.ask(b'{"verb": "remembered", "state": "/elsewhere"}')["result"] == {"pairs": None}
        assert daemon.ctl("history", "--check").out.startswith("0 entries, intact")


def forget(daemon: DaemonProcess, stores: str) -> dict[str, Any]:
    return daemon.ask(f'{{"verb": "forget", "stores": {stores}}}'.encode())


def known(daemon: DaemonProcess) -> str:
    """Return the stores of the only pair that the daemon remembers."""
    (pair,) = daemon.ask(b'{"verb": "remembered"}')["result"]["pairs"]
    return json.dumps(pair["stores"])
