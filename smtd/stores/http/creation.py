"""Create records on a server while other clients may create the same ones: see `other_clients.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

import anyio

from smtd.gather import gather_whole
from smtd.records.record import Key
from smtd.stores.base import DONE, STALE, Change, Outcome, Result
from smtd.stores.http.concurrency import AT_ONCE
from smtd.stores.http.other_clients import OtherClients
from smtd.stores.http.writer import ServerWriter

#: The outcome of a record whose creation was not begun.
_NOT_BEGUN = Outcome(Result.STALE, "not begun")
_UNLISTED = Outcome(
    Result.REFUSED,
    "the server shows it at its address, but does not list it in its project; look for a cache or a proxy in"
    " front of it that gives old answers",
)


async def write_all(
    calls: Mapping[Key, Callable[[], Awaitable[Outcome]]], outcomes: dict[Key, Outcome]
) -> None:
    """Make *calls*, a few at once, and add the outcome of each to *outcomes*."""
    keys, found = list(calls), dict[int, Outcome]()
    try:
        # Not cancelled: a PUT could still be running while smtd looks for the same record and sends it again.
        await gather_whole(list(calls.values()), AT_ONCE, found)
    finally:
        outcomes |= {keys[number]: outcome for number, outcome in found.items() if outcome is not _NOT_BEGUN}


class Creation:
    """Creates records in one project, with regard to the other clients there (*others*).

    *listed* returns the keys that the project has; *sleep* waits for a number of seconds.
    """

    def __init__(
        self,
        others: OtherClients,
        writer: ServerWriter,
        listed: Callable[[], Awaitable[Collection[Key]]],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._others = others
        self._writer = writer
        self._listed = listed
        self._sleep = sleep

    async def run(self, made: Mapping[Key, Change], outcomes: dict[Key, Outcome]) -> None:
        """Create the records in *made*, and add the outcome of each to *outcomes*.

        A record that another client creates first is stale, and so are all that are left if the others do not
        finish.
        """
        others, left = self._others, set(made)
        contradicted = await self._shown_but_unlisted(left)
        outcomes |= dict.fromkeys(contradicted, _UNLISTED)
        left -= contradicted
        if others.may_act and left & others.known:
            others.are_rivals()  # the record was deleted: every client that had changed it restores it now
        until = anyio.current_time() + others.patience
        while left:
            if others.may_act:
                if arrived := left & await self._wait_and_list():
                    others.lost_race()
                    outcomes |= dict.fromkeys(arrived, STALE)
                    left -= arrived
                if not others.is_calm(now := anyio.current_time()):
                    if now > until:
                        outcomes |= dict.fromkeys(left, STALE)
                        return
                    continue
            alone = not others.may_act
            batch = others.batch(left)
            await write_all({key: partial(self._create, made[key], alone=alone) for key in batch}, outcomes)
            left -= outcomes.keys()
            others.note_created(anyio.current_time())

    async def _shown_but_unlisted(self, keys: Collection[Key]) -> set[Key]:
        """Return those of *keys* that the server still shows at their addresses, but does not list.

        A record that another client had just created would be listed by now.
        """
        again = self._others.unlisted.intersection(keys)
        self._others.unlisted -= again
        found = {key for key in sorted(again) if await self._writer.get(key) is not None}
        self._others.unlisted |= found
        return found

    async def _wait_and_list(self) -> set[Key]:
        """Return the keys in the project, after a wait unless it was calm a moment ago.

        The wait ends early if others have added records: these may be all that were to be created.
        """
        others = self._others
        left = 0.0 if others.is_calm(anyio.current_time()) else others.pause
        while True:
            if left > 0.0:
                step = min(left, others.step)
                await self._sleep(step)
                left -= step
            began = anyio.current_time()
            there = set(await self._listed())
            others.note_listing_time(anyio.current_time() - began)
            if left <= 0.0 or others.shows_others(there):
                others.note_listing(there, anyio.current_time())
                return there

    async def _create(self, change: Change, *, alone: bool) -> Outcome:
        """Create one record, unless it exists by now; put it off if smtd is not *alone* any more."""
        others = self._others
        if alone and others.may_act:
            return _NOT_BEGUN
        key, record, began = change.key, change.record, anyio.current_time()
        assert record is not None
        if await self._writer.get(key) is not None:
            others.unlisted.add(key)
            others.lost_race()
            return STALE
        others.known.add(key)
        outcome = await self._writer.create(key, record)
        if outcome == DONE:
            others.note_write_time(anyio.current_time() - began)
        elif outcome == STALE:
            others.lost_race()
        else:
            others.known.discard(key)  # the server does not accept it
        return outcome
