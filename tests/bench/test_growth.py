"""The cost of a cycle follows what has changed: ratios of processor time, as a machine may be busy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.curve import svg
from docs.measured import ROOT

FEW, MANY = 200, 2000


def measured(count: int, directory: Path) -> dict[str, Any]:
    """Return the cost of each kind of cycle at *count* records."""
    directory.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "bench.inside", str(count), directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(300)
def test_cost_follows_change_not_size(tmp_path: Path) -> None:
    """With ten times the records an idle cycle costs the same, an edit less than that, a first sync that."""
    few, many = (measured(count, tmp_path / str(count)) for count in (FEW, MANY))

    times = {step: median(many[step]["cpu"]) / median(few[step]["cpu"]) for step in few}

    assert times["nothing"] < 3
    assert times["new"] < 6
    assert times["edit"] < 6
    assert times["first"] < 1.6 * MANY / FEW
    # A first sync decodes every record several times; a look for an edit only a few records.
    assert median(many["edit"]["cpu"]) < many["first"]["cpu"][0] / 5
    # The writes for one change do not depend on the number of records.
    assert many["edit"]["wrote"] < 3 * few["edit"]["wrote"]


def test_picture_shows_a_line_for_each_curve() -> None:
    """With its name, a point for each size, and valid SVG only."""
    picture = svg("costs", "ms", {"one & all": {10: 1.0, 100: 10.0}, "two": {10: 5.0, 100: 5.0}})

    root = ElementTree.fromstring(picture)

    names = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"costs", "one & all", "two", "10", "100"} <= set(names)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 4
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
