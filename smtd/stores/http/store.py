"""The store behind a Sumatra Server; the contract over its few and careless verbs.

The server compares nothing, keeps nothing together and repeats nothing safely: whatever is written
is looked at afterwards, and after an error before anything else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote

import anyio

from smtd.errors import RecordUnusable, StoreRefused, StoreUnreachable
from smtd.gather import gather
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.life import is_final
from smtd.records.record import FIELDS, Key, Record
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
from smtd.stores.http import form
from smtd.stores.http.session import Answer, Session

#: Changes that a call of `write` should get: enough to keep all connections busy.
BATCH = 64
#: Seconds in which a server makes a record, so that what it shows of one is not half of it.
STUMP = 1.0
#: Seconds for which a listing is good, in a row of writes. A record that somebody else makes meanwhile,
#: under a label that is about to be sent, would get our annotations.
FRESH = 60.0
#: Bytes of a body that Django takes, unless its administrator says otherwise.
USUAL_LIMIT = 2_621_440


class _Listing(NamedTuple):
    at: float
    keys: set[Key]


class HttpStore:
    """The records that one user sees on the server of *session*.

    Asked twice at once, the server makes two records of one label, and then serves neither: so one
    call of `write` at a time may be made to a server (see `stores/limited.py`).
    """

    kind = "http"
    capabilities = Capabilities(
        exclusive_writes=True, batch=BATCH, keeps_opaque=False, atomic_updates=False, dear_reads=True
    )

    def __init__(self, session: Session, location: str) -> None:
        self.location = location
        self._session = session
        #: What was read back after a write, for the next `read`, which asks for just that.
        self._back: dict[Key, Record] = {}
        #: What the projects hold, as listed by the first of a row of writes.
        self._listed: dict[str, _Listing] = {}
        #: Shared rows that the server has by now, and those that it is about to make.
        self._made: set[str] = set()
        self._making: set[str] = set()
        self._changed = anyio.Condition()

    def __repr__(self) -> str:
        return f"HttpStore({self.location!r})"

    async def projects(self) -> list[str]:
        answer = await self._session.get()
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            # Sumatra Server 0.3 does so while one project is empty and another is not.
            raise StoreRefused(f"{self.location} cannot list its projects; name them (--project)")
        return sorted(_field(entry, "id") for entry in self._document(answer, list))

    async def scan(
        self, projects: Collection[str] | None = None, *, known: Mapping[Key, Digest] = NOTHING_KNOWN
    ) -> Scan:
        self._listed.clear()
        if projects is None:
            # A project that is no longer listed may only be hidden from us: ask for it.
            projects = {*await self.projects(), *(key.project for key in known)}
        digests: dict[Key, Digest] = {}
        unfinished: set[Key] = set()
        unreadable: dict[Key, str] = {}
        for project in projects:
            keys = await self._keys(project)
            digests |= {key: known[key] for key in keys if key in known}
            for key, found in (await self._read_all(keys - known.keys())).items():
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
        back = {key: self._back.pop(key) for key in keys if key in self._back}
        for key, found in (await self._read_all(set(keys) - back.keys())).items():
            with suppress(RecordUnusable):
                canonical.digest(_readable(found))
                back[key] = _readable(found)
        return back

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        self._back.clear()
        outcomes: dict[Key, Outcome] = {}
        for project in sorted({change.key.project for change in changes}):
            mine = [change for change in changes if change.key.project == project]
            # An empty project keeps this server from listing any: only make one to be filled.
            new = any(change.record is not None and change.expect is None for change in mine)
            listing = await self._listing(project, make=new)
            done = await gather([partial(self._write, change, listing.keys) for change in mine])
            self._listed[project] = listing._replace(keys=_after(listing.keys, mine, done))
            outcomes |= zip([change.key for change in mine], done, strict=True)
        return [outcomes[change.key] for change in changes]

    async def token(self) -> Token | None:
        return None  # the server has no sign of a change

    async def unchanged_since(self, token: Token) -> bool:
        return False

    async def _listing(self, project: str, *, make: bool) -> _Listing:
        """Return what *project* holds, as of this row of writes; none of that is made."""
        found = self._listed.pop(project, None)  # a write that fails leaves it unknown
        now = anyio.current_time()
        if found is None or now - found.at > FRESH or (make and not found.keys):
            found = _Listing(now, await self._keys(project, make=make))
        return found

    async def _keys(self, project: str, *, make: bool = False) -> set[Key]:
        """Return the keys in *project*; with *make* it is made if it is not there."""
        answer = await self._session.get(project)
        if answer.status == HTTPStatus.NOT_FOUND:
            if make:
                # A body with a name or a description makes a project that nobody may use.
                self._expect(await self._session.put(b"{}", project), HTTPStatus.CREATED, HTTPStatus.OK)
            return set()
        if answer.status == HTTPStatus.FORBIDDEN:
            raise StoreRefused(
                f"{self.location} does not let this user into project {project!r}; ask its owner for access"
            )
        addresses = _field(self._document(answer, dict), "records", list)
        return {Key(project, unquote(str(address).rstrip("/").rpartition("/")[2])) for address in addresses}

    async def _read_all(self, keys: Collection[Key]) -> dict[Key, Record | RecordUnusable]:
        """Return what the server shows of *keys*, without those that are not there."""
        wanted = sorted(keys)
        found = await gather([partial(self._get, key) for key in wanted])
        return {key: each for key, each in zip(wanted, found, strict=True) if each is not None}

    async def _get(self, key: Key) -> Record | RecordUnusable | None:
        answer = await self._session.get(key.project, key.label)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            return RecordUnusable(
                f"the server cannot show it (status {answer.status}); delete it there and sync again"
            )
        try:
            return form.read(answer.body)
        except RecordUnusable as exc:
            return exc

    async def _write(self, change: Change, there: Collection[Key]) -> Outcome:
        """Make one change, on its condition."""
        if change.expect is None:
            if change.key in there:
                return STALE
            return DONE if change.record is None else await self._create(change.key, change.record)
        held = await self._get(change.key)
        if not isinstance(held, Record) or canonical.digest(held) != change.expect:
            return STALE
        if change.record is None:
            return DONE if await self._delete(change.key) else STALE
        if set(canonical.differences(held, change.record)) <= set(form.CHANGEABLE):
            return await self._annotate(change.key, change.record)
        return await self._replace(change.key, held, change.record)

    async def _create(self, key: Key, record: Record) -> Outcome:
        try:
            body = form.body(record)
        except (RecordUnusable, ValueError) as exc:
            return Outcome(Result.REFUSED, str(exc))
        try:
            async with self._making_rows(form.shared(record)):
                answer = await self._session.put(body, key.project, key.label)
        except StoreUnreachable:
            # It may have arrived, it may arrive still: never send it again without a look.
            found = await self._get(key)
            if isinstance(found, Record) and _same(found, record):
                return self._done(key, found)
            if isinstance(found, RecordUnusable):
                await self._remove_stump(key)
            raise
        if answer.status == HTTPStatus.OK:
            return STALE  # somebody else made a record of this label meanwhile
        found = await self._get(key)
        altered: set[str] = set()
        if answer.status == HTTPStatus.CREATED and isinstance(found, Record):
            altered = set(canonical.differences(found, record)) & set(FIELDS) - set(form.CHANGEABLE)
            if not altered:
                return self._done(key, found)
        if found is not None:
            await self._delete(key)  # a stump, or what the server could never show as it was written
        if altered:
            what = ", ".join(sorted(altered))
            return Outcome(
                Result.REFUSED,
                f"the server keeps its {what} otherwise than written, so it was removed again;"
                " sync it with a file or a database",
            )
        if answer.status == HTTPStatus.CREATED:
            return Outcome(
                Result.REFUSED, "the server took it but could not show it, so it was removed again"
            )
        return Outcome(Result.REFUSED, _refusal(answer, len(body)))

    async def _remove_stump(self, key: Key) -> None:
        """Remove what a PUT that broke off left, unless the server is only not done with it."""
        await anyio.sleep(STUMP)
        if isinstance(await self._get(key), RecordUnusable):
            await self._delete(key)

    @asynccontextmanager
    async def _making_rows(self, rows: frozenset[str]) -> AsyncIterator[None]:
        """Let no two requests be on their way that make the server look for the same new row.

        It would make it twice, and then refuse every record that shares it, for good.
        """
        async with self._changed:
            while self._making & rows:
                await self._changed.wait()
            new = rows - self._made
            self._making |= new
        try:
            yield
            self._made |= new
        finally:
            self._making -= new
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._changed.notify_all()

    async def _annotate(self, key: Key, record: Record) -> Outcome:
        """Change what the server lets be changed: reason, outcome and tags."""
        answer = await self._session.put(form.changes(record), key.project, key.label)
        if answer.status != HTTPStatus.OK:
            return Outcome(Result.REFUSED, _refusal(answer, 0))
        found = await self._get(key)
        return self._done(key, found) if isinstance(found, Record) else STALE

    async def _replace(self, key: Key, held: Record, record: Record) -> Outcome:
        """Delete the record and make it anew; the old one is put back if the new one is refused."""
        try:
            form.body(record)
        except (RecordUnusable, ValueError) as exc:
            return Outcome(Result.REFUSED, str(exc))
        if not await self._delete(key):
            return STALE
        outcome = await self._create(key, record)
        if outcome.result is Result.REFUSED:
            back = await self._create(key, held)
            self._back.pop(key, None)
            if back.result is not Result.DONE:
                raise StoreRefused(f"{self.location} lost {key} while it was changed: {back.reason}")
        return outcome

    async def _delete(self, key: Key) -> bool:
        """Delete a record; say whether it was there."""
        answer = await self._session.delete(key.project, key.label)
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        self._expect(answer, HTTPStatus.NO_CONTENT)
        return True

    def _done(self, key: Key, found: Record) -> Outcome:
        self._back[key] = found
        return DONE

    def _document(self, answer: Answer, kind: type) -> Any:
        self._expect(answer, HTTPStatus.OK)
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, kind):
            raise StoreRefused(f"{self.location} is no Sumatra Server: it answers with something else")
        return document

    def _expect(self, answer: Answer, *statuses: int) -> None:
        if answer.status not in statuses:
            raise StoreUnreachable(
                f"{self.location} answers with status {answer.status}; see the log of the server"
            )


def _after(there: set[Key], changes: Sequence[Change], outcomes: Sequence[Outcome]) -> set[Key]:
    """Return the keys that are there after *changes*; of what failed nothing is known, so it is not made."""
    gone = {
        change.key
        for change, outcome in zip(changes, outcomes, strict=True)
        if change.record is None and outcome == DONE
    }
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


def _same(one: Record, other: Record) -> bool:
    return canonical.digest(one) == canonical.digest(other)


def _refusal(answer: Answer, size: int) -> str:
    if size > USUAL_LIMIT:
        return (
            f"the server does not take {size / 2**20:.1f} MiB at once (status {answer.status}); raise"
            " DATA_UPLOAD_MAX_MEMORY_SIZE there"
        )
    return f"the server does not take it (status {answer.status}); see the log of the server"
