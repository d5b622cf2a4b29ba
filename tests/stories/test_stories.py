"""Some stories on every kind of store; `make soak` runs a thousand."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.peers.server import SumatraServer
from tests.servers.server import DatabaseServer
from tests.stories.kinds import kinds
from tests.stories.machine import about

#: The same stories each time, and none is shortened, which would take longer than all other tests.
SOME = settings(
    max_examples=2,
    stateful_step_count=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(900)
def test_no_word_is_lost_whatever_happens(
    running_server: SumatraServer, postgresql_server: DatabaseServer, mariadb_server: DatabaseServer
) -> None:
    """After two quiet cycles the sides are equal, a third one writes nothing, and every word is there."""
    machine = about(kinds(running_server, postgresql_server, mariadb_server))

    run_state_machine_as_test(machine, settings=SOME)

    assert machine.counts["stories"] >= SOME.max_examples
    assert machine.counts["cycles"] > machine.counts["stories"]
    assert min(machine.counts[what] for what in ("creations", "edits", "accidents")) > 0
