"""Fixtures and hooks for all tests."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from zlib import crc32

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

import smtd as smtd_package
from smtd.stores.http import link, other_clients
from tests import scratch
from tests.booted import machine
from tests.command import Smtd, has_terminals
from tests.first_hour import minimal_root
from tests.forkserver import foreign, shelves
from tests.integration import disks
from tests.sampling import SLOW, SOAK
from tests.servers import programs

#: The same examples everywhere and every time: a test that fails here fails on every machine. More,
#: and new ones, with `--hypothesis-profile explore`.
settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", settings.get_profile("steady"), derandomize=False, max_examples=2000)
settings.load_profile("steady")

pytest_plugins = ["tests.peers.fixtures", "tests.servers.fixtures"]

scratch.choose()

#: Tests for newer Pythons are not collected on older ones, rather than skipped.
collect_ignore = [] if sys.version_info >= (3, 13) else ["peers/test_python313.py"]

#: Debian has nginx where only root looks for programs.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
#: Nor are modules whose programs a machine lacks; `.ci/run` installs these.
PROGRAMS = {
    "systemd-analyze": "test_systemd.py",
    "systemd-socket-activate": "server/test_first_client.py",
    "man": "test_manual_pages.py",
    "dpkg-deb": "booted/test_deb.py",
    "lintian": "booted/test_lintian.py",
    "mmdebstrap": "booted/test_new_debian.py",
    "nginx": "server/test_behind_nginx.py",
    "caddy": "server/test_behind_caddy.py",
    "chromium": "web/browser",
}
LACKING = {program: module for program, module in PROGRAMS.items() if shutil.which(program) is None}


if not has_terminals():
    LACKING["a pseudo-terminal (/dev/pts)"] = "test_shown.py"
    LACKING["a terminal to control (/dev/pts)"] = "terminal"
if os.geteuid() == 0 and (what := machine.lacking()):
    LACKING[what] = "booted"
collect_ignore += LACKING.values()

#: Nor are tests of a database server that is missing. With SMTD_EVERY_SERVER that is an error.
SERVERS = {
    "postgresql": (
        "servers/test_postgresql.py",
        "servers/test_campaign.py",
        "servers/test_contract_postgresql.py",
        "campaigns/test_two_servers.py",
        *(f"servers/test_serve_{name}.py" for name in ("contract", "postgresql", "processes", "wakes")),
    ),
    "mariadb": (
        "servers/test_mariadb.py",
        "servers/test_contract_mariadb.py",
        "campaigns/test_one_server.py",
        *(f"servers/test_serve_{name}.py" for name in ("contract_mariadb", "mariadb", "mariadb_tables")),
    ),
}
collect_ignore += [module for server in programs.lacking() for module in SERVERS[server]]


#: For example to give files to other users. `.ci/run` runs these tests separately, as root.
ROOT = os.geteuid() == 0


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the first process compile the tests; the others find them compiled.

    In a fresh clone that takes three quarters of the time of a collection.
    """
    with Path(__file__).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        return (yield)


#: Fixtures with real Sumatra; the first run builds its environments by pip (`tests/peers/environments.py`).
PEERS = {"django_environment", "plain_environment", "dbm_environment", "running_server"}


#: Its tests come first. pytest-xdist takes tests from the end of the queue of a process that has many left;
#: for some of these the other process would start a browser, too, which takes seconds.
BROWSER = Path(__file__).parent / "web" / "browser"


def _leave_half_to_soak(items: list[pytest.Item]) -> None:
    """Leave every second case of the tests marked `halved` to `make soak`, always the same ones.

    A test without cases, such as one of the contract of stores, is left to it by its name and class: the same
    test is run for stores of other kinds.
    """
    cases: defaultdict[tuple[Path, type | None, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("halved") and isinstance(item, pytest.Function):
            cases[item.path, item.cls, item.originalname].append(item)
    for (_, cls, name), found in cases.items():
        if len(found) > 1:
            left = found[1::2]
        else:
            left = found if cls is not None and crc32(f"{cls.__name__}.{name}".encode()) % 2 else []
        for item in left:
            item.add_marker("soak")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that run real Sumatra; leave soak, slow and root tests to those who ask for them."""
    for item in items:
        if PEERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("peers")
    _leave_half_to_soak(items)
    left = [
        item
        for item in items
        if (not SOAK and item.get_closest_marker("soak"))
        or (not SLOW and item.get_closest_marker("slow"))
        or (not ROOT and item.get_closest_marker("root"))
    ]
    if left:
        config.hook.pytest_deselected(items=left)
    gone = set(left)
    items[:] = sorted(
        (item for item in items if item not in gone), key=lambda item: item.path.parent != BROWSER
    )


def pytest_collection_finish() -> None:
    """Let no garbage collection look at the thousands of tests, which stay."""
    gc.freeze()


def pytest_report_header() -> list[str]:
    """Say at the beginning which tests are not run here."""
    told = [f"not run: tests/{module}, since {program} is not here" for program, module in LACKING.items()]
    return told if ROOT else [*told, "not run: what is marked root, since this user is not root"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end which tests were left out, and what `make soak` could not try here."""
    not_here = {"power cuts": disks.lacking(), "the first hour from the clone on": minimal_root.lacking()}
    for what, reason in not_here.items() if SOAK else ():
        if reason:
            terminalreporter.section(f"NOT TESTED: {what}", sep="!", red=True, bold=True)
            terminalreporter.line(reason)
    left_out = {
        **{f"tests/{module}": f"{what} is not here" for what, module in LACKING.items()},
        **programs.lacking(),
        **{f"TLS of {name}": why for name, why in programs.without_tls().items()},
    }
    for what, reason in left_out.items():
        terminalreporter.section(f"NOT TESTED: {what}", sep="!", red=True, bold=True)
        terminalreporter.line(reason)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if every server should be tested and one was not."""
    if programs.lacking() and os.environ.get("SMTD_EVERY_SERVER"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def tmp_path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory for one test, which is not in memory if the test is marked with `disk`."""
    if not request.node.get_closest_marker("disk"):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="smtd-", ignore_cleanup_errors=True) as made:
        yield Path(made).resolve()


@pytest.fixture
def anyio_backend() -> str:
    """aiosqlite and aiohttp work only with asyncio."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def loop_is_never_blocked() -> Iterator[None]:
    """Make a call of smtd that could block the event loop an error."""
    buster = BlockBuster(smtd_package)
    for function in buster.functions.values():
        # Tests create locations anywhere; smtd does so in threads.
        function.can_block_in("smtd/stores/location.py", "__post_init__")
        function.can_block_in("tests/engine/world.py", "journal")
        # Coverage records other threads, too.
        function.can_block_in("coverage/collector.py", "lock_data")
        function.can_block_predicate = _or_not_of_smtd(function.can_block_predicate)
    buster.activate()
    yield
    buster.deactivate()


def _or_not_of_smtd(may_block: Callable[..., bool]) -> Callable[..., bool]:
    """Let *may_block*, or the stack, say whether a call may block.

    Blockbuster itself inspects each frame so thoroughly that this took a third of the time of many tests.
    """
    (directory,) = smtd_package.__path__

    def allowed(*args: object, **more: object) -> bool:
        if may_block(*args, **more):
            return True
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename.startswith(directory):
                return False
            frame = frame.f_back
        return True

    return allowed


@pytest.fixture(scope="session", autouse=True)
def forked_shelf_processes() -> Iterator[None]:
    """Fork the child process of shelves, and programs that write a dbm, from warm interpreters."""
    with shelves.forked(), foreign.forked():
        yield


@pytest.fixture(scope="session", autouse=True)
def short_waits_for_others() -> Iterator[None]:
    """Make a client that adds records beside others to a server of tests wait only for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other_clients, "UNIT", 0.01)
        patch.setattr(other_clients, "ENOUGH", 10_000.0)
        yield


@pytest.fixture
def plain_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that count requests: do not ask first whether the server is smtd's own."""

    async def no_api(*_: object) -> None:
        return None

    monkeypatch.setattr(link, "find", no_api)


@pytest.fixture
def smtd(tmp_path: Path) -> Smtd:
    """The command, with a state directory for this test."""
    return Smtd(tmp_path)
