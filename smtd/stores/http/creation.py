"""Create records on a server while other clients may create the same ones: see `other_clients.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

import anyio

from smtd.gather import gather_whole
from smtd.records.record import Key
from smtd.stores.base import DONE, STALE, Change, Outcome, Result
from smtd.stores.http.concurrency import AT_ONCE
from smtd.stores.http.other_clients import Company
from smtd.stores.http.writer import ServerWriter

#: The outcome of a record whose creation was not begun.
_LATER = Outcome(Result.STALE, "not begun")
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
        outcomes |= {keys[number]: outcome for number, outcome in found.items() if outcome is not _LATER}


class Creation:
    """Creates records in one project, with regard to the other clients there (*company*).

    *listed* returns the keys that the project has; *sleep* waits for a number of seconds.
    """

    def __init__(
        self,
        company: Company,
        writer: ServerWriter,
        listed: Callable[[], Awaitable[Collection[Key]]],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._company = company
        self._writer = writer
        self._listed = listed
        self._sleep = sleep

    async def run(self, made: Mapping[Key, Change], outcomes: dict[Key, Outcome]) -> None:
        """Create the records in *made*, and add the outcome of each to *outcomes*.

        A record that another client creates first is stale, and so are all that are left if the others do not
        finish.
        """
        company, left = self._company, set(made)
        contradicted = await self._contradicted(left)
        outcomes |= dict.fromkeys(contradicted, _UNLISTED)
        left -= contradicted
        if company.met and left & company.known:
            company.are_rivals()  # the record was deleted: every client that had changed it restores it now
        until = anyio.current_time() + company.patience
        while left:
            if company.met:
                if arrived := left & await self._listen():
                    company.lost_race()
                    outcomes |= dict.fromkeys(arrived, STALE)
                    left -= arrived
                if not company.is_calm(now := anyio.current_time()):
                    if now > until:
                        outcomes |= dict.fromkeys(left, STALE)
                        return
                    continue
            alone = not company.met
            batch = company.batch(left)
            await write_all({key: partial(self._create, made[key], alone=alone) for key in batch}, outcomes)
            left -= outcomes.keys()
            company.made(anyio.current_time())

    async def _contradicted(self, keys: Collection[Key]) -> set[Key]:
        """Return those of *keys* that the server still shows at their addresses, but does not list.

        A record that another client had just created would be listed by now.
        """
        again = self._company.unlisted.intersection(keys)
        self._company.unlisted -= again
        found = {key for key in sorted(again) if await self._writer.get(key) is not None}
        self._company.unlisted |= found
        return found

    async def _listen(self) -> set[Key]:
        """Return the keys in the project, after a wait unless it was calm a moment ago.

        The wait ends early if others have added records: these may be all that were to be created.
        """
        company = self._company
        left = 0.0 if company.is_calm(anyio.current_time()) else company.pause
        while True:
            if left > 0.0:
                step = min(left, company.step)
                await self._sleep(step)
                left -= step
            began = anyio.current_time()
            there = set(await self._listed())
            company.looked(anyio.current_time() - began)
            if left <= 0.0 or company.shows_others(there):
                company.heard(there, anyio.current_time())
                return there

    async def _create(self, change: Change, *, alone: bool) -> Outcome:
        """Create one record, unless it exists by now; put it off if smtd is not *alone* any more."""
        company = self._company
        if alone and company.met:
            return _LATER
        key, record, began = change.key, change.record, anyio.current_time()
        assert record is not None
        if await self._writer.get(key) is not None:
            company.unlisted.add(key)
            company.lost_race()
            return STALE
        company.known.add(key)
        outcome = await self._writer.create(key, record)
        if outcome == DONE:
            company.took(anyio.current_time() - began)
        elif outcome == STALE:
            company.lost_race()
        else:
            company.known.discard(key)  # the server does not accept it
        return outcome
