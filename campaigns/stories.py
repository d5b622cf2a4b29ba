"""Tell stories at random about every pair of kinds of store and every mode; see tests/stories/machine.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from campaigns.campaign import Tally
from tests.peers.environments import environment
from tests.peers.server import serving
from tests.servers.mariadb import mariadb
from tests.servers.postgresql import postgresql
from tests.stories.kinds import kinds
from tests.stories.machine import about

STEPS = 20
#: Stories between two reports of progress.
SHARE = 100


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Tell *count* stories."""
    tally = Tally("stories")
    with ExitStack() as stack:
        server = stack.enter_context(serving(environment("server"), directory / "server", careless=True))
        databases = [stack.enter_context(start()) for start in (postgresql, mariadb)]
        machine = about(kinds(server, *databases))
        while tally.count < count:
            share = min(SHARE, count - tally.count)
            try:
                run_state_machine_as_test(machine, settings=_settings(share))
            except (Exception, AssertionError) as exc:  # noqa: BLE001 - whatever it is, it should not be
                notes = "\n".join(getattr(exc, "__notes__", []))
                tally.differences.append(f"{type(exc).__name__}: {exc}\n{notes}")
            tally.count += share
            progress(f"{tally.count:,} of {count:,} stories, {tally.wrong_so_far()}")
        machine.counts.pop("stories", None)
        tally.counts = machine.counts
    return tally


def _settings(count: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # to shorten a story on a server takes longer than to read it
        suppress_health_check=list(HealthCheck),
    )
