"""A damaged file of added pairs is reported and set aside, and stops nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from smtd.config import PairConfig
from smtd.daemon import added
from tests.daemon.process import daemon_process, pair_of
from tests.daemon.sqlite_stores import labels

LAB = PairConfig("/a", "/b")


def become_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def become_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-20]),
    "empty": lambda file: file.write_bytes(b""),
    "no text": lambda file: file.write_bytes(b"\xff\xfe\0\1"),
    "another shape": lambda file: file.write_text("[1, 2]"),
    "deep": lambda file: file.write_text("[" * 100_000),
    "a pipe": become_pipe,
    "a directory": become_directory,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    """The message says where it is; the next start reports nothing."""
    file = tmp_path / "pairs.json"
    added.write(file, {"lab": LAB})
    DAMAGES[damage](file)

    pairs, problem = added.read(file)

    (kept,) = tmp_path.iterdir()
    assert (pairs, kept.name.startswith("pairs.json.damaged-")) == ({}, True)
    assert f"{file} is damaged (" in problem
    assert f"it is kept as {kept}; add the missing pairs again" in problem
    assert added.read(file) == ({}, "")


def test_intact_pairs_in_a_damaged_file_are_used(tmp_path: Path) -> None:
    """One bad value costs one pair; the damaged file is kept, and overwrites no other."""
    file = tmp_path / "pairs.json"
    for _ in range(2):
        added.write(file, {"lab": LAB, "other": LAB})
        file.write_text(file.read_text().replace('"two-way"', '"sideways"', 1))

        pairs, problem = added.read(file)

        assert (list(pairs), "lab: " in problem) == (["other"], True)
    assert added.read(file) == (pairs, "")
    assert len(list(tmp_path.glob("pairs.json.damaged-*"))) == 2


def test_configured_pair_replaces_an_added_one_of_its_name(tmp_path: Path, left: Path, right: Path) -> None:
    """The added one is reported, and can be removed."""
    with daemon_process(tmp_path, pair_of(left, right), start=False) as daemon:
        daemon.state.mkdir(parents=True)
        added.write(daemon.state / "pairs.json", {"pair": LAB})

        daemon.start()

        assert daemon.sync()["in_sync"] == 1
        assert labels(right) == {"run"}
        (told,) = [event for event in daemon.events() if event["event"] == "pair hidden"]
        assert "to drop the added one, run smtd pair remove pair" in told["problem"]
        assert daemon.ctl("pair", "list", "--json").json["pairs"][0]["added"] is False
        assert daemon.ctl("pair", "remove", "pair").code == 0
        assert added.read(daemon.state / "pairs.json") == ({}, "")
        assert daemon.sync()["in_sync"] == 1


def test_daemon_with_a_damaged_file_syncs_the_configured_pairs(
    tmp_path: Path, left: Path, right: Path
) -> None:
    """And reports the file once."""
    with daemon_process(tmp_path, pair_of(left, right)) as daemon:
        daemon.stop()
        (daemon.state / "pairs.json").write_text('{"lab": {')

        daemon.start()

        assert daemon.sync()["in_sync"] == 1
        assert labels(right) == {"run"}
        (told,) = [event for event in daemon.events() if event["event"] == "pairs damaged"]
        assert str(daemon.state / "pairs.json") in told["problem"]
