"""The row of the table for the first minutes: from nothing to the first mirrored record."""

from __future__ import annotations

import time

from bench import measure
from bench.line import Line, spread
from bench.server import LOGIN_PASSWORD, logins, serving
from bench.workplace import Workplace, count_records, expect
from tests.peers.project import SumatraProject

#: The project, and the records of its one run.
NAME, RECORDS = "MyProject", 1


def first(work: Workplace, rounds: int) -> list[Line]:
    """Measure `smtd mirror`, alone and with `smtd user add` and `smtd serve` before it."""
    alone, whole = [], []
    project = SumatraProject(work.empty("first-project"), work.sumatra)
    project.init(NAME)
    project.run(label="first")
    for turn in range(rounds):
        directory = work.empty(f"first-mirror-{turn}")
        password = directory / "password"
        password.write_text(f"{LOGIN_PASSWORD}\n")
        password.chmod(0o600)
        began = time.perf_counter()
        logins(work, directory, 1)
        with serving(work, directory) as server:
            words = ("mirror", server.root, "--yes", "--user", "user-0", "--password-file", password)
            command = work.smtd("-c", directory / "laptop.toml", *words, cwd=project.directory)
            alone.append(measure.run(command).seconds)
            whole.append(time.perf_counter() - began)
            expect(count_records(server.store), RECORDS, "records on the server")
    return [
        Line("`smtd mirror` of a project to a server: login, configuration, first sync", spread(alone)),
        Line("… with a user and a server that are made before", spread(whole)),
    ]
