"""Two stores with something of everything, and a daemon whose pair was synced once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build import full, record
from tests.daemon.pages.visitor import Visitor
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import put

RUNS = [full(f"run-{number:02}") for number in range(30)]
#: Two experiments under each of these labels.
DOUBLE = ("a1", "a2", "b")


def fill(directory: Path) -> tuple[Path, Path]:
    """Make two stores: one has 30 runs, and both have three labels, each with another experiment."""
    left, right = directory / "left.sqlite", directory / "right.sqlite"
    put(left, *RUNS, *[record(label, version="1111") for label in DOUBLE])
    put(right, *[record(label, version="2222") for label in DOUBLE])
    return left, right


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """The left store; see `fill`."""
    return fill(tmp_path)[0]


@pytest.fixture
def right(left: Path) -> Path:
    """The right store; see `fill`."""
    return left.with_name("right.sqlite")


@pytest.fixture
def daemon(tmp_path: Path, left: Path, right: Path) -> Iterator[DaemonProcess]:
    """A daemon whose pair has had its first cycle."""
    with daemon_process(tmp_path, pair_of(left, right)) as made:
        made.wait_event(synced)
        yield made


@pytest.fixture
def visitor(daemon: DaemonProcess) -> Visitor:
    """A person who has opened the pages."""
    made = Visitor(daemon)
    made.enter()
    return made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """The same for all tests of a module that change nothing."""
    directory = tmp_path_factory.mktemp("kept")
    with daemon_process(directory, pair_of(*fill(directory))) as made:
        made.wait_event(synced)
        yield made


@pytest.fixture
def guest(kept: DaemonProcess) -> Visitor:
    """A person who has opened the pages of the kept daemon."""
    made = Visitor(kept)
    made.enter()
    return made
