"""Several smtd and real `smt` write to one PostgreSQL store at once, and no data is harmed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from smtd.records.canonical import Digest
from smtd.records.record import Executable, Key, Parameters
from smtd.stores.discovery import find
from smtd.stores.django.mapping import SHARED
from smtd.stores.registry import open_store
from tests.build import record
from tests.daemon.process import DaemonProcess, daemon_process
from tests.peers.environments import Environment
from tests.peers.project import SumatraProject
from tests.servers.server import Database, DatabaseServer, elsewhere
from tests.stores.asking import scan_of
from tests.stores.places import DjangoPlace

#: How many there are of each, and for how many seconds they write: fewer, if time matters.
MANY, LENGTH = (range(4), 60.0) if os.environ.get("SMTD_SOAK") else (range(2), 3.0)
LAB = "Lab"
TROUBLE = re.compile(r"Traceback|Error|MultipleObjectsReturned")


class Mirror:
    """A user's SQLite store, which their own daemon keeps in sync with the lab's."""

    def __init__(self, number: int, directory: Path) -> None:
        self.number = number
        directory.mkdir()
        self.place = DjangoPlace(directory / "records.sqlite")
        self.written = 0

    def write(self) -> None:
        """Save some runs as another program would; four users use the same programs and parameters."""
        runs = [
            record(
                f"local-{self.number}-{number}",
                executable=Executable("/opt/sim", "sim", f"{number % 7}"),
                parameters=Parameters("JSONParameterSet", json.dumps({"seed": number % 50})),
                tags=frozenset({"_finished_", f"batch-{number % 11}"}),
            )
            for number in range(self.written, self.written + 5)
        ]
        elsewhere(self.place.put(*runs, project=LAB))
        self.written += len(runs)


def configuration(mirror: Mirror, database: Database) -> str:
    return "\n".join(
        [
            "[stores.own]",
            f"location = {json.dumps(str(mirror.place.path))}",
            "[stores.lab]",
            f"location = {json.dumps(database.url)}",
            'poll_interval = "500ms"',
            "[pairs.pair]",
            'left = "own"',
            'right = "lab"',
            "",
        ]
    )


@pytest.fixture
def projects(
    django_environment: Environment, postgresql_server: DatabaseServer, tmp_path: Path
) -> list[SumatraProject]:
    """Projects on one new database, each of which has run once: then Sumatra alone creates no doubles."""
    database = postgresql_server.new(empty=True)
    made = [SumatraProject(tmp_path / f"project-{number}", django_environment) for number in MANY]
    usual = ("--addlabel=cmdline", "--executable=python", "--on-changed=store-diff", "--main=main.py")
    for number, project in enumerate(made):
        project.create_code()
        project.init(LAB, *usual, f"--store={database.url}")
        project.run(label=f"first-{number}")
    return made


def runs(project: SumatraProject, number: int, until: float, said: list[str]) -> None:
    """Run repeatedly, as a user with a sweep does."""
    count = 0
    while time.monotonic() < until:
        command = project.environment.command("smt", "run", f"--label=smt-{number}-{count}")
        done = subprocess.run(
            command,
            cwd=project.directory,
            env={**project.environment.variables(), **project.variables()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        said.append(f"exit {done.returncode}\n{done.stdout}")
        count += 1


def saves(mirror: Mirror, until: float) -> None:
    while time.monotonic() < until:
        mirror.write()
        time.sleep(0.2)


async def held(place: DjangoPlace) -> dict[Key, Digest]:
    """Return the records of the lab's project at *place*."""
    scan = await scan_of(place, [LAB])
    assert scan.unreadable == {}
    return dict(scan.digests)


def doubles(database: Database) -> dict[str, list[object]]:
    """Return equal rows, by table; rows of data that belongs to a record may be equal."""
    asked = {"record": "SELECT project_id, label FROM django_store_record GROUP BY 1, 2 HAVING count(*) > 1"}
    for table, columns in SHARED.items():
        names = ", ".join(f'"{name}"' for name in columns)
        free = "WHERE output_from_record_id IS NULL" if table == "datakey" else ""
        asked[table] = f"SELECT {names} FROM django_store_{table} {free} GROUP BY {names} HAVING count(*) > 1"
    return {table: found for table, query in asked.items() if (found := database.run(query))}


@pytest.mark.soak
async def test_several_smtd_and_smt_can_share_one_store(
    projects: list[SumatraProject], postgresql_server: DatabaseServer, tmp_path: Path
) -> None:
    """No record and no shared row is doubled, no `smt` fails, and in the end all stores are equal."""
    url = json.loads((projects[0].smt_directory / "project").read_text("utf-8"))["record_store"]["db_file"]
    database = Database(postgresql_server, url.rsplit("/", 1)[-1])
    mirrors = [Mirror(number, tmp_path / f"mirror-{number}") for number in MANY]
    said: list[str] = []
    with ExitStack() as stack:
        daemons: list[DaemonProcess] = []
        for mirror in mirrors:
            mirror.write()
            directory = mirror.place.path.parent
            directory.joinpath("config.toml").touch(mode=0o600)
            daemons.append(stack.enter_context(daemon_process(directory, configuration(mirror, database))))
        until = time.monotonic() + LENGTH
        work = [
            threading.Thread(target=runs, args=(project, number, until, said))
            for number, project in enumerate(projects)
        ]
        work += [threading.Thread(target=saves, args=(mirror, until)) for mirror in mirrors]
        for each in work:
            each.start()
        for each in work:
            each.join()
        # What one daemon copied in the first round, the others get in the second.
        reports = [daemon.sync() for _ in range(2) for daemon in daemons][len(daemons) :]

    async with open_store(find(url)) as store:
        lab = dict((await store.scan([LAB])).digests)
    written = sum(mirror.written for mirror in mirrors)
    assert [text for text in said if not text.startswith("exit 0\n") or TROUBLE.search(text)] == []
    assert doubles(database) == {}
    assert [report for report in reports if not report["ok"]] == []
    assert len(lab) == written + len(said) + len(projects)
    assert [await held(mirror.place) == lab for mirror in mirrors] == [True] * len(mirrors)
    print(f"{written} records by smtd, {len(said)} by smt in {LENGTH:.0f} s")
