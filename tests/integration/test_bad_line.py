"""Whatever fails between smtd and a Sumatra Server, no record is lost or doubled.

`make soak` makes every request of the cycle fail in every way, `make test` each of them in a way or two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from smtd.errors import StoreError
from smtd.records import canonical
from smtd.stores import retrying
from smtd.stores.http import session, writer
from tests.build import PROJECT, change, full, key
from tests.integration.mirror import Mirror
from tests.peers import line as faults
from tests.peers.line import Fault, Line, line_to
from tests.peers.server import SumatraServer
from tests.sampling import sampled
from tests.stores.asking import scan_of
from tests.stores.server_place import ServerPlace

pytestmark = pytest.mark.halved

FAULTS: dict[str, Fault] = {
    "latency": faults.late,
    "cut at once": faults.cut(0),
    "cut in the middle": faults.cut(40),
    "reset": faults.reset,
    "answer lost": faults.lost,
    "stall": faults.stall,
    "401": faults.status(401),
    "403": faults.status(403),
    "409": faults.status(409),
    "429": faults.status(429, Retry_After="0"),
    "500": faults.status(500),
    "500 after it was done": faults.status_after(500),
    "502 after it was done": faults.status_after(502),
    "503": faults.status(503, Retry_After="0"),
    "truncated": faults.altered(lambda body: body[: len(body) // 2]),
    "no JSON": faults.altered(lambda body: b"<html>maintenance</html>"),
    "other JSON": faults.altered(lambda body: b'[{"records": 5}]'),
    "nothing": faults.altered(lambda body: b""),
}
#: The request of the cycle that fails; the first is the listing, the next ones are mixed.
NUMBERS = range(1, 15)
#: `make test` tries each request with a fault or two, and all faults but three, which are like others.
CASES = sampled(product(FAULTS, NUMBERS), 17, first=5)


class LinedMirror(Mirror):
    """A mirror that can also reach its server over *line*."""

    def __init__(self, place: ServerPlace, directory: Path, line: Line) -> None:
        super().__init__(place, directory)
        self.line = line

    async def try_by_the_line(self) -> None:
        """Run a cycle over the bad line, which may end in an error of smtd."""
        self.place.location = replace(self.place.direct, url=f"{self.line.url}/records/")
        try:
            await self.cycle(verify_within=3600.0)
        except StoreError as exc:
            assert "\n" not in str(exc)  # noqa: PT017 - it need not be raised
        finally:
            self.place.location = self.place.direct

    def doubled(self) -> list[tuple[str, int]]:
        """Return the labels that the server has twice."""
        return self.place.run(
            "SELECT label, count(*) FROM django_store_record GROUP BY project_id, label HAVING count(*) > 1"
        )


@pytest.fixture
async def mirror(
    server: SumatraServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LinedMirror]:
    """A mirror of five records, in sync, with timeouts for a test."""
    for name, seconds in (("FIRST_PAUSE", 0.001), ("LONGEST_PAUSE", 0.01)):
        monkeypatch.setattr(session, name, seconds)
        monkeypatch.setattr(retrying, name, seconds)
    monkeypatch.setattr(session, "SILENCE", 1.0)
    monkeypatch.setattr(writer, "PARTIAL_AFTER", 0.0)
    async with line_to(f"http://127.0.0.1:{server.port}") as line:
        made = LinedMirror(ServerPlace(server), tmp_path / "state", line)
        there = [full(label) for label in ("edited", "replaced", "deleted", "other", "another")]
        for one in there:
            made.local.put(PROJECT, one)
        await made.place.put(*there)
        assert (await made.cycle(verify_within=0.0)).ok
        yield made


@pytest.mark.parametrize(("fault", "number"), CASES)
async def test_sides_converge_after_any_failed_request(mirror: LinedMirror, fault: str, number: int) -> None:
    """In a cycle with new records, edits and a deletion; a later cycle repairs everything."""
    local = mirror.local
    local.put(PROJECT, change(full("edited"), outcome="as expected"))
    local.put(PROJECT, change(full("replaced"), stdout_stderr="all of it"))
    local.put(PROJECT, full("new"))
    local.remove(PROJECT, "deleted")
    meant = {of: canonical.digest(one) for of, one in local.records.items()}
    mirror.line.break_at(number, FAULTS[fault])

    await mirror.try_by_the_line()
    for patience in (3600.0, 3600.0, 0.0):
        report = await mirror.cycle(verify_within=patience)

    assert (report.failed, report.conflicts, report.held) == ([], [], [])
    assert {of: canonical.digest(one) for of, one in local.records.items()} == meant
    assert (await scan_of(mirror.place, [PROJECT])).digests == meant
    assert key("deleted") not in meant
    assert mirror.doubled() == []
