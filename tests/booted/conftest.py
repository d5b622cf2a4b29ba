"""A machine with a real systemd for the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.booted import debian
from tests.booted.machine import Machine, booted
from tests.packages.lending import built_wheel


@pytest.fixture(scope="session")
def booted_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine for all tests: it takes ten seconds to install smtd there."""
    with booted(tmp_path_factory.mktemp("booted"), built_wheel(tmp_path_factory)) as machine:
        yield machine


@pytest.fixture
def machine(booted_machine: Machine) -> Iterator[Machine]:
    """The machine, without a service of smtd, its files and stores; afterwards they are gone again."""
    yield booted_machine
    script = """
        smtd service uninstall --system
        systemctl stop smtd-server.service smtd-server.socket
        rm -rf /etc/smtd /var/lib/smtd /srv/records /etc/systemd/system/smtd*
        systemctl daemon-reload
        systemctl reset-failed
    """
    booted_machine.run("sh", "-c", script, check=False)


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package of the tree as it is."""
    return debian.build(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="session")
def later(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A later one."""
    return debian.later_than(deb, tmp_path_factory.mktemp("later"))
