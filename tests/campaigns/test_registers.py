"""Histories of clients of a real `smtd serve` that is killed are linearizable; if not, that is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaigns.registers import campaign
from tests.server.process import server_process
from tests.servers.process import free_port


def quiet(_text: str) -> None:
    """Report nothing."""


def test_server_that_is_killed_is_linearizable(tmp_path: Path) -> None:
    """Whatever clients read, write with conditions and without, delete, list and hear of the same records."""
    tally = campaign.run(tmp_path, 2, quiet)

    assert (tally.count, tally.wrong) == (2, [])
    assert tally.counts["operations"] > 50
    assert tally.counts["requests without an answer"] > 0
    assert tally.counts["SIGKILL"] + tally.counts["SIGTERM"] >= 2
    assert "followers that had to start again" not in tally.counts


@pytest.mark.slow
def test_two_stores_that_pass_for_one_are_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is whole by itself; a client that goes from one to the other sees that they are not the same."""
    monkeypatch.setattr(campaign, "PATIENCE", 1.0)
    text = '[server]\nlisten = "127.0.0.1:{}"\n'
    with (
        server_process(tmp_path / "one", text.format(free_port())) as one,
        server_process(tmp_path / "other", text.format(free_port())) as other,
    ):
        tally = campaign.run_at([one, other], 1, quiet)

    assert any("is not linearizable" in what for what in tally.differences)
