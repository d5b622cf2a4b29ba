"""The store behind a Sumatra Server, whose few operations are neither conditional nor atomic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any, NamedTuple

import anyio

from smtd.errors import AnotherRecord, RecordUnusable, StoreBusy, StoreRefused, StoreUnreachable
from smtd.gather import gather
from smtd.records import canonical, documents, literal
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.records.run_status import is_final
from smtd.stores.base import (
    DONE,
    NOTHING_KNOWN,
    STALE,
    Capabilities,
    Change,
    Outcome,
    Result,
    Scan,
    Token,
)
from smtd.stores.http import address, form, shared_rows
from smtd.stores.http.answer import TooLarge, check_listing
from smtd.stores.http.creation import Creation, write_all
from smtd.stores.http.other_clients import OtherClients
from smtd.stores.http.session import Answer, Session
from smtd.stores.http.writer import ServerWriter

#: The number of changes that a call of `write` should get: enough to keep all connections busy.
BATCH = 64
#: Seconds for which a listing is valid in a series of writes. If another client has since created a record
#: under a label that smtd is about to send, that record would get smtd's annotations.
FRESH = 60.0
_NOT_SHOWN = (
    "the server lists it, but reports that it does not exist; look for a cache or a proxy in front of it"
    " that gives old answers"
)


class _Listing(NamedTuple):
    """The content of a project at one moment: keys, and what is wrong with others."""

    at: float
    keys: set[Key]
    unreadable: dict[Key, str]
    exists: bool = True

    @property
    def there(self) -> set[Key]:
        """All keys that exist."""
        return self.keys | self.unreadable.keys()


class HttpStore:
    """The records that one user sees on the server of *session*.

    If two requests create one label at the same time, the server makes two records, and then serves
    neither. So only one call of `write` at a time may be made to a server (see `stores/limited.py`).
    """

    kind = "http"
    capabilities = Capabilities(
        exclusive_writes=False,  # others may write between smtd's last GET and its PUT
        batch=BATCH,
        keeps_opaque=False,
        atomic_updates=False,
        costly_reads=True,
        saves_records=True,
        creates_duplicates=True,
    )

    def __init__(
        self,
        session: Session,
        location: str,
        chance: Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.location = location
        self._sleep = sleep
        chance = chance or Random()
        self._others_in: defaultdict[str, OtherClients] = defaultdict(lambda: OtherClients(chance))
        self._session = session
        #: The records that it reads back after a write are kept for the next `read`, which asks for them.
        self._writer = ServerWriter(session, location)
        #: The listing of each project, made by the first of a series of writes.
        self._listed: dict[str, _Listing] = {}

    def __repr__(self) -> str:
        return f"HttpStore({self.location!r})"

    async def projects(self) -> list[str]:
        answer = await self._session.get()
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            # Sumatra Server 0.3 does so while one project is empty and another is not.
            raise StoreRefused(
                f"{self.location} does not list its projects; name the projects with --project"
            )
        found = await self._session.understood(
            lambda body: self._document(answer.status, body, list), answer.body
        )
        return sorted(_field(entry, "id") for entry in found)

    async def scan(
        self, projects: Collection[str] | None = None, *, known: Mapping[Key, Digest] = NOTHING_KNOWN
    ) -> Scan:
        self._listed.clear()
        if projects is None:
            # A project that is no longer listed may only be hidden from this user: read it, too.
            projects = {*await self.projects(), *(key.project for key in known)}
        digests: dict[Key, Digest] = {}
        unfinished: set[Key] = set()
        unreadable: dict[Key, str] = {}
        for project in projects:
            began = anyio.current_time()
            listing = await self._list(project)
            self._others_in[project].note_listing_time(anyio.current_time() - began)
            self._others_in[project].note_scan(listing.there)
            unreadable |= listing.unreadable
            digests |= {key: known[key] for key in listing.keys if key in known}
            shown = await self._read_all(wanted := listing.keys - known.keys())
            if missing := wanted - shown.keys():
                still = (await self._list(project)).there  # the others were deleted since
                unreadable |= dict.fromkeys(missing & still, _NOT_SHOWN)
            for key, found in shown.items():
                try:
                    record = _readable(found)
                    digests[key] = canonical.digest(record)
                except RecordUnusable as exc:
                    unreadable[key] = str(exc)
                    continue
                if not is_final(record):
                    unfinished.add(key)
        return Scan(digests, unfinished, unreadable)

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        kept = self._writer.back
        back = {key: kept.pop(key) for key in keys if key in kept}
        for key, found in (await self._read_all(set(keys) - back.keys())).items():
            with suppress(RecordUnusable):
                canonical.digest(_readable(found))
                back[key] = _readable(found)
        return back

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        self._writer.back.clear()
        outcomes: dict[Key, Outcome] = {}
        for project in sorted({change.key.project for change in changes}):
            mine = [change for change in changes if change.key.project == project]
            try:
                await self._write_project(project, mine, outcomes)
            except StoreBusy as exc:
                exc.decided |= outcomes
                raise
        return [outcomes[change.key] for change in changes]

    async def token(self) -> Token | None:
        return None  # the server does not show whether it has changed

    async def unchanged_since(self, token: Token) -> bool:
        return False

    async def flush(self) -> None:
        """Do nothing: smtd cannot make anything durable on a server."""

    def rest(self) -> None:
        self._writer.back.clear()

    async def _write_project(
        self, project: str, changes: Sequence[Change], outcomes: dict[Key, Outcome]
    ) -> None:
        """Make the changes of one project, and add their outcomes to *outcomes*.

        If something is wrong with the project, only changes of its records fail.
        """
        try:
            listing = await self._listing(project, changes)
        except RecordUnusable as exc:
            outcomes |= {change.key: _without_project(change, str(exc)) for change in changes}
            return
        others = self._others_in[project]
        others.known |= listing.there
        made = {change.key: change for change in changes if _is_creation(change, listing.there)}
        await write_all(
            {each.key: partial(self._write, each, listing.there) for each in changes if each.key not in made},
            outcomes,
        )
        others.may_act |= any(change.contested for change in made.values()) and not others.created_project
        others.known -= {
            each.key for each in changes if each.record is None and outcomes.get(each.key) == DONE
        }
        creation = Creation(others, self._writer, partial(self._keys_in, project), self._sleep)
        await creation.run(made, outcomes)
        self._listed[project] = listing._replace(keys=_after(listing.keys, changes, outcomes))

    async def _keys_in(self, project: str) -> set[Key]:
        return (await self._list(project)).there

    async def _listing(self, project: str, changes: Sequence[Change]) -> _Listing:
        """Return the listing of *project* for this series of writes; create the project if it gets a record.

        Raises RecordUnusable for a project that this user may not use, or that the server cannot have.
        """
        found = self._listed.pop(project, None)  # after a write that fails it is unknown
        now = anyio.current_time()
        if found is None or now - found.at > FRESH or not found.exists:
            address.check_project(project)
            answer = await self._session.get(project)
            if answer.status == HTTPStatus.FORBIDDEN:
                raise RecordUnusable(_forbidden(project))
            found = await self._understood(project, answer)
            # With an empty project this server cannot list any project: create only one that gets a record.
            if not found.exists and any(map(_can_be_made, changes)):
                found = await self._create_project(project)
        return found

    async def _create_project(self, project: str) -> _Listing:
        """Create *project*, unless another client has; return its listing once records may be added."""
        others = self._others_in[project]
        # If this process has seen or created records, the rows that records share exist already.
        knows_records = any(each.known for each in self._others_in.values())
        there = None if knows_records else await shared_rows.list_projects(self._session)
        is_new = there is not None and not there.begun
        others.created_project = await self.make_project(project)
        listing = _Listing(anyio.current_time(), set(), {})
        if (
            others.created_project
            and is_new
            and await shared_rows.wait_for_turn(self._session, project, others, self._sleep)
        ):
            # Others may have found the project during the wait, and may be starting now.
            listing = await self._list(project)
            others.created_project = False
        if not others.created_project:
            others.are_rivals()  # a client that creates this project has copies of the same records
        return listing

    async def make_project(self, project: str) -> bool:
        """Create *project* if it does not exist; say whether this call did: of concurrent calls, one does.

        Raises RecordUnusable if this user may not, or if the server cannot have such a project.
        """
        address.check_project(project)
        # A body with a name or a description creates a project that no user may use.
        answer = await self._session.put(b"{}", project)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise RecordUnusable(_forbidden(project))
        if answer.status not in (HTTPStatus.CREATED, HTTPStatus.OK):
            raise RecordUnusable(
                f"the server does not create project {project!r} (status {answer.status}); see its log"
            )
        return answer.status == HTTPStatus.CREATED

    async def _list(self, project: str) -> _Listing:
        """Return the listing of *project*, empty if it does not exist."""
        try:
            address.check_project(project)
        except RecordUnusable:
            return _Listing(anyio.current_time(), set(), {}, exists=False)
        answer = await self._session.get(project)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise StoreRefused(f"{self.location}: {_forbidden(project)}")
        return await self._understood(project, answer)

    async def _understood(self, project: str, answer: Answer) -> _Listing:
        now = anyio.current_time()
        if answer.status == HTTPStatus.NOT_FOUND:
            return _Listing(now, set(), {}, exists=False)
        listed = partial(self._listed_in, project, answer.status)
        labels, wrong = await self._session.understood(listed, answer.body)
        return _Listing(
            now,
            {Key(project, label) for label in labels},
            {Key(project, label): why for label, why in wrong.items()},
        )

    def _listed_in(self, project: str, status: int, body: bytes) -> tuple[set[str], dict[str, str]]:
        """Return the labels in a listing, and what is wrong with others. Called in any thread."""
        document = self._document(status, body, dict)
        addresses = _field(document, "records", list)
        try:
            if (said := document.get("id", project)) != project:
                raise AnotherRecord(f"a listing of project {literal.shortened(str(said))}")
            return address.listed(self._session.base, project, addresses)
        except AnotherRecord as exc:
            # Such a listing does not show that a record is absent.
            raise StoreUnreachable(
                f"{self.location} returned {exc} when asked for {project!r}; look for a cache or a proxy in"
                " front of it that mixes up its answers"
            ) from exc

    async def _read_all(self, keys: Collection[Key]) -> dict[Key, Record | RecordUnusable]:
        """Return the records of *keys*, or why they cannot be read, without those that do not exist."""
        wanted = sorted(keys)
        found = await gather([partial(self._writer.get, key) for key in wanted])
        return {key: each for key, each in zip(wanted, found, strict=True) if each is not None}

    async def _write(self, change: Change, there: Collection[Key]) -> Outcome:
        """Make one change, if its condition holds."""
        key, record = change.key, change.record
        if change.expect is None:
            if key not in there:
                return DONE  # there is nothing to delete
            return STALE if record is None else await self._writer.finish(key, record)
        held, condition = await self._writer.held(key)
        if not isinstance(held, Record) or canonical.digest(held) != change.expect:
            return STALE
        if record is None:
            return await self._writer.delete(key, held, condition)
        if set(canonical.differences(held, record)) <= set(form.MUTABLE_FIELDS):
            return await self._writer.annotate(key, record, condition)
        return await self._writer.replace(key, held, record, condition)

    def _document(self, status: int, body: bytes, kind: type) -> Any:
        if status != HTTPStatus.OK:
            raise StoreUnreachable(f"{self.location} answers with status {status}; see the log of the server")
        try:
            check_listing(body)
        except TooLarge as exc:
            raise TooLarge(f"{self.location} {exc}") from None
        try:
            document = documents.read(body, doubled=documents.refuse)
        except (ValueError, RecursionError, MemoryError):
            document = None
        if not isinstance(document, kind):
            raise StoreRefused(
                f"{self.location} is not a Sumatra Server: it gives different answers; check the address"
            )
        return document


def _is_creation(change: Change, there: Collection[Key]) -> bool:
    """Say whether *change* creates a record that is not *there*."""
    return change.expect is None and change.record is not None and change.key not in there


def _can_be_made(change: Change) -> bool:
    if change.record is None or change.expect is not None:
        return False
    try:
        form.body(change.record)
    except (RecordUnusable, ValueError):
        return False
    return True


def _without_project(change: Change, reason: str) -> Outcome:
    """Return the outcome of a change in a project that this user cannot use, for *reason*."""
    if change.expect is not None:
        return STALE
    return DONE if change.record is None else Outcome(Result.REFUSED, reason)


def _forbidden(project: str) -> str:
    what = f"the server denies this user access to project {project!r}"
    return f"permission denied: {what}; ask its owner for access"


def _after(there: set[Key], changes: Sequence[Change], outcomes: Mapping[Key, Outcome]) -> set[Key]:
    """Return the keys that may exist after *changes*: also those of failed writes, lest smtd create them."""
    gone = {change.key for change in changes if change.record is None and outcomes[change.key] == DONE}
    return (there | {change.key for change in changes if change.record is not None}) - gone


def _field(document: Any, name: str, kind: type = str) -> Any:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, kind):
        raise StoreRefused("the server's answer is not that of a Sumatra Server; check the address")
    return found


def _readable(found: Record | RecordUnusable) -> Record:
    if isinstance(found, RecordUnusable):
        raise found
    return found
