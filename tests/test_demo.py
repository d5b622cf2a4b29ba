"""The first command that a newcomer runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.command import Smtd


def test_demo_shows_a_daemon_at_work_and_cleans_up(smtd: Smtd) -> None:
    """It syncs records, edits and a deletion by itself, and leaves nothing behind."""
    answer = smtd("demo")

    told = [line.strip() for line in answer.out.splitlines()]
    assert (answer.code, answer.err) == (0, "")
    assert [line for line in told if line.startswith(("left: ", "right: "))] == [
        "right: 3 created",
        "right: 1 updated",
        "left: 1 updated",
        "right: 1 deleted",
    ]
    assert any(line.startswith("demo  idle         2") for line in told)
    assert list(Path(tempfile.gettempdir()).glob("smtd-demo-*")) == []
