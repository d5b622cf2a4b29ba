"""A reload with which the daemon's own server cannot start changes nothing."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import anyio
import pytest

from smtd.config import Config, DaemonConfig, Notify
from smtd.daemon import own_server
from smtd.daemon.daemon import Daemon, Dependencies
from smtd.daemon.events import Events
from smtd.daemon.own_server import OwnServer, WantedServer
from smtd.errors import UsageError
from smtd.journal.journal import open_journal
from smtd.server.accounts import users_file
from smtd.server.server_settings import ServerSettings
from smtd.stores.discovery import find
from smtd.systemd import Notifier
from tests.daemon.process import DaemonProcess, daemon_process, pair_of
from tests.server.served import USERS


def failing(config: Config) -> WantedServer | None:
    if config.daemon.log_level == "debug":
        raise UsageError("the server cannot start")
    return None


async def test_configuration_is_not_used_if_the_server_cannot_start(tmp_path: Path) -> None:
    """Neither for pairs, nor for notifications, nor for the log."""
    former = Config()
    new = Config(daemon=DaemonConfig(log_level="debug"), notify=Notify(command=["false"]))
    configs, applied = [former, new], list[Config]()
    dependencies = Dependencies(
        tmp_path,
        tmp_path / "socket",
        lambda: configs.pop(0),
        lambda word, config: find(str(tmp_path / word), may_be_new=True),
        lambda: None,
        Notifier(None),
        server=failing,
        apply=applied.append,
    )
    async with open_journal(tmp_path) as journal, anyio.create_task_group() as group:
        daemon = Daemon(dependencies, journal, group)
        await daemon.reload()

        with pytest.raises(UsageError, match="the server cannot start"):
            await daemon.reload()

        assert applied == [former]
        assert daemon._config is former
        assert daemon._notices._notify == former.notify


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    users_file.edit(path, lambda _: USERS)
    return path


def served(daemon: DaemonProcess) -> str:
    """Return the address at which the daemon last began to serve."""
    return [str(event["address"]) for event in daemon.events() if event["event"] == "serving"][-1]


def test_previous_server_restarts_if_the_new_one_cannot_start(tmp_path: Path, users: Path) -> None:
    """The port of the new one is taken; a new store of the configuration is not used either."""
    text = pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken, daemon_process(tmp_path, text) as daemon:
        daemon.sync()
        daemon.config.write_text(f'{text}[server]\nlisten = "127.0.0.1:0"\nstore = "left"\n', "utf-8")
        assert daemon.ctl("reload").code == 0
        port = taken.getsockname()[1]
        new = f'[stores.new]\nlocation = "{tmp_path}/new.sqlite"\n'
        daemon.config.write_text(
            f'{text}{new}[server]\nlisten = "127.0.0.1:{port}"\nstore = "left"\n', "utf-8"
        )

        answer = daemon.ctl("reload")

        assert answer.code == 2
        assert f"cannot listen on 127.0.0.1:{port}" in answer.err
        with urlopen(f"{served(daemon)}healthz", timeout=10) as response:
            assert response.status == 200
        assert "there is no store new" in daemon.ctl("pair", "add", "other", "left", "new").err


@pytest.mark.slow
async def test_previous_server_that_cannot_restart_is_retried(
    tmp_path: Path, users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program takes its address in between, and releases it later."""
    monkeypatch.setattr(own_server, "RESTART_PAUSE", 0.05)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    wanted: list[WantedServer | None] = []

    def server(number: int) -> WantedServer:
        return WantedServer(ServerSettings(tmp_path / "records", "127.0.0.1", number), users)

    async with open_journal(tmp_path) as journal, anyio.create_task_group() as group:
        events = Events(journal.events)
        own = OwnServer(lambda config: wanted[0], events, group)
        wanted[:] = [server(port)]
        await own.follow(Config())
        run = own._run
        blockers: list[socket.socket] = []

        async def blocked(running: Any, **more: Any) -> None:
            if not blockers:  # from now on the port is taken
                blockers.append(socket.create_server(("127.0.0.1", port)))
            await run(running, **more)

        monkeypatch.setattr(own, "_run", blocked)
        wanted[:] = [server(port)._replace(certificate=((1,),))]
        with pytest.raises(UsageError, match="cannot listen on"):
            await own.follow(Config())
        assert "server ended" in [event["event"] async for event in events.since(0, follow=False)]

        blockers[0].close()
        with anyio.fail_after(10):
            while not await answers(port):  # noqa: ASYNC110 - the server has no event for it
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()


async def answers(port: int) -> bool:
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True
