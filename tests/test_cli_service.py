"""`smtd service` where no systemd answers; tests/booted has a real one."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from smtd.cli import unit_file
from smtd.cli.unit_file import Programs
from tests.command import Smtd

UNITS = Path(__file__).parents[1] / "systemd"


@pytest.fixture
def alone(smtd: Smtd) -> Smtd:
    """The command on a machine without systemd, for a user whose home is the directory of the test."""
    smtd.more = {"PATH": "/nowhere", "HOME": str(smtd.directory)}
    return smtd


def unit_of(smtd: Smtd) -> Path:
    return smtd.home / "systemd" / "user" / "smtd.service"


def test_install_writes_the_unit_and_says_what_is_left(alone):
    """The unit is that of systemd/, but starts this program; a second run finds it as it is."""
    first = alone("service", "install", "--user")
    written = unit_of(alone).read_text("utf-8")
    again = alone("service", "install", "--user", "--json")

    assert (first.code, first.err) == (1, "")
    assert first.out.splitlines() == [
        f"{unit_of(alone)}: written",
        "smtd would start with each login of root" if os.getuid() == 0 else first.out.splitlines()[1],
        "no systemd runs here; where it does: systemctl --user enable --now smtd.service",
    ]
    assert f"ExecStart={sys.executable} -m smtd run" in written.splitlines()
    assert f"ExecReload={sys.executable} -m smtd.cli.ctl reload" in written.splitlines()
    unchanged = (UNITS / "user" / "smtd.service").read_text("utf-8").splitlines()
    assert [line for line in unchanged if "Exec" not in line and line not in written.splitlines()] == []
    assert stat.S_IMODE(unit_of(alone).stat().st_mode) == 0o644
    assert again.json["changed"] is False
    assert unit_of(alone).read_text("utf-8") == written


def test_service_gets_the_configuration_that_was_named(alone, tmp_path):
    """As an absolute path, however it was given."""
    alone("service", "install", "--user", "-c", "lab config.toml", cwd=tmp_path)

    assert f'-m smtd --config "{tmp_path}/lab config.toml" run' in unit_of(alone).read_text("utf-8")


def test_unit_of_a_person_is_left_alone(alone):
    """It may have changes; the answer says how to use it."""
    unit_of(alone).parent.mkdir(parents=True)
    unit_of(alone).write_text("[Service]\nExecStart=/opt/mine/smtd run\n")

    answers = [alone("service", verb, "--user") for verb in ("install", "uninstall")]

    assert [answer.code for answer in answers] == [2, 2]
    assert "was not written by smtd service install; move it away, or keep it: systemctl" in answers[0].err
    assert "ExecStart=/opt/mine/smtd run" in unit_of(alone).read_text()


def test_uninstall_removes_the_unit_once(alone):
    """And a second time there is nothing to remove; nothing else is touched."""
    alone("service", "install", "--user")
    before = alone("service", "status", "--user", "--json")

    removed, again = (alone("service", "uninstall", "--user") for _ in range(2))

    assert (before.code, before.json["unit"], before.json["running"]) == (3, str(unit_of(alone)), False)
    assert removed.out == f"{unit_of(alone)}: removed; configuration and state stay as they are\n"
    assert (again.code, again.out) == (0, "there is no service\n")
    assert alone("service", "status", "--user").out == "not installed: smtd service install\n"


def test_contradicting_options_are_refused(alone):
    """One service at a time."""
    answer = alone("service", "status", "--user", "--system")

    assert (answer.code, answer.err) == (2, "smtd: choose one of --user and --system\n")


def test_programs_with_strange_names_are_quoted():
    """systemd would split words, and replace % and $."""
    programs = Programs(['/a b/100%/$x/"q"/smtd'], ["/opt/smtd/bin/smtd-ctl"])

    lines = unit_file.text_of("smtd.service", programs, Path("/etc/smtd/config.toml")).splitlines()

    assert r'ExecStart="/a b/100%%/$$x/\"q\"/smtd" --config /etc/smtd/config.toml run' in lines
    assert "ExecReload=/opt/smtd/bin/smtd-ctl reload" in lines


def test_service_of_the_machine_needs_a_program_that_all_can_read(tmp_path):
    """Its unit hides homes, and its user is nobody else."""
    private = tmp_path / "smtd"
    private.touch(mode=0o700)

    assert unit_file.out_of_reach(Programs(["/home/ada/.local/bin/smtd"], [])) == "/home/ada/.local/bin/smtd"
    assert unit_file.out_of_reach(Programs([str(private)], [])) == str(private)
