"""Write single records to a Sumatra Server, and check the outcome.

The server has no conditional writes and no transactions, and a repeated request is not safe. So smtd reads
every record after it has written it, and after an error before it does anything else. smtd's own server has
conditional writes, also where a proxy hides its API; so each write says what smtd expects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import NamedTuple, TypeAlias

import anyio
import msgspec

from smtd.backoff import pauses
from smtd.errors import AnotherRecord, RecordUnusable, StoreBusy, StoreRefused, StoreUnreachable
from smtd.records import canonical
from smtd.records.record import FIELDS, Key, Record
from smtd.stores.base import DONE, STALE, Outcome, Result
from smtd.stores.http import address, form, session
from smtd.stores.http.answer import TooLarge
from smtd.stores.http.condition import IF_ABSENT, NO_CONDITION, RequestCondition, if_match
from smtd.stores.http.session import Answer, NoResponse, NotSent, Session
from smtd.stores.http.shared_rows import RowsInFlight

#: Seconds within which even a slow server makes progress with a record that it creates: the server has
#: abandoned a partial record that stays the same for as long.
PARTIAL_AFTER = 2.0
#: The largest body in bytes that Django accepts by default.
USUAL_LIMIT = 2_621_440
#: The label by which Sumatra asks for the newest record: smtd's own server returns that, unless a record has
#: this label.
_NEWEST = "last"
_ELSEWHERE = "sync it with a file or a database"
#: Tables in which the server creates one row for all records that share it, or two if two requests come at
#: once. Platforms, data and dependencies get rows for each record: there equal rows are no fault.
_SHARED = "executable, launchmode, parameterset, datastore and repository"


class Unshown(RecordUnusable):
    """The server has a record that it cannot show."""


#: What the server returns for a key. A document that cannot be read may be any client's record.
_Found: TypeAlias = Record | RecordUnusable | None


class TargetState(NamedTuple):
    """What was *found* under a key, and the *condition* that it is still there."""

    found: _Found
    condition: RequestCondition = NO_CONDITION


class ServerWriter:
    """Writes records through the session *asked*; messages name the server *location*.

    `back` has the written records as they were read back.
    """

    def __init__(self, asked: Session, location: str) -> None:
        self.back: dict[Key, Record] = {}
        self._session = asked
        self._location = location
        self._rows = RowsInFlight()

    async def get(self, key: Key) -> Record | RecordUnusable | None:
        """Return what the server has under *key*; None if it has nothing."""
        return (await self.held(key)).found

    async def held(self, key: Key) -> TargetState:
        """Return what the server has under *key*, with the condition that it still has that."""
        try:
            address.check_project(key.project)
            address.check_label(key.label)
        except RecordUnusable:
            return TargetState(None)
        try:
            answer = await self._session.get(key.project, key.label)
        except TooLarge as exc:
            return TargetState(Unshown(f"{exc}; delete it there"))
        return TargetState(await self._understood(key, answer), if_match(answer.etag))

    async def _understood(self, key: Key, answer: Answer) -> _Found:
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
        """Create *record*, which the server does not have."""
        try:
            body = form.body(record)
        except (RecordUnusable, ValueError) as exc:
            return Outcome(Result.REFUSED, str(exc))
        try:
            async with self._rows.making(form.shared(record)):
                answer = await self._session.put(body, key.project, key.label, condition=IF_ABSENT)
        except NotSent:
            raise
        except StoreUnreachable as exc:
            # It may have arrived, or may still arrive: never send it again without checking.
            if await self._has_arrived(key, record, for_good=not isinstance(exc, NoResponse)):
                return DONE
            raise
        if answer.status in (HTTPStatus.OK, HTTPStatus.PRECONDITION_FAILED):
            return STALE  # another client created a record with this label meanwhile
        found = await self.get(key)
        if isinstance(found, Record) and _same(found, record):
            return self._done(key, found)
        if answer.status == HTTPStatus.CREATED:
            return await self._created(key, record, found)
        return await self._refused(key, record, found, answer, len(body))

    async def finish(self, key: Key, record: Record) -> Outcome:
        """Create *record* again if the server holds only a part of it; else return STALE."""
        found = await self.get(key)
        is_read = isinstance(found, (Record, form.Altered))
        if not is_read or not await self._remove_partial(key, record, found):
            return STALE
        return await self.create(key, record)

    async def annotate(self, key: Key, record: Record, condition: RequestCondition) -> Outcome:
        """Update the fields that the server lets clients change: reason, outcome and tags."""
        changes = form.changes(record)
        answer = await self._session.put(changes, key.project, key.label, condition=condition)
        if answer.status == HTTPStatus.PRECONDITION_FAILED:
            return STALE
        found = await self.get(key)
        if not isinstance(found, Record):
            return STALE  # another client has just deleted it
        if answer.status != HTTPStatus.OK:
            return Outcome(Result.REFUSED, _refusal(key, answer, 0))
        return self._done(key, found)

    async def replace(self, key: Key, held: Record, record: Record, condition: RequestCondition) -> Outcome:
        """Delete *held* and create *record*; restore the old one if the server refuses the new one.

        Only a crash, or a server that becomes unreachable, between the two leaves the record deleted.
        """
        try:
            form.body(record)
        except (RecordUnusable, ValueError) as exc:
            return Outcome(Result.REFUSED, str(exc))
        deleted = await self.delete(key, held, condition)
        if deleted != DONE:
            return deleted
        if (still := await self.get(key)) is not None:  # the caller's read sees no change
            return DONE if _alike(still, held) else STALE
        outcome = await self._make(key, record)
        if outcome.result is Result.REFUSED:
            back = await self._make(key, held)
            self.back.pop(key, None)
            if back.result is not Result.DONE:
                raise StoreRefused(f"{self._location} lost {key} while it was changed: {back.reason}")
        return outcome

    async def _make(self, key: Key, record: Record) -> Outcome:
        """Create *record*, which is absent; retry while the server is busy; STALE if another one appears."""
        is_fresh = True

        async def once() -> Outcome:
            nonlocal is_fresh
            if not is_fresh:  # a PUT would overwrite what other clients have created meanwhile
                found = await self.get(key)
                if isinstance(found, Record) and _same(found, record):
                    return self._done(key, found)
                if found is not None:
                    return STALE
            is_fresh = False
            return await self.create(key, record)

        return await _retry_write(once)

    async def delete(
        self, key: Key, held: Record | RecordUnusable, condition: RequestCondition = NO_CONDITION
    ) -> Outcome:
        """Delete the record that the caller has just read as *held*; STALE if it has gone or changed."""

        is_fresh = True  # by the caller, just now

        async def once() -> Outcome:
            nonlocal is_fresh, condition
            if not is_fresh:  # smtd has waited since then: other clients may have written
                now, condition = await self.held(key)
                if now is None:
                    return DONE  # only the answer was lost
                if not _alike(held, now):
                    return STALE
            is_fresh = False
            return _deleted(key, await self._session.delete(key.project, key.label, condition=condition))

        return await _retry_write(once)

    async def _has_arrived(self, key: Key, record: Record, *, for_good: bool) -> bool:
        """Say whether a PUT that broke off has created *record*; if it ended *for_good*, remove a part."""
        found = await self.get(key)
        if found is None and for_good:
            # The request may still be under way: two at once create two records.
            await anyio.sleep(PARTIAL_AFTER)
            found = await self.get(key)
        if isinstance(found, Record) and _same(found, record):
            self._done(key, found)
            return True
        if for_good:
            await self._remove_partial(key, record, found)
        return False

    async def _remove_partial(self, key: Key, record: Record, found: _Found) -> bool:
        """Remove *found* if it is a part of *record* and the server no longer works on it; say whether."""
        if not _is_partial(found, record):
            return False
        await anyio.sleep(PARTIAL_AFTER)
        again = await self.get(key)
        if again is None or not _is_partial(again, record) or not _alike(found, again):
            return False
        return await self.delete(key, again) == DONE

    async def _created(self, key: Key, record: Record, found: _Found) -> Outcome:
        """Check what the server returns for a record that it reports as created: it must be the same."""
        if found is None:
            return DONE  # the caller reads it again: a server may report this and keep nothing
        if isinstance(found, (Unshown, form.Altered)):
            return await self._removed(key, found, "the server accepted it but could not show it")
        if isinstance(found, RecordUnusable):  # a record that cannot be compared must not be removed
            why = f"the server accepted it, but its answer cannot be read: {found}"
            return Outcome(Result.REFUSED, why)
        altered = set(canonical.differences(found, record)) & set(FIELDS) - set(form.MUTABLE_FIELDS)
        if not altered:
            return self._done(key, found)  # a user has annotated it since
        what = ", ".join(sorted(altered))
        return await self._removed(key, found, f"the server stored a different {what}")

    async def _refused(self, key: Key, record: Record, found: _Found, answer: Answer, size: int) -> Outcome:
        """Remove what a failed PUT left; what is not a part of *record* belongs to another client."""
        reason = _refusal(key, answer, size)
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR and size <= USUAL_LIMIT:
            reason += (
                ": a shared row may be duplicated in one of the tables"
                f" {_SHARED}; make its records point to the first, then delete the second"
            )
        if found is None:
            return Outcome(Result.REFUSED, reason)
        if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR or not _is_partial(found, record):
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


async def _retry_write(once: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Run a write that checks its own outcome; repeat it while the server is busy and responds."""
    for pause in islice(pauses(session.FIRST_PAUSE, session.LONGEST_PAUSE), session.ATTEMPTS - 1):
        try:
            return await once()
        except StoreBusy as exc:
            if isinstance(exc, NoResponse) or (exc.retry_after or 0.0) > session.LONGEST_PAUSE:
                raise
            await anyio.sleep(max(pause, exc.retry_after or 0.0))
    return await once()


def _deleted(key: Key, answer: Answer) -> Outcome:
    if answer.status == HTTPStatus.NO_CONTENT:
        return DONE
    if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED):
        return STALE
    if answer.status == HTTPStatus.CONFLICT:
        return Outcome(Result.REFUSED, address.doubled(key))
    return Outcome(
        Result.REFUSED, f"the server does not delete it (status {answer.status}); see the log of the server"
    )


def _is_partial(found: _Found, record: Record) -> bool:
    """Say whether *found* is what a PUT of *record* leaves when it fails, in the middle or at the end."""
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
