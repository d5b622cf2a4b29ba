"""What lintian says of the Debian package."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_lintian_finds_no_error(deb: Path) -> None:
    """But what lintian-overrides explains."""
    told = subprocess.run(
        ["lintian", "--fail-on", "error", str(deb)], capture_output=True, text=True, check=False
    )

    assert (told.returncode, [line for line in told.stdout.splitlines() if line.startswith("E:")]) == (0, [])
