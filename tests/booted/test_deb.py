"""The Debian package: built twice, judged by lintian, installed, upgraded, removed and purged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.booted.machine import SHARED, Machine
from tests.packages.lending import ROOT

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]
#: What a new Debian must have for `apt-get install ./smtd.deb` to ask no mirror.
NEEDED = "python3,systemd,libc6"


def build(target: Path, **variables: str) -> Path:
    """Build the package by the command of the Makefile, with wheels that the next build uses, too."""
    command = [sys.executable, "deb/build.py", str(target), str(ROOT / "build" / "wheels")]
    subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=True, capture_output=True)
    (made,) = target.iterdir()
    return made


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def later(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package with a higher version, and a line more in its configuration."""
    directory = tmp_path_factory.mktemp("later")
    subprocess.run(["dpkg-deb", "-R", deb, directory / "tree"], check=True)
    control = directory / "tree" / "DEBIAN" / "control"
    control.write_text(control.read_text("utf-8").replace("Version: 0.1.0-1", "Version: 0.1.1-1"), "utf-8")
    with (directory / "tree" / "etc/smtd/config.toml").open("a") as file:
        file.write("# a new key\n")
    tree, later = str(directory / "tree"), str(directory / "later.deb")
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, later]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return directory / "later.deb"


def test_package_is_reproducible(deb: Path, tmp_path: Path) -> None:
    """Another day, umask, time zone and language: the same bytes."""
    before = os.umask(0o077)
    try:
        again = build(tmp_path, TZ="Asia/Tokyo", LANG="C", COLUMNS="41", PYTHONHASHSEED="7")
    finally:
        os.umask(before)

    assert again.name == deb.name
    assert again.read_bytes() == deb.read_bytes()


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not here")
def test_lintian_finds_no_error(deb: Path) -> None:
    """But what lintian-overrides explains."""
    told = subprocess.run(["lintian", "--fail-on", "error", deb], capture_output=True, text=True, check=False)

    assert (told.returncode, [line for line in told.stdout.splitlines() if line.startswith("E:")]) == (0, [])


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
    """Installed it waits; an upgrade restarts it; removed it is gone; purged all is but the records."""
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


@pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap is not here")
def test_package_needs_nothing_but_what_it_names(deb: Path, later: Path, tmp_path: Path) -> None:
    """In a new Debian with Python and systemd, apt installs, upgrades and purges it, and it syncs."""
    root = tmp_path / "root"
    release = next(
        line.partition("=")[2]
        for line in Path("/etc/os-release").read_text("utf-8").splitlines()
        if line.startswith("VERSION_CODENAME=")
    )
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", f"--include={NEEDED}", release, root], check=True
    )
    for file, name in ((deb, "smtd.deb"), (later, "later.deb")):
        shutil.copy(file, root / "root" / name)

    def told(*words: str) -> str:
        clean = [
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "DEBIAN_FRONTEND=noninteractive",
        ]
        inside = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            f"--root={root}",
            f"--mount-proc={root}/proc",
            *clean,
        ]
        done = subprocess.run([*inside, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    told("apt-get", "install", "-y", "--no-download", "/root/smtd.deb")
    told("apt-get", "install", "-y", "--no-download", "/root/later.deb")
    told("smtd", "demo")
    told("apt-get", "purge", "-y", "smtd")
    left = told("find", "/", "-xdev", "-path", "/proc", "-prune", "-o", "-iname", "*smtd*", "-print")
    assert sorted(left.split()) == ["/root/smtd.deb"]
