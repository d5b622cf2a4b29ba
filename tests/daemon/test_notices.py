"""When notifications are sent: for short outages, after failed deliveries, and after a restart."""

from __future__ import annotations

import logging
import queue
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from smtd.config import Notify
from smtd.daemon import notices
from smtd.daemon.delivery_state import DeliveredFile
from smtd.daemon.notice import Condition, Delivered, Undelivered
from smtd.daemon.notices import Heartbeat, Notices
from smtd.engine.report import Conflict
from tests.daemon.process import wait_until
from tests.daemon.receiver import STALL, Receiver, receiver

FINE = Condition("lab", conflicts=[], holds=[])
CONFLICT = Condition("lab", conflicts=[Conflict("P", "a", ("reason",))], holds=[])
OFFLINE = Condition("lab", "offline", "the store is away")
HALTED = Condition("lab", "halted", "the store is damaged")


@asynccontextmanager
async def running(state: Path, notify: Notify) -> AsyncIterator[Notices]:
    """Yield running notices with the channels of *notify*."""
    async with anyio.create_task_group() as group:
        made = Notices(state)
        made.follow(notify)
        await group.start(made.run)
        yield made
        group.cancel_scope.cancel()


async def heard(server: Receiver) -> str:
    """Wait for the next notice; return its event."""
    found = await to_thread.run_sync(server.next)
    return str(found.body["event"])


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until *is_so* returns true."""
    await to_thread.run_sync(wait_until, is_so)


def text_of(path: Path) -> str:
    """Return the text of a file, empty if there is none."""
    return path.read_text("utf-8") if path.exists() else ""


def noting(directory: Path) -> str:
    """Return a program that appends each message as a line to the file `told` in *directory*."""
    program = directory / "program"
    program.write_text(f"#!/bin/sh\necho $1 >> {directory}/told\n")
    program.chmod(0o700)
    return str(program)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(notices, "LONGEST_PAUSE", 0.05)


async def test_long_outage_is_reported_without_further_events(tmp_path: Path) -> None:
    """When the pair has been offline for long enough, since the first failure."""
    with receiver() as server:
        async with running(tmp_path, Notify(webhook=server.url, offline_after="300ms")) as made:
            began = anyio.current_time()
            made.note(OFFLINE)
            made.note(OFFLINE)
            assert await heard(server) == "offline"
            lasted = anyio.current_time() - began
            made.note(FINE)
            assert await heard(server) == "recovered"

    assert lasted >= 0.3


async def test_retried_webhook_gets_the_current_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After the time that the server gives, which counts more than smtd's own pause.

    Problems that are over by then are not reported; the log has the first failure and the recovery.
    """
    caplog.set_level(logging.INFO, "smtd")
    with receiver((500, {}), (503, {"Retry-After": "1"})) as server:
        async with running(tmp_path, Notify(webhook=f"{server.url}/s3cret")) as made:
            made.note(HALTED)
            assert [await heard(server) for _ in range(2)] == ["halted"] * 2
            asked_to_wait = anyio.current_time()
            made.note(CONFLICT)
            assert await heard(server) == "conflict"
            assert anyio.current_time() - asked_to_wait > 0.9
            await until(lambda: "works again" in caplog.text)

        assert server.heard.empty()

    assert caplog.messages == [
        "notifications through the webhook of [notify] fail: 127.0.0.1 answered with status 500",
        "the webhook of [notify] works again",
    ]


async def test_rejected_notification_is_not_sent_again(tmp_path: Path) -> None:
    """The next change is."""
    with receiver((404, {})) as server:
        async with running(tmp_path, Notify(webhook=server.url)) as made:
            made.note(CONFLICT)
            assert await heard(server) == "conflict"
            made.note(HALTED)
            assert await heard(server) == "halted"


async def test_hanging_channel_does_not_delay_the_other(tmp_path: Path) -> None:
    """Each channel works alone, and records its own deliveries."""
    with receiver((STALL, {})) as server:
        async with running(tmp_path, Notify(command=[noting(tmp_path)], webhook=server.url)) as made:
            made.note(CONFLICT)
            assert await heard(server) == "conflict"
            made.note(HALTED)
            await until(lambda: text_of(tmp_path / "told").count("\n") == 2)
        async with running(tmp_path, Notify(webhook=server.url)) as made:
            made.note(CONFLICT)
            assert await heard(server) == "conflict"


@pytest.mark.parametrize("due", [False, True])
async def test_new_configuration_is_used_at_once(tmp_path: Path, due: bool) -> None:
    """A removed channel gets nothing more, not even what was due; an unchanged one gets nothing twice."""
    with receiver() as old, receiver() as new:
        async with running(tmp_path, Notify(command=[noting(tmp_path)], webhook=old.url)) as made:
            made.note(CONFLICT)
            assert await heard(old) == "conflict"
            await until(lambda: text_of(tmp_path / "told.json").count('"lab"') == 2)
            if due:
                made.note(HALTED)
            made.follow(Notify(webhook=new.url))
            if not due:
                made.note(HALTED)
            assert await heard(new) == "halted"

        assert old.heard.empty()
    assert text_of(tmp_path / "told").count("\n") == 1


async def test_removed_monitor_gets_no_more_heartbeats(tmp_path: Path) -> None:
    """The new monitor gets the heartbeat for a good cycle that the old one did not get."""
    with receiver() as old, receiver() as new:
        async with running(tmp_path, Notify(heartbeat_url=old.url)) as made:
            await anyio.wait_all_tasks_blocked()
            made.note(FINE)
            made.follow(Notify(heartbeat_url=new.url))
            assert (await to_thread.run_sync(new.next)).method == "GET"

        assert old.heard.empty()


async def test_pair_that_was_removed_is_forgotten(tmp_path: Path) -> None:
    """A new pair of that name starts from scratch."""
    with receiver() as server:
        async with running(tmp_path, Notify(webhook=server.url)) as made:
            made.note(CONFLICT)
            assert await heard(server) == "conflict"
            await until(lambda: '"lab"' in text_of(tmp_path / "told.json"))
            await made.keep([])
            made.note(CONFLICT)
            assert await heard(server) == "conflict"


async def test_channels_that_deliver_at_once_share_one_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They do not disturb each other, and the last state is on the disk."""
    delivered, channels = DeliveredFile(tmp_path / "told.json"), [f"channel {n}" for n in range(50)]
    async with anyio.create_task_group() as group:
        for channel in channels:
            group.start_soon(delivered.put, channel, "lab", Delivered(trouble="halted"))

    again = DeliveredFile(tmp_path / "told.json")
    await again.read()
    assert {again.get(channel, "lab").trouble for channel in channels} == {"halted"}
    assert caplog.messages == []


SPOILED: dict[str, Callable[[Path], object]] = {
    "no JSON": lambda path: path.write_text("?"),
    "no text": lambda path: path.write_bytes(b'{"webhook": {"l\xff": {}}}'),
    "deep": lambda path: path.write_text('{"webhook": {"lab": {"a": ' + "[" * 100_000),
    "a directory": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
async def test_unusable_delivery_file_costs_only_a_repetition(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    """smtd reports it once, and continues."""
    spoil(tmp_path / "told.json")
    with receiver() as server:
        async with running(tmp_path, Notify(webhook=server.url)) as made:
            made.note(CONFLICT)
            made.note(HALTED)
            events = {await heard(server), await heard(server)}

    assert events == {"halted", "conflict"}
    assert len(re.findall(r"told\.json cannot be read", caplog.text)) == 1
    assert len(re.findall(r"told\.json cannot be written", caplog.text)) <= 1


async def test_many_good_cycles_make_few_heartbeats(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand make one, then one more; only the first failure in a row is logged."""
    caplog.set_level(logging.INFO, "smtd")
    monkeypatch.setattr(notices, "HEARTBEAT", 0.0)
    beating, sent = Heartbeat(), queue.Queue[int]()
    failing = True

    async def send() -> None:
        sent.put(1)
        if failing:
            raise Undelivered("host answers 500")

    async with anyio.create_task_group() as group:
        group.start_soon(beating.run, send)
        for _ in range(3):
            for _ in range(1000):
                beating.beat()
            await anyio.wait_all_tasks_blocked()
        failing = False
        beating.beat()
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    assert sent.qsize() == 4
    assert caplog.messages == [
        "the heartbeat of [notify] fails: host answers 500",
        "the heartbeat of [notify] works again",
    ]


async def test_heartbeats_have_a_minimum_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a pair is synced."""
    monkeypatch.setattr(notices, "HEARTBEAT", 0.2)
    beating, moments = Heartbeat(), []

    async def send() -> None:
        moments.append(anyio.current_time())
        beating.beat()
        if len(moments) == 3:
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        beating.beat()
        group.start_soon(beating.run, send)

    assert moments[2] - moments[0] >= 0.4
