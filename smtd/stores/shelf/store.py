"""A shelf as a store: smtd reads the bytes of its file, and rewrites the projects that change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import anyio
from anyio import to_thread

from smtd import denied
from smtd.errors import StoreRefused, StoreUnreachable
from smtd.filestat import NotSettled, without_youth
from smtd.records import canonical
from smtd.records.record import Key, Record, decode
from smtd.stores.base import (
    STALE,
    Capabilities,
    Change,
    Outcome,
    Result,
    Scan,
    Token,
)
from smtd.stores.shelf import child_requests, messages, steps, worker
from smtd.stores.shelf.contents import Contents, DbmFile, Swap, name
from smtd.stores.shelf.loaded import Loaded

#: The most attempts of a write that fails because another program writes at the same moment.
ATTEMPTS = 5


class ShelfStore:
    """A shelf of Sumatra 0.2 to 0.8.1 in *file*; *location* is how the user named it.

    Records of Sumatra before 0.8 have local times, in *timezone* (empty: in that of this machine).
    smtd never writes to a shelf that has one of them: that Sumatra could not load what smtd writes, and
    0.8.1 could not load the rest.
    """

    kind = "shelf"

    def __init__(self, file: DbmFile, location: str, timezone: str = "") -> None:
        self.location = location
        self._timezone = timezone
        self._writable = Capabilities(file.exclusive_writes, batch=None, keeps_opaque=True, resumes=True)
        self._file = file
        self._read_only_reason = ""  # why the file cannot be written; known once it was read
        self._contents: Contents | None = None  # the last content that was read (None: the file must be read)
        self._projects: Collection[str] = ()  # the projects in the last content, also while the store rests
        #: The token of the file, if only smtd has written since the scan.
        self._tracked_token: Token | None = None
        self._flushed: Token | None = None  # the token of the file when it was made durable
        self._loaded = Loaded(location, timezone)
        self._one_at_a_time = anyio.Lock()

    def __repr__(self) -> str:
        return f"ShelfStore({self.location!r}, {self._file.name})"

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do, as far as known from what was read."""
        reason = self._read_only(self._projects)
        return replace(self._writable, read_only=reason) if reason else self._writable

    def _read_only(self, projects: Collection[str]) -> str:
        """Return why smtd does not write to a file with these *projects* (empty: it does)."""
        if self._read_only_reason:
            return self._read_only_reason
        return worker.READ_ONLY if self._loaded.has_old(projects) else ""

    async def projects(self) -> list[str]:
        return sorted((await self._refresh()).pickles)

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        async with self._one_at_a_time:  # no write may land in the middle
            contents = await self._refresh()
            wanted = {each: None for each in contents.pickles if projects is None or each in projects}
            digests, unfinished, unreadable = {}, set(), {}
            for project, records in (await self._loaded.records(contents, wanted)).items():
                for held in records.values():
                    key = Key(project, held.label)
                    if held.problem:
                        unreadable[key] = held.problem
                    else:
                        digests[key] = held.digest
                    if not held.final:
                        unfinished.add(key)
            self._tracked_token = contents.token
            await self._loaded.probe_legacy(contents)
        return Scan(digests, unfinished, unreadable)

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        contents = await self._refresh()
        wanted = _by_project(keys, contents)
        found = {}
        for project, records in (await self._loaded.records(contents, wanted)).items():
            for label in wanted[project]:
                key, held = Key(project, label), records.get(label)
                if held is not None and not held.problem:
                    found[key] = decode(held.record)
                    canonical.set_digest(found[key], held.digest)
        return found

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes = {change.key: unfit for change in changes if (unfit := steps.unfit(change))}
        async with self._one_at_a_time:
            contents = self._contents or await self._refresh()  # its size counts towards that of a step
            fit = [change for change in changes if change.key not in outcomes]
            for ops in steps.of(fit, contents.pickles):
                outcomes.update(await self._write(ops))
        return [outcomes[change.key] for change in changes]

    async def token(self) -> Token | None:
        if self._tracked_token is None:
            return None
        is_same = await to_thread.run_sync(self._file_token) == without_youth(self._tracked_token)
        return self._token(self._tracked_token) if is_same else None

    async def unchanged_since(self, token: Token) -> bool:
        return token == self._token(await to_thread.run_sync(self._file_token))

    async def flush(self) -> None:
        known = None if self._contents is None else self._contents.token
        if known is not None and known == self._flushed == without_youth(known):
            return

        def flush() -> None:
            with self._translating("flushed to disk"):
                self._file.flush()

        await to_thread.run_sync(flush)
        self._flushed = known

    def rest(self) -> None:
        self._contents = None  # the next call reads the file
        self._loaded.rest(self._projects)

    async def resume(self, token: Token) -> bool:
        contents = await self._refresh()
        is_same = token == self._token(without_youth(contents.token))
        if is_same:  # the file was not young any more when the token was returned
            contents = self._contents = replace(contents, token=without_youth(contents.token))
        self._tracked_token = contents.token if is_same else None
        return is_same

    def _token(self, file_token: Token) -> Token:
        """Return the token for a file with *file_token*: in another time zone it has other records."""
        return file_token + self._timezone.encode()

    def _file_token(self) -> Token:
        with self._translating("read"):
            return self._file.token()

    @contextmanager
    def _translating(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StoreUnreachable(f"the shelf {self.location} cannot be {what}: {denied.why(exc)}") from exc

    async def _refresh(self) -> Contents:
        """Return the content of the file, and read it again if a program may have written to it."""
        known = self._contents

        def read() -> Contents:
            with self._translating("read"):
                is_same = known is not None and self._file.token() == known.token
                if self._read_only_reason or not is_same:  # what prevented writes may be gone
                    self._read_only_reason = self._file.read_only_reason()
                if known is not None and is_same:
                    return known
                return Contents.of(*self._file.read())

        found = await to_thread.run_sync(read)
        if found is not known:
            self._contents, self._projects = found, frozenset(found.pickles)  # a view would keep the pickles
        return found

    async def _write(self, ops: steps.WriteOps) -> dict[Key, Outcome]:
        """Make the writes *ops*; try a project again if another program writes to it at that moment."""
        outcomes: dict[Key, Outcome] = {}
        left = dict(ops)
        for _ in range(ATTEMPTS):
            contents = await self._refresh()
            if contents.token != self._tracked_token:
                self._tracked_token = None  # another program wrote since the scan
            await self._loaded.probe_legacy(contents)
            if reason := self._read_only(contents.pickles):
                return outcomes | dict.fromkeys(steps.keys(left), Outcome(Result.REFUSED, reason))
            made = await self._new_pickles(left, contents)
            new = {project: pickle for project, (pickle, _) in made.items() if pickle is not None}
            done = await self._replace(new, contents) | (left.keys() - new.keys())
            for project in done:
                outcomes.update(zip(steps.keys({project: left.pop(project)}), made[project][1], strict=True))
            if not left:
                return outcomes
        return outcomes | dict.fromkeys(steps.keys(left), STALE)

    async def _new_pickles(
        self, ops: steps.WriteOps, contents: Contents
    ) -> dict[str, tuple[bytes | None, list[Outcome]]]:
        """Return for each project its new pickle (None: unchanged), and the outcome of each of its writes."""
        requests: dict[str, messages.One] = {
            project: messages.WriteProject(contents.pickles.get(project), project_ops)
            for project, project_ops in ops.items()
        }
        made: dict[str, tuple[bytes | None, list[Outcome]]] = {}
        answers = await child_requests.ask_each(requests, messages.Written, shelf=self.location)
        for project, answer in answers.items():
            if isinstance(answer, StoreRefused):
                made[project] = None, [Outcome(Result.REFUSED, str(answer))] * len(ops[project])
            else:
                made[project] = answer.pickle, [steps.outcome(result) for result in answer.results]
        return made

    async def _replace(self, new: Mapping[str, bytes], contents: Contents) -> set[str]:
        """Swap in the pickles of the projects in *new*; return the projects that were written.

        *contents* are those from which *new* was made. If only smtd has written, the file stays tracked.
        """
        swaps = {
            name(project): Swap(contents.pickles.get(project), pickle) for project, pickle in new.items()
        }

        def swap() -> set[bytes]:
            try:
                with self._translating("written"):
                    return self._file.replace(swaps)
            except NotSettled:
                return set()

        if not new:
            return set()
        with anyio.CancelScope(shield=True):
            stored = await to_thread.run_sync(swap)
        done = {project for project in new if name(project) in stored}
        if done:
            await self._keep_tracking({project: new[project] for project in done}, contents.pickles)
        return done

    async def _keep_tracking(self, new: Mapping[str, bytes], pickles: Mapping[str, bytes]) -> None:
        """Keep tracking the file if it has exactly *pickles* with the *new* ones; else stop."""
        before, self._contents = self._tracked_token, None
        contents = await self._refresh()
        found = dict(contents.pickles)
        for project, pickle in new.items():
            # A backend may return a value with what follows it in its last block.
            if project in found and found[project].startswith(pickle):
                self._loaded.note_written(project, contents.digests[project])
                found[project] = pickle
        is_ours = before is not None and found == {**pickles, **new}
        self._tracked_token = contents.token if is_ours else None


def _by_project(keys: Iterable[Key], contents: Contents) -> dict[str, set[str]]:
    """Return the labels of *keys*, by project, for the projects that exist."""
    found: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        if key.project in contents.pickles:
            found[key.project].add(key.label)
    return found
