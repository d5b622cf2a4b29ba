"""Repeat calls of a busy store that may succeed in a moment, as far as that is safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import anyio

from smtd.backoff import pauses
from smtd.errors import StoreBusy
from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.base import DONE, Change, Outcome
from smtd.stores.wrapped import WrappedStore

T = TypeVar("T")

#: The most attempts for a call, and the first and the longest pause in seconds. If a store asks for a
#: longer one, the caller gets the error and can do other work until then.
ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE = 4, 0.5, 30.0
#: Seconds after which no further attempt begins: a call that fails after a minute of silence gets one more.
MAX_SECONDS = 90.0


class RetryingStore(WrappedStore):
    """Repeats calls of *store* that raise StoreBusy, and raises the last such error.

    It raises the error at once if the store asks for more than the longest pause, or if the attempts have
    taken more than `MAX_SECONDS` seconds. Before it repeats a write, it reads what the write has done.
    """

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: dict[Key, Outcome] = {}
        left = list(changes)
        broken: set[Key] = set()
        began = anyio.current_time()
        for pause in islice(pauses(FIRST_PAUSE, LONGEST_PAUSE), ATTEMPTS - 1):
            try:
                outcomes |= await self._written(left)
                break
            except StoreBusy as exc:
                outcomes |= exc.decided
                left = [change for change in left if change.key not in outcomes]
                await _pause(exc, pause, began)
                found = await self.read([change.key for change in left])
                arrived = [change for change in left if _has_arrived(change, found)]
                outcomes |= {change.key: DONE for change in arrived}
                left = [change for change in left if change not in arrived]
                broken.update(change.key for change in left)
                if not self.capabilities.atomic_updates and any(_is_gone(change, found) for change in left):
                    raise  # it may be half done, which only a journal can distinguish from a deletion
        else:
            outcomes |= await self._written(left)
        return [replace(outcomes[change.key], resent=change.key in broken) for change in changes]

    async def _written(self, changes: Sequence[Change]) -> dict[Key, Outcome]:
        outcomes = await self._store.write(changes) if changes else []
        return {change.key: outcome for change, outcome in zip(changes, outcomes, strict=True)}

    async def _reading(self, call: Callable[[], Awaitable[T]]) -> T:
        began = anyio.current_time()
        for pause in islice(pauses(FIRST_PAUSE, LONGEST_PAUSE), ATTEMPTS - 1):
            try:
                return await call()
            except StoreBusy as exc:
                await _pause(exc, pause, began)
        return await call()


async def _pause(exc: StoreBusy, pause: float, began: float) -> None:
    """Wait as *exc* asks before the next try; raise it if that, or the time since *began*, is too long."""
    pause = max(pause, exc.retry_after or 0.0)
    if pause > LONGEST_PAUSE or anyio.current_time() - began > MAX_SECONDS:
        raise exc
    await anyio.sleep(pause)


def _has_arrived(change: Change, found: Mapping[Key, Record]) -> bool:
    """Say whether the key now holds the record of *change*."""
    there = found.get(change.key)
    if there is None or change.record is None:
        return False
    return canonical.digest(there) == canonical.digest(change.record)


def _is_gone(change: Change, found: Mapping[Key, Record]) -> bool:
    """Say whether a record that *change* updates is no longer there, or cannot be read."""
    return change.expect is not None and change.record is not None and change.key not in found
