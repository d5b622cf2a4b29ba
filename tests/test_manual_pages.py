"""What man itself reports about the pages that `make man` builds."""

from __future__ import annotations

import subprocess

import pytest

from docs import config_page, manual

PAGES = {**dict(manual.pages()), "smtd-config": config_page.page()}


@pytest.mark.parametrize("name", PAGES)
def test_man_shows_page_without_a_warning(name, tmp_path):
    """No unknown macro, no character that cannot be shown, no line too long."""
    file = tmp_path / f"{name}.1"
    file.write_text(PAGES[name], "utf-8")

    shown = subprocess.run(
        ["man", "--warnings", "-l", file],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFSEQ": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (shown.returncode, shown.stderr) == (0, "")
    assert name in shown.stdout
