"""What the documents say of the program is what the program has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgspec

from smtd.daemon.status import PairStatus, State
from smtd.daemon.verbs import Verbs

ROOT = Path(__file__).parents[1]
CONTROL = (ROOT / "docs" / "control.md").read_text("utf-8")


def first_cells(heading: str) -> list[str]:
    """Return the names in the first cells of the table below *heading*."""
    section = CONTROL.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_verb_of_the_control_socket_is_documented() -> None:
    """And no other."""
    nobody: Any = None

    assert sorted(first_cells("Verbs")) == sorted(Verbs(nobody).names)


def test_every_state_and_every_key_of_a_status_is_documented() -> None:
    """With what to do about it."""
    states = first_cells("A pair's status")
    keys = [field.name for field in msgspec.structs.fields(PairStatus)]

    assert sorted(states) == sorted(get_args(State))
    assert [key for key in keys if f"`{key}`" not in CONTROL] == []
