"""The Debian package: built twice, installed, upgraded, removed and purged under a real systemd."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.booted.debian import build
from tests.booted.machine import SHARED, Machine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_package_is_reproducible(deb: Path, tmp_path: Path) -> None:
    """Another day, umask, time zone and language: the same bytes."""
    before = os.umask(0o077)
    try:
        again = build(tmp_path, TZ="Asia/Tokyo", LANG="C", COLUMNS="41", PYTHONHASHSEED="7")
    finally:
        os.umask(before)

    assert again.name == deb.name
    assert again.read_bytes() == deb.read_bytes()


@pytest.fixture
def machine(booted_machine: Machine, deb: Path, later: Path) -> Iterator[Machine]:
    """The booted machine, without the smtd in /opt, which others have installed there."""
    for file, name in ((deb, "smtd.deb"), (later, "later.deb")):
        shutil.copy(file, booted_machine.directory / name)
    booted_machine.run("mv", "/opt/smtd", "/opt/aside")
    yield booted_machine
    booted_machine.run(
        "sh", "-c", "dpkg --purge smtd; rm -rf /var/lib/smtd /etc/smtd; mv /opt/aside /opt/smtd"
    )


def test_package_serves_a_machine_from_install_to_purge(machine: Machine) -> None:
    """Installed it waits; an upgrade restarts what runs; removed it is gone, purged all but records."""
    machine.run("dpkg", "-i", f"{SHARED}/smtd.deb")
    assert machine.run("smtd", "--version").startswith("smtd, version ")
    assert machine.state("smtd.service") == "inactive"
    assert machine.run("stat", "-c", "%U %a", "/var/lib/smtd").split() == ["smtd", "700"]
    assert machine.run("smtd", "check").strip() != ""
    told = machine.run("smtd", "service", "install")
    assert told.startswith("/usr/lib/systemd/system/smtd.service: unchanged\nsmtd runs")
    before = machine.state("smtd.service", "MainPID")

    machine.run("sh", "-c", "echo '# mine' >>/etc/smtd/config.toml")
    machine.run("dpkg", "--force-confold", "-i", f"{SHARED}/later.deb")
    assert machine.state("smtd.service") == "active"
    assert machine.state("smtd.service", "MainPID") != before
    assert "# mine" in machine.run("cat", "/etc/smtd/config.toml")

    machine.run("dpkg", "-r", "smtd")
    assert machine.state("smtd.service") == "inactive"
    assert machine.tried("test", "-e", "/usr/lib/smtd").returncode == 1
    assert "# mine" in machine.run("cat", "/etc/smtd/config.toml")
    told = machine.tried("dpkg", "--purge", "smtd").stderr
    assert "smtd: /var/lib/smtd stays, with its records and their history; remove it yourself" in told
    assert machine.tried("test", "-e", "/etc/smtd").returncode == 1
    assert "journal.sqlite" in machine.run("ls", "/var/lib/smtd")
    assert machine.run("sh", "-c", "find /etc/systemd /run/systemd/system -name 'smtd*'") == ""


def test_user_of_the_package_has_a_service_of_her_own(machine: Machine) -> None:
    """With the unit of the package, which is not copied; man and completions are where shells look."""
    machine.run("dpkg", "-i", f"{SHARED}/smtd.deb")
    machine.run("loginctl", "enable-linger", "ada")
    machine.wait("systemctl --user is-active basic.target", "active", user="ada")

    told = machine.run("smtd", "service", "install", user="ada")

    assert told.startswith("/usr/lib/systemd/user/smtd.service: unchanged\nsmtd runs")
    assert machine.run("man", "-w", "smtd-config", user="ada").startswith("/usr/share/man/man5/")
    assert machine.tried("test", "-e", "/usr/share/bash-completion/completions/smtd-ctl").returncode == 0
    assert machine.run("smtd", "service", "uninstall", user="ada").startswith(
        "/usr/lib/systemd/user/smtd.service"
    )
    machine.run("loginctl", "disable-linger", "ada")
