"""The requests to smtd's own server: the feed of changes, and records in bulk (docs/reference/server.md)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import NamedTuple, TypeVar

import msgspec
from yarl import URL

from smtd.errors import RecordUnusable, StoreRefused, StoreUnreachable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record, is_plain
from smtd.stores.base import Change
from smtd.stores.http import exact_form, form
from smtd.stores.http.session import Session

#: The most lines of a request, and the bytes after which it gets no further line.
LINES, LINES_BYTES = 1000, 8 * 2**20
#: The most bytes of a line: of a request that has no other.
LARGEST_LINE = 16 * 2**20
#: The most bytes of an answer. The server ends one after 16 MiB, unless its first record is larger:
#: 64 MiB, with each character escaped.
MOST = 512 * 2**20
#: Seconds without a byte after which a stream is taken to be dead: the server sends something every 15 s.
SILENCE = 40.0
_PREFIX = f"{canonical.VERSION}-"
#: What a server answers that does not offer the API, or a proxy that hides it.
_MISSING = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.FORBIDDEN)

T = TypeVar("T")


class Gone(Exception):
    """The server cannot continue from a number: read everything again.

    *is_other_log*: the number is of another log, or too old. Else the user sees other projects than before.
    """

    def __init__(self, *, is_other_log: bool) -> None:
        super().__init__()
        self.is_other_log = is_other_log


class Denied(RecordUnusable):
    """The user may not see a record, which may exist."""


class _Refused(StoreUnreachable):
    """The server refuses a whole bulk request; the text says why."""


class _Keyed(msgspec.Struct, frozen=True):
    """What the server says of one record."""

    project: str
    label: str

    @property
    def key(self) -> Key:
        """The key of the record."""
        return Key(self.project, self.label)


class FeedEntry(_Keyed, frozen=True):
    """The last change of a record; *digest* None: it was deleted. *record* is absent if it is large."""

    digest: str | None
    record: msgspec.Raw = msgspec.Raw()


class Page(msgspec.Struct, frozen=True):
    """Some changes; *next* is the number to continue from, *more* says that there are further ones now."""

    changes: tuple[FeedEntry, ...]
    next: int
    more: bool


class Followed(NamedTuple):
    """A sign of life in a stream: the *number* to continue from, and whether a record has changed."""

    number: int
    is_change: bool


class _Found(_Keyed, frozen=True):
    """The answer to one line of `records:get` or `records:write`."""

    outcome: str
    digest: str | None = None
    record: msgspec.Raw = msgspec.Raw()
    error: str = ""


class WriteAnswer(NamedTuple):
    """The outcome of a change: `done`, `stale`, `refused` or `forbidden`, and what the server then holds."""

    outcome: str
    digest: str | None = None
    error: str = ""


def digest_of(text: str | None) -> Digest | None:
    """Return the digest that the server writes as *text*; None: this smtd cannot compare the record."""
    if text is None or not text.startswith(_PREFIX):
        return None
    try:
        return bytes.fromhex(text.removeprefix(_PREFIX))
    except ValueError:
        return None


def text_of(digest: Digest | None) -> str | None:
    """Return *digest* as the server writes it."""
    return None if digest is None else f"{_PREFIX}{digest.hex()}"


class FeedApi:
    """Asks the API at *url*, which ends in a slash, through *session*; *name* is for messages.

    *missed* is called if it is not there, or this user may not use it.
    """

    def __init__(self, session: Session, url: URL, name: str, missed: Callable[[], object]) -> None:
        self.url = url
        self._session = session
        self._missed = missed
        self._name = name
        #: The number of the last change on the server when this object last wrote (None: unknown).
        self.number_after_write: int | None = None

    async def changes(self, since: int | None, *, with_records: bool = False) -> Page:
        """Return changes after the number *since* (None: from now on).

        Raises Gone, and what `Session.get` raises.
        """
        query = {"since": _text(since)}
        if with_records:
            query["include"] = "records"
        answer = await self._session.get_at((self.url / "changes").with_query(query), MOST)
        if answer.status == HTTPStatus.GONE:
            raise Gone(is_other_log=b'"reason":"rights"' not in answer.body.replace(b" ", b""))
        self._check(answer.status)
        return await self._session.understood(partial(self._decoded, type=Page), answer.body)

    async def pages(self, since: int, *, with_records: bool = False) -> AsyncIterator[Page]:
        """Yield all changes after *since*; a record may be in several pages, and its last change counts."""
        while True:
            page = await self.changes(since, with_records=with_records)
            yield page
            if not page.more or page.next == since:
                return
            since = page.next

    @asynccontextmanager
    async def following(self, since: int | None) -> AsyncIterator[AsyncIterator[Followed]]:
        """Yield changes after *since* (None: from now on) as they happen, until the server ends that.

        The first sign comes at once: it is the number to continue from. Raises Gone, and StoreError, also
        while signs are read, if the server says nothing for SILENCE seconds or cannot be reached any more.
        """
        url = (self.url / "changes").with_query({"since": _text(since)})
        async with self._session.stream(url, SILENCE) as (status, lines):
            if status == HTTPStatus.GONE:
                raise Gone(is_other_log=True)
            self._check(status)
            yield _followed(lines, since or 0)

    async def get(self, keys: Collection[Key]) -> AsyncIterator[dict[Key, Record | RecordUnusable]]:
        """Yield what the server holds under *keys*, in parts: each answer has 16 MiB at most.

        Absent records are left out. A caller that drops each part has only one in memory.
        """
        async for answers in self._answers(keys):
            found: dict[Key, Record | RecordUnusable] = {}
            for one in answers:
                if one.outcome == "found":
                    found[one.key] = _record(one.record, one.key)
                elif one.outcome == "forbidden":
                    found[one.key] = Denied(one.error)
                elif one.outcome == "unreadable":
                    found[one.key] = RecordUnusable(one.error or "the server cannot show it")
            yield found

    async def _answers(self, keys: Collection[Key]) -> AsyncIterator[list[_Found]]:
        """Yield the lines of each answer for *keys*."""
        left = [key for key in sorted(keys) if _has_name(key)]
        while left:
            asked, left = left[:LINES], left[LINES:]
            lines = [exact_form.line({"project": key.project, "label": key.label}) for key in asked]
            answers = await self._ask("records:get", lines, asked, is_safe=True)
            later = [key for key, one in answers.items() if one.outcome == "later"]
            if len(later) == len(asked):
                raise StoreUnreachable(f"{self._name} puts off every record; see the log of the server")
            left = [*later, *left]
            yield [one for one in answers.values() if one.outcome != "later"]

    async def write(self, changes: Sequence[Change]) -> dict[Key, WriteAnswer]:
        """Make *changes*, each if its key has the expected digest. Raises StoreBusy if that is not known.

        A server of another version writes other digests. A change that it finds stale is made again with its
        own digest of the record, if that record has the digest which the change expects.
        """
        found: dict[Key, WriteAnswer] = {}
        for lines in _batches(changes, found, {}):
            found |= await self._write(lines)
        doubtful = [change for change in changes if _is_doubtful(change, found[change.key])]
        expected = await self._digests_there(doubtful)
        again = [change for change in doubtful if change.key in expected]
        for lines in _batches(again, found, expected):
            found |= await self._write(lines)
        return found

    async def _digests_there(self, changes: Sequence[Change]) -> dict[Key, str]:
        """Return the server's digest of each record that is what one of *changes* expects."""
        wanted = {change.key: change.expect for change in changes}
        found: dict[Key, str] = {}
        async for answers in self._answers(wanted):
            for one in answers:
                record = _record(one.record, one.key) if one.outcome == "found" else None
                if isinstance(record, Record) and one.digest and _digest(record) == wanted[one.key]:
                    found[one.key] = one.digest
        return found

    async def _write(self, lines: Mapping[Key, bytes]) -> dict[Key, WriteAnswer]:
        """Send *lines*; if the server refuses them all because of one, halve them until it is alone."""
        keys = list(lines)
        try:
            answers = await self._ask("records:write", list(lines.values()), keys, is_safe=False)
        except _Refused as exc:
            if len(keys) == 1:
                return {keys[0]: WriteAnswer("refused", error=str(exc))}
            half = len(keys) // 2
            parts = [{key: lines[key] for key in part} for part in (keys[:half], keys[half:])]
            return {**await self._write(parts[0]), **await self._write(parts[1])}
        return {key: WriteAnswer(one.outcome, one.digest, one.error) for key, one in answers.items()}

    async def is_complete(self) -> bool:
        """Say whether the server offers all this, and not only the feed. Raises StoreUnreachable."""
        answer = await self._session.post(self.url / "records:get", b"", MOST, is_safe=True)
        if answer.status in _MISSING:
            return False
        self._check(answer.status)
        return True

    async def _ask(
        self, verb: str, lines: Sequence[bytes], keys: Sequence[Key], *, is_safe: bool
    ) -> Mapping[Key, _Found]:
        answer = await self._session.post(self.url / verb, b"".join(lines), MOST, is_safe=is_safe)
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            raise _Refused(f"{self._name} does not accept the request (status {answer.status})")
        self._check(answer.status)
        if not is_safe:
            is_number = re.fullmatch(r"[0-9]{1,19}", answer.number)
            self.number_after_write = int(answer.number) if is_number else None
        found = await self._session.understood(partial(self._decoded_lines, type=_Found), answer.body)
        if [one.key for one in found] != list(keys):
            raise StoreUnreachable(
                f"{self._name} gave an answer to another request; look for a cache or a proxy in front of it"
            )
        return {one.key: one for one in found}

    def _check(self, status: int) -> None:
        if status in _MISSING:
            self._missed()
        if status == HTTPStatus.FORBIDDEN:
            raise StoreRefused(
                f"permission denied: {self._name} denies this user access; ask an owner of the project for it"
            )
        if status != HTTPStatus.OK:
            raise StoreUnreachable(f"{self._name} answers with status {status}; see the log of the server")

    def _decoded(self, body: bytes, type: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise StoreUnreachable(
                f"{self._name} gives answers that smtd cannot read; update smtd here or there"
            ) from exc

    def _decoded_lines(self, body: bytes, type: type[T]) -> list[T]:
        return [self._decoded(line, type) for line in body.split(b"\n") if line]


def _text(since: int | None) -> str:
    return "now" if since is None else str(since)


async def _followed(lines: AsyncIterator[bytes], number: int) -> AsyncIterator[Followed]:
    has_data = False
    async for line in lines:
        name, _, value = line.strip().partition(b": ")
        if name == b"id" and value.isdigit():
            number = int(value)
        has_data |= name == b"data"
        if not line.strip():
            yield Followed(number, has_data)
            has_data = False


def _record(raw: msgspec.Raw, key: Key) -> Record | RecordUnusable:
    try:
        return form.read(bytes(raw), key)
    except RecordUnusable as exc:
        return exc


def record_of(entry: FeedEntry) -> Record | RecordUnusable | None:
    """Return the record that came with *entry*; None if none came."""
    return _record(entry.record, entry.key) if bytes(entry.record) else None


def _has_name(key: Key) -> bool:
    """Say whether *key* can be in a request: as text without NUL."""
    return is_plain([*key]) and "\0" not in f"{key.project}{key.label}"


def _is_doubtful(change: Change, answer: WriteAnswer) -> bool:
    """Say whether *change* may be stale only because the server writes digests in another form."""
    is_comparable = answer.digest is None or digest_of(answer.digest) is not None
    return answer.outcome == "stale" and change.expect is not None and not is_comparable


def _digest(record: Record) -> Digest | None:
    try:
        return canonical.digest(record)
    except RecordUnusable:
        return None


def _batches(
    changes: Sequence[Change], found: dict[Key, WriteAnswer], expected: Mapping[Key, str]
) -> Iterator[dict[Key, bytes]]:
    """Yield lines for the server, as many as one request may have; note in *found* what cannot be written.

    *expected*: digests as the server writes them, in place of those in *changes*.
    """
    lines: dict[Key, bytes] = {}
    size = 0
    for change in changes:
        key = change.key
        if not _has_name(key):
            found[key] = WriteAnswer("refused", error="the server has no address for its project or label")
            continue
        try:
            line = exact_form.line(
                {
                    "project": key.project,
                    "label": key.label,
                    "expect": expected.get(key, text_of(change.expect)),
                    "record": None if change.record is None else exact_form.document(change.record),
                }
            )
        except RecordUnusable as exc:
            found[key] = WriteAnswer("refused", error=str(exc))
            continue
        if len(line) > LARGEST_LINE:
            found[key] = WriteAnswer(
                "refused", error="it is larger than 16 MiB, the most that the server takes"
            )
            continue
        if lines and (len(lines) == LINES or size + len(line) > LINES_BYTES):
            yield lines
            lines, size = {}, 0
        lines[key] = line
        size += len(line)
    if lines:
        yield lines
