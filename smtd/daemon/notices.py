"""Send notifications of changes of state, through a command or a webhook, and heartbeats to a monitor.

Only the current state of each pair is kept, and no queue. So after a failure the next notification says what
is new at that time, and leaves out what is already over. No pair waits for a delivery.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TypeAlias

import anyio
import msgspec
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint_if_cancelled

from smtd.backoff import pauses
from smtd.config import Notify, seconds
from smtd.daemon import notify_command
from smtd.daemon.delivery_state import DeliveredFile
from smtd.daemon.notice import Condition, Delivered, Notice, Undelivered, next_notice
from smtd.journal.events import now

log = logging.getLogger("smtd")

#: Seconds until a failed delivery is tried again: the first and the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: The least number of seconds between two heartbeats; all good cycles in between make one.
HEARTBEAT = 10.0

Deliver: TypeAlias = Callable[[Notice], Awaitable[None]]


class Heartbeat:
    """Beats after good cycles, while `run` is running."""

    def __init__(self) -> None:
        self._due = anyio.Event()

    def beat(self) -> None:
        """Report a good cycle."""
        self._due.set()

    async def run(self, send: Callable[[], Awaitable[None]]) -> None:
        """Call *send* after good cycles, until cancelled."""
        failing = False
        while True:
            await self._due.wait()
            await checkpoint_if_cancelled()  # send nothing more to an address that was removed
            self._due = anyio.Event()
            began = anyio.current_time()
            try:
                await send()
            except Undelivered as exc:
                if not failing:
                    log.warning("the heartbeat of [notify] fails: %s", exc)
                failing = True
            else:
                if failing:
                    log.info("the heartbeat of [notify] works again")
                failing = False
            await anyio.sleep_until(began + HEARTBEAT)


class Notices:
    """Holds the state of each pair and what was delivered about it; `run` delivers notifications."""

    def __init__(self, state: Path, proxy_for: Callable[[str], str | None] = lambda url: None) -> None:
        self._delivered = DeliveredFile(state / "told.json")
        self._proxy_for = proxy_for
        self._notify = Notify()
        self._conditions: dict[str, Condition] = {}
        self._offline_since: dict[str, float] = {}
        self._heartbeat = Heartbeat()
        self._news = anyio.Event()
        self._channels = anyio.CancelScope()

    def follow(self, notify: Notify) -> None:
        """Deliver through the channels of *notify* from now on."""
        if notify != self._notify:
            self._notify = notify
            self._channels.cancel()

    def note(self, condition: Condition) -> None:
        """Store the state of a pair after a cycle, and wake the channels."""
        known = self._conditions.get(condition.pair)
        if known is not None and condition.conflicts is None:
            condition = msgspec.structs.replace(condition, conflicts=known.conflicts, holds=known.holds)
        self._conditions[condition.pair] = condition
        if condition.trouble == "offline":
            self._offline_since.setdefault(condition.pair, anyio.current_time())
        else:
            self._offline_since.pop(condition.pair, None)
        if condition.trouble is None:
            self._heartbeat.beat()
        self._news.set()
        self._news = anyio.Event()

    async def keep(self, pairs: Collection[str]) -> None:
        """Forget all pairs but *pairs*."""
        for name in self._conditions.keys() - set(pairs):
            del self._conditions[name]
            self._offline_since.pop(name, None)
        await self._delivered.keep(pairs)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Deliver through the channels of the current configuration, until cancelled."""
        await self._delivered.read()
        task_status.started()
        while True:
            with anyio.CancelScope() as self._channels:
                await self._run_channels(self._notify)

    async def _run_channels(self, notify: Notify) -> None:
        """Deliver through the channels of *notify*, until cancelled."""
        async with AsyncExitStack() as stack, anyio.create_task_group() as group:
            if notify.command:
                group.start_soon(
                    self._deliver_all, "command", partial(notify_command.deliver, notify.command)
                )
            if notify.webhook or notify.heartbeat_url:
                from smtd.daemon.webhook import Webhook, open_webhook  # takes 0.2 s, and few need it

                async def opened(url: str) -> Webhook:
                    return await stack.enter_async_context(open_webhook(url, self._proxy_for(url)))

                if notify.webhook:
                    webhook = await opened(notify.webhook)
                    group.start_soon(self._deliver_all, "webhook", webhook.deliver)
                if notify.heartbeat_url:
                    monitor = await opened(notify.heartbeat_url)
                    group.start_soon(self._heartbeat.run, monitor.beat)
            await anyio.sleep_forever()

    async def _deliver_all(self, channel: str, deliver: Deliver) -> None:
        """Deliver all notifications through *channel*, one after the other; retry failed ones."""
        failing, retries = False, pauses(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            news = self._news
            notice, delivered = await self._next(channel)
            if notice is None:
                with anyio.move_on_after(self._patience()):
                    await news.wait()
                continue
            try:
                await _deliver(deliver, notice)
            except Undelivered as exc:
                if not failing:
                    log.warning("notifications through the %s of [notify] fail: %s", channel, exc)
                failing = True
                if exc.again:
                    await anyio.sleep(max(next(retries), exc.after or 0.0))
                    continue
            else:
                if failing:
                    log.info("the %s of [notify] works again", channel)
                failing, retries = False, pauses(FIRST_PAUSE, LONGEST_PAUSE)
            await self._delivered.put(channel, notice.pair, delivered)

    async def _next(self, channel: str) -> tuple[Notice | None, Delivered]:
        """Return the next notification (None: none), and what has been delivered about its pair after it."""
        for name, condition in sorted(self._conditions.items()):
            known = self._delivered.get(channel, name)
            notice, delivered = next_notice(known, self._debounced(condition, known), now())
            if notice is not None:
                return notice, delivered
            await self._delivered.put(channel, name, delivered)
        return None, Delivered()

    def _debounced(self, condition: Condition, known: Delivered) -> Condition:
        """Return *condition*, but with the trouble of *known* if the pair is offline only briefly so far."""
        since = self._offline_since.get(condition.pair)
        if since is None or anyio.current_time() >= since + seconds(self._notify.offline_after):
            return condition
        return msgspec.structs.replace(condition, trouble=known.trouble)

    def _patience(self) -> float:
        """Return the seconds until the next pair has been offline for `offline_after` (infinite: none)."""
        clock, wait = anyio.current_time(), seconds(self._notify.offline_after)
        ends = [since + wait for since in self._offline_since.values()]
        return min([end - clock for end in ends if end > clock], default=float("inf"))


async def _deliver(deliver: Deliver, notice: Notice) -> None:
    """Deliver *notice*; treat a bug in smtd as a failed delivery, because it must not end the daemon."""
    await checkpoint_if_cancelled()  # a channel that was removed delivers nothing more
    try:
        await deliver(notice)
    except Undelivered:
        raise
    except Exception as exc:  # noqa: BLE001 - its text may hold an address
        raise Undelivered(f"a bug in smtd ({type(exc).__name__})") from None
