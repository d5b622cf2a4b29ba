"""Write single records to a Sumatra Server, and look at what came of it.

The server compares nothing, keeps nothing together and repeats nothing safely: whatever is written
is looked at afterwards, and after an error before anything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import TypeAlias

import anyio
import msgspec

from smtd.backoff import pauses
from smtd.errors import AnotherRecord, RecordUnusable, StoreBusy, StoreRefused, StoreUnreachable
from smtd.records import canonical
from smtd.records.record import FIELDS, Key, Record
from smtd.stores.base import DONE, STALE, Outcome, Result
from smtd.stores.http import address, form, session
from smtd.stores.http.answer import TooLarge
from smtd.stores.http.session import Answer, NotSent, Session, Silence
from smtd.stores.http.shared import RowsInFlight

#: Seconds in which a server goes on with a record that it makes, however slowly: what stays the same for
#: as long is a stump that it left.
STUMP = 2.0
#: Bytes of a body that Django takes, unless its administrator says otherwise.
USUAL_LIMIT = 2_621_440
#: Where smtd's own server shows the newest record, unless one has this label: Sumatra asks for it so.
_NEWEST = "last"
_ELSEWHERE = "sync it with a file or a database"
#: Of these the server makes one row for all records that share it, twice if asked twice at once. Platforms,
#: data and dependencies it makes for each record: there equal rows are no fault.
_SHARED = "executable, launchmode, parameterset, datastore and repository"


class Unshown(RecordUnusable):
    """The server has a record that it cannot show."""


#: What the server shows of a key. A document that cannot be read may be anybody's record.
_Found: TypeAlias = Record | RecordUnusable | None


class ServerWriter:
    """Writes records to the server that is *asked*, which people know as *location*.

    `back` has what was read back of the records that were written.
    """

    def __init__(self, asked: Session, location: str) -> None:
        self.back: dict[Key, Record] = {}
        self._session = asked
        self._location = location
        self._rows = RowsInFlight()

    async def get(self, key: Key) -> Record | RecordUnusable | None:
        """Return what the server shows of *key*; None if it is not there."""
        try:
            address.check_project(key.project)
            address.check_label(key.label)
        except RecordUnusable:
            return None
        try:
            answer = await self._session.get(key.project, key.label)
        except TooLarge as exc:
            return Unshown(f"{exc}; delete it there")
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            return Unshown(
                f"the server cannot show it (status {answer.status}); delete it there and sync again"
            )
        try:
            return await self._session.understood(partial(form.read, key=key), answer.body)
        except AnotherRecord as exc:
            return None if key.label == _NEWEST else exc
        except RecordUnusable as exc:
            return exc

    async def create(self, key: Key, record: Record) -> Outcome:
        """Make *record*, which is not there."""
        try:
            body = form.body(record)
        except (RecordUnusable, ValueError) as exc:
            return Outcome(Result.REFUSED, str(exc))
        try:
            async with self._rows.making(form.shared(record)):
                answer = await self._session.put(body, key.project, key.label)
        except NotSent:
            raise
        except StoreUnreachable as exc:
            # It may have arrived, or still arrive: never send it again without a look.
            if await self._has_arrived(key, record, for_good=not isinstance(exc, Silence)):
                return DONE
            raise
        if answer.status == HTTPStatus.OK:
            return STALE  # somebody else made a record of this label meanwhile
        found = await self.get(key)
        if isinstance(found, Record) and _same(found, record):
            return self._done(key, found)
        if answer.status == HTTPStatus.CREATED:
            return await self._created(key, record, found)
        return await self._refused(key, record, found, answer, len(body))

    async def finish(self, key: Key, record: Record) -> Outcome:
        """Make *record* again if the server holds only a stump of it; else it is stale."""
        found = await self.get(key)
        if not isinstance(found, (Record, form.Altered)) or not await self._remove_stump(key, record, found):
            return STALE
        return await self.create(key, record)

    async def annotate(self, key: Key, record: Record) -> Outcome:
        """Change what the server lets be changed: reason, outcome and tags."""
        answer = await self._session.put(form.changes(record), key.project, key.label)
        found = await self.get(key)
        if not isinstance(found, Record):
            return STALE  # somebody deleted it in this moment
        if answer.status != HTTPStatus.OK:
            return Outcome(Result.REFUSED, _refusal(key, answer, 0))
        return self._done(key, found)

    async def replace(self, key: Key, held: Record, record: Record) -> Outcome:
        """Delete *held* and make *record*; the old one is put back if the new one is refused.

        Between the two only a crash, or a server that is gone, leaves it deleted.
        """
        try:
            form.body(record)
        except (RecordUnusable, ValueError) as exc:
            return Outcome(Result.REFUSED, str(exc))
        deleted = await self.delete(key, held)
        if deleted != DONE:
            return deleted
        if (still := await self.get(key)) is not None:  # the caller sees that nothing has changed
            return DONE if _alike(still, held) else STALE
        outcome = await self._make(key, record)
        if outcome.result is Result.REFUSED:
            back = await self._make(key, held)
            self.back.pop(key, None)
            if back.result is not Result.DONE:
                raise StoreRefused(f"{self._location} lost {key} while it was changed: {back.reason}")
        return outcome

    async def _make(self, key: Key, record: Record) -> Outcome:
        """Make *record*, which is not there, as soon as the server takes it; stale if another one is made."""
        looked = True

        async def once() -> Outcome:
            nonlocal looked
            if not looked:  # a PUT over what others have made meanwhile would overwrite their words
                found = await self.get(key)
                if isinstance(found, Record) and _same(found, record):
                    return self._done(key, found)
                if found is not None:
                    return STALE
            looked = False
            return await self.create(key, record)

        return await _insist(once)

    async def delete(self, key: Key, held: Record | RecordUnusable) -> Outcome:
        """Delete what is there, and is *held*; it is stale if that is no longer so."""

        looked = True  # the caller has, just now

        async def once() -> Outcome:
            nonlocal looked
            if not looked:  # it was waited since: others may have written
                now = await self.get(key)
                if now is None:
                    return DONE  # only the answer was lost
                if not _alike(held, now):
                    return STALE
            looked = False
            return _deleted(key, await self._session.delete(key.project, key.label))

        return await _insist(once)

    async def _has_arrived(self, key: Key, record: Record, *, for_good: bool) -> bool:
        """Say whether a PUT that broke off has made *record*; if it ended *for_good*, a stump is removed."""
        found = await self.get(key)
        if found is None and for_good:
            await anyio.sleep(STUMP)  # the request may still be under way, and two at once make two records
            found = await self.get(key)
        if isinstance(found, Record) and _same(found, record):
            self._done(key, found)
            return True
        if for_good:
            await self._remove_stump(key, record, found)
        return False

    async def _remove_stump(self, key: Key, record: Record, found: _Found) -> bool:
        """Remove *found*, if it is what a PUT of *record* left, unless the server goes on with it."""
        if not _is_stump(found, record):
            return False
        await anyio.sleep(STUMP)
        again = await self.get(key)
        if again is None or not _is_stump(again, record) or not _alike(found, again):
            return False
        return await self.delete(key, again) == DONE

    async def _created(self, key: Key, record: Record, found: _Found) -> Outcome:
        """Judge what the server shows of a record that it says it has made: it must be the very same."""
        if found is None:
            return DONE  # the caller looks again: a server may say so and keep nothing
        if isinstance(found, (Unshown, form.Altered)):
            return await self._removed(key, found, "the server accepted it but could not show it")
        if isinstance(found, RecordUnusable):  # what cannot be compared is not removed
            why = f"the server accepted it, but its answer cannot be read: {found}"
            return Outcome(Result.REFUSED, why)
        altered = set(canonical.differences(found, record)) & set(FIELDS) - set(form.CHANGEABLE)
        if not altered:
            return self._done(key, found)  # somebody annotated it at once
        what = ", ".join(sorted(altered))
        return await self._removed(key, found, f"the server stored a different {what}")

    async def _refused(self, key: Key, record: Record, found: _Found, answer: Answer, size: int) -> Outcome:
        """Remove what a PUT that failed left; what is no part of *record* is somebody else's."""
        reason = _refusal(key, answer, size)
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR and size <= USUAL_LIMIT:
            reason += (
                ": a row that records share may exist twice in one of its tables"
                f" {_SHARED}; make its records point to the first, then delete the second"
            )
        if found is None:
            return Outcome(Result.REFUSED, reason)
        if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR or not _is_stump(found, record):
            return STALE
        deleted = await self.delete(key, found)
        return deleted if deleted.result is Result.REFUSED else Outcome(Result.REFUSED, reason)

    async def _removed(self, key: Key, found: Record | RecordUnusable, reason: str) -> Outcome:
        deleted = await self.delete(key, found)
        if deleted.result is Result.REFUSED:
            return Outcome(Result.REFUSED, f"{reason}; {deleted.reason}")
        return Outcome(Result.REFUSED, f"{reason}, so it was removed again; {_ELSEWHERE}")

    def _done(self, key: Key, found: Record) -> Outcome:
        self.back[key] = found
        return DONE


async def _insist(once: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Return what becomes of a write that looks after itself, tried again as long as it is busy."""
    for pause in islice(pauses(session.FIRST_PAUSE, session.LONGEST_PAUSE), session.ATTEMPTS - 1):
        try:
            return await once()
        except StoreBusy as exc:
            if isinstance(exc, Silence) or (exc.retry_after or 0.0) > session.LONGEST_PAUSE:
                raise
            await anyio.sleep(max(pause, exc.retry_after or 0.0))
    return await once()


def _deleted(key: Key, answer: Answer) -> Outcome:
    if answer.status == HTTPStatus.NO_CONTENT:
        return DONE
    if answer.status == HTTPStatus.NOT_FOUND:
        return STALE
    if answer.status == HTTPStatus.CONFLICT:
        return Outcome(Result.REFUSED, address.doubled(key))
    return Outcome(
        Result.REFUSED, f"the server does not delete it (status {answer.status}); see the log of the server"
    )


def _is_stump(found: _Found, record: Record) -> bool:
    """Say whether *found* is what a PUT of *record* leaves that fails, in the middle or at the end."""
    if isinstance(found, form.Altered):
        shown = msgspec.structs.replace(found.shown, parameters=record.parameters)
        return _same(shown, record) or canonical.is_part(shown, record)
    if isinstance(found, Record):
        return canonical.is_part(found, record)
    return isinstance(found, Unshown)


def _alike(one: _Found, other: _Found) -> bool:
    if isinstance(one, Record) and isinstance(other, Record):
        return _same(one, other)
    return type(one) is type(other)


def _same(one: Record, other: Record) -> bool:
    return canonical.digest(one) == canonical.digest(other)


def _refusal(key: Key, answer: Answer, size: int) -> str:
    if answer.status == HTTPStatus.CONFLICT:
        return address.doubled(key)
    if size > USUAL_LIMIT:
        return (
            f"the server does not accept {size / 2**20:.1f} MiB at once (status {answer.status}); raise"
            " DATA_UPLOAD_MAX_MEMORY_SIZE there"
        )
    return f"the server does not accept it (status {answer.status}); see the log of the server"
