"""The shelf as a store: read by its bytes, rewritten a project at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Protocol

import anyio
from anyio import to_thread

from smtd import denied
from smtd.errors import RecordUnusable, StoreRefused, StoreUnreachable
from smtd.gather import gather
from smtd.records import canonical
from smtd.records.record import Key, Record, decode, encode
from smtd.signature import NotSettled, ripe
from smtd.stores.base import (
    DONE,
    LARGE_AT_REST,
    STALE,
    Capabilities,
    Change,
    Outcome,
    Result,
    Scan,
    Token,
)
from smtd.stores.seen import Seen, pool, renewed, scan
from smtd.stores.shelf import child, messages, worker

#: How often a write is tried again because somebody else wrote at the same moment.
ATTEMPTS = 5
#: Up to so many records are asked for by their labels; the whole project is not looked at then.
FEW = 100
#: Bytes of a pickle from which on it pays to load it in one more process.
LARGE = 2_000_000


class DbmFile(Protocol):
    """One dbm file of some backend; blocking, called in threads only.

    Every method raises StoreUnreachable or StoreRefused, with the path, for a file that cannot
    be used.
    """

    @property
    def name(self) -> str:
        """Python's name of the backend."""

    @property
    def exclusive_writes(self) -> bool:
        """See Capabilities."""

    def obstacle(self) -> str:
        """Return why it cannot be written, as a sentence with the next step; empty: it can."""

    def mark(self) -> Token:
        """Return what tells that the file is as it was when it was read; cheap."""

    def read(self) -> tuple[dict[bytes, bytes], Token]:
        """Return every value by key, as of one moment, and the mark of that moment.

        If the file may change without another mark, that is one that `mark` never returns (see `ripe`).
        """

    def flush(self) -> None:
        """Make durable what others have written. Raises OSError if the disk fails."""

    def replace(self, key: bytes, old: bytes | None, new: bytes) -> bool:
        """Store *new* durably if the value still is *old*, safely against crashes; say whether.

        Raises NotSettled if somebody else wrote at the same moment.
        """


@dataclass(slots=True)
class _Asked:
    """The *records* that were asked for, those of *labels* (None: all), in the pickle with the *digest*."""

    digest: bytes
    records: dict[str, messages.Held]
    labels: set[str] | None


@dataclass(slots=True)
class _Last:
    """The last *scan*, of *projects*: true of the file with the *mark*, but for the keys *written* since."""

    scan: Scan
    projects: frozenset[str] | None
    mark: Token
    written: set[Key] = field(default_factory=set)


class ShelfStore:
    """A shelf of Sumatra 0.2 to 0.8.1 in *file*; *location* is how the person named it.

    Records of Sumatra before 0.8 have local times, in *timezone* (empty: in that of this machine).
    A shelf with one of them is never written: that Sumatra could not load what smtd writes, nor
    0.8.1 the rest.
    """

    kind = "shelf"

    def __init__(self, file: DbmFile, location: str, timezone: str = "") -> None:
        self.location = location
        self._timezone = timezone
        self._writable = Capabilities(file.exclusive_writes, batch=None, keeps_opaque=True, resumes=True)
        self._file = file
        self._obstacle = ""  # why the file cannot be written; known when it was read
        self._known: Token | None = None  # the mark of the file when it was read
        self._traced: Token | None = None  # the same, if only smtd has written since the scan
        self._flushed: Token | None = None  # the mark of the file when it was made durable
        self._pickles: dict[str, bytes] = {}
        self._digests: dict[str, bytes] = {}  # of the pickles, which are not kept while the store rests
        self._asked: dict[str, _Asked] = {}
        self._last: _Last | None = None
        self._old: dict[
            str, tuple[bytes, bool]
        ] = {}  # whether Sumatra before 0.8 wrote a pickle, by its digest
        self._one_at_a_time = anyio.Lock()

    def __repr__(self) -> str:
        return f"ShelfStore({self.location!r}, {self._file.name})"

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do, so far as it has been read."""
        if self._obstacle:
            return replace(self._writable, read_only=self._obstacle)
        if any(is_old for project, (_, is_old) in self._old.items() if project in self._digests):
            return replace(self._writable, read_only=worker.READ_ONLY)
        return self._writable

    async def projects(self) -> list[str]:
        await self._refresh()
        return sorted(self._pickles)

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        chosen = None if projects is None else frozenset(projects)
        async with self._one_at_a_time:  # no write may land in the middle
            await self._refresh()
            last, self._last = self._last, None
            again = await self._again(last) if last is not None and last.projects == chosen else None
            found = again or await self._whole(chosen)
            self._traced = found.mark
            await self._look_for_old()
            if self._known == found.mark:  # else a read has found others' writes meanwhile
                self._last = found
        # Who may have held the file while smtd wrote may undo that later: so all keys are decided each time.
        return replace(found.scan, changes=None)

    async def _again(self, last: _Last) -> _Last | None:
        """Scan once more if nobody but this store has written to the file since *last*."""
        if self._known != last.mark:
            return None
        found = []
        for project, keys in groupby(sorted(last.written), attrgetter("project")):
            if project in self._pickles:
                labels = {key.label for key in keys}
                records = await self._records(project, labels)
                found += [_seen(project, records[label]) for label in labels & records.keys()]
        return replace(last, scan=renewed(last.scan, last.written, found), written=set())

    async def _whole(self, projects: frozenset[str] | None) -> _Last:
        """Scan all of *projects*."""
        assert self._known is not None
        mark, known, found = self._known, pool(), []
        for project in self._pickles:
            if projects is None or project in projects:
                records = await self._records(project)
                found += [known.pooled(_seen(project, held)) for held in records.values()]
        return _Last(scan(found), projects, mark)

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        await self._refresh()
        found = {}
        for project in {key.project for key in keys} & self._pickles.keys():
            labels = {key.label for key in keys if key.project == project}
            records = await self._records(project, labels)
            for label in labels:
                key, held = Key(project, label), records.get(label)
                if held is not None and not held.problem:
                    found[key] = decode(held.record)
                    canonical.set_digest(found[key], held.digest)
        return found

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: dict[Key, Outcome] = {}
        async with self._one_at_a_time:
            for project, group in groupby(sorted(changes, key=attrgetter("key")), lambda c: c.key.project):
                outcomes.update(await self._write_project(project, list(group)))
        return [outcomes[change.key] for change in changes]

    async def token(self) -> Token | None:
        if self._traced is None:
            return None
        is_same = await to_thread.run_sync(self._mark) == ripe(self._traced)
        return self._token(self._traced) if is_same else None

    async def unchanged_since(self, token: Token) -> bool:
        return token == self._token(await to_thread.run_sync(self._mark))

    async def flush(self) -> None:
        known = self._known
        if known is not None and known == self._flushed == ripe(known):
            return

        def flush() -> None:
            with self._translating("made durable"):
                self._file.flush()

        await to_thread.run_sync(flush)
        self._flushed = known

    def rest(self) -> None:
        if sum(map(len, self._pickles.values())) > LARGE_AT_REST:
            self._asked, self._pickles, self._last = {}, {}, None
            self._known = None  # whoever asks next reads the file

    async def resume(self, token: Token) -> bool:
        await self._refresh()
        is_same = self._known is not None and token == self._token(ripe(self._known))
        if is_same and self._known is not None:
            self._known = ripe(self._known)  # it was not young any more when the token was given
        self._traced = self._known if is_same else None
        return is_same

    def _token(self, mark: Token) -> Token:
        """Another time zone makes other records of the same file."""
        return mark + self._timezone.encode()

    def _mark(self) -> Token:
        with self._translating("read"):
            return self._file.mark()

    @contextmanager
    def _translating(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StoreUnreachable(f"the shelf {self.location} cannot be {what}: {denied.why(exc)}") from exc

    async def _refresh(self) -> None:
        """Read the file again if anybody may have written to it."""

        def read() -> tuple[dict[str, bytes], dict[str, bytes], Token] | None:
            with self._translating("read"):
                if self._known is not None and self._file.mark() == self._known:
                    return None
                self._obstacle = self._file.obstacle()
                values, mark = self._file.read()
            pickles = {key.decode("utf-8", "surrogateescape"): value for key, value in values.items()}
            return pickles, {project: _digest(pickle) for project, pickle in pickles.items()}, mark

        if (found := await to_thread.run_sync(read)) is not None:
            self._pickles, self._digests, self._known = found

    async def _records(
        self, project: str, labels: Collection[str] | None = None
    ) -> Mapping[str, messages.Held]:
        """Return all records of a project, or at least those of *labels*."""
        pickle, digest = self._pickles[project], self._digests[project]
        asked = self._asked.get(project)
        if asked is None or asked.digest != digest:
            asked = self._asked[project] = _Asked(digest, {}, set())
        if asked.labels is None or (labels is not None and asked.labels.issuperset(labels)):
            return asked.records
        few = None if labels is None or len(labels) > FEW else list(labels)
        shares = 1 if few is not None else _shares(pickle)
        requests = [messages.Read(pickle, few, share, shares, self._timezone) for share in range(shares)]
        answers = await gather([partial(self._read, project, digest, request) for request in requests])
        asked.records.update({held.label: held for answer in answers for held in answer.held})
        if few is None:
            asked.labels = None
        elif asked.labels is not None:  # somebody else may have asked for all meanwhile
            asked.labels.update(few)
        return asked.records

    async def _read(self, project: str, digest: bytes, request: messages.Read) -> messages.Records:
        records = await child.ask(request, messages.Records, what=_named(project), shelf=self.location)
        self._old[project] = (digest, records.old != "")
        return records

    async def _look_for_old(self, but: str | None = None) -> None:
        """Learn whether projects, as they are now, have old records; one that is broken has none."""
        unknown = {
            project: digest
            for project, digest in self._digests.items()
            if project != but and self._old.get(project, (None,))[0] != digest
        }
        if not unknown:
            return
        request = messages.Look([self._pickles[project] for project in unknown])
        try:
            found = await child.ask(request, messages.Looked, what="the records", shelf=self.location)
            told = found.old
        except StoreRefused:  # one of them asks for too much
            told = [False] * len(unknown)
        for (project, digest), is_old in zip(unknown.items(), told, strict=True):
            self._old[project] = (digest, is_old)

    async def _write_project(self, project: str, changes: list[Change]) -> dict[Key, Outcome]:
        outcomes = {change.key: unfit for change in changes if (unfit := _unfit(change))}
        wishes = {
            change.key: messages.Wish(
                change.key.label, None if change.record is None else encode(change.record), change.expect
            )
            for change in changes
            if change.key not in outcomes
        }
        for _ in range(ATTEMPTS):
            await self._refresh()
            if self._known != self._traced:
                self._traced = None  # somebody else wrote since the scan
            pickles = self._pickles  # those of now: a read may find others meanwhile
            await self._look_for_old(but=project)
            if reason := self.capabilities.read_only:
                return outcomes | dict.fromkeys(wishes, Outcome(Result.REFUSED, reason))
            request = messages.Write(pickles.get(project), list(wishes.values()))
            answer = await child.ask(request, messages.Written, what=_named(project), shelf=self.location)
            if answer.pickle is None or await self._replace(project, pickles, answer.pickle, wishes.keys()):
                results = zip(wishes, answer.results, strict=True)
                return outcomes | {key: _outcome(result) for key, result in results}
        return outcomes | dict.fromkeys(wishes, STALE)

    async def _replace(
        self, project: str, pickles: Mapping[str, bytes], new: bytes, keys: Collection[Key]
    ) -> bool:
        """Swap the pickle of one project, for *keys*, and remember what the file looks like afterwards.

        *pickles* are those of the file from which *new* was made.
        """
        key = project.encode("utf-8", "surrogateescape")

        def swap() -> bool:
            try:
                with self._translating("written"):
                    return self._file.replace(key, pickles.get(project), new)
            except NotSettled:
                return False

        with anyio.CancelScope(shield=True):
            done = await to_thread.run_sync(swap)
        if done:
            await self._trace(project, {**pickles, project: new}, keys)
        return done

    async def _trace(self, project: str, expected: Mapping[str, bytes], keys: Collection[Key]) -> None:
        """Go on tracing if the files are as *expected* after a write of *keys* alone."""
        new = expected[project]
        before, self._known = self._traced, None
        await self._refresh()
        found = dict(self._pickles)
        # A backend may give a value with what follows it in its last block.
        if project in found and found[project].startswith(new):
            self._old[project] = (self._digests[project], False)
            found[project] = new
        self._traced = self._known if before is not None and found == expected else None
        self._note(before, project, keys)

    def _note(self, before: Token | None, project: str, keys: Collection[Key]) -> None:
        """Keep the last scan for the next one, if the file was as that said *before* *keys* were written."""
        if self._last is None or self._traced is None or self._last.mark != before:
            self._last = None
            return
        self._last.mark = self._traced
        if self._last.projects is None or project in self._last.projects:
            self._last.written.update(keys)


def _digest(pickle: bytes) -> bytes:
    return hashlib.blake2b(pickle, digest_size=16).digest()


def _seen(project: str, held: messages.Held) -> Seen:
    """Return what the child tells of one record; there is no row that could bear a mark."""
    return Seen(0, Key(project, held.label), held.problem or held.digest, held.final)


def _named(project: str) -> str:
    return f"the records of project {project!r}"


def _shares(pickle: bytes) -> int:
    """Return how many processes read the records of a pickle together, each of them a share."""
    return max(1, min(len(pickle) // LARGE, os.cpu_count() or 1, 4))


def _unfit(change: Change) -> Outcome | None:
    try:
        if change.record is not None:
            encode(change.record)
    except RecordUnusable as exc:
        return Outcome(Result.REFUSED, str(exc))
    return None


def _outcome(result: str) -> Outcome:
    if result == "":
        return DONE
    return STALE if result == "stale" else Outcome(Result.REFUSED, result)
