"""What the README says first works in a fresh clone: the demo, the tests, and each way to install smtd."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT, blocks

README = list(blocks("README.md"))
#: Seconds for what fetches packages.
PATIENCE = 900.0


def lines(program: str) -> list[str]:
    """Return the command lines of the README that are not played on a machine and begin with *program*."""
    shown = [command.words for block in README if not block.is_played_here for command in block.commands]
    return [line for line in shown if line.startswith(f"{program} ")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a person gets by `git clone`: what is committed, and what is about to be."""
    made = tmp_path_factory.mktemp("clone") / "smtd"
    subprocess.run(["git", "clone", "--quiet", "--no-local", ROOT, made], check=True)
    changed = subprocess.run(["git", "diff", "HEAD", "--binary"], cwd=ROOT, capture_output=True, check=True)
    if changed.stdout:
        subprocess.run(["git", "apply", "-"], cwd=made, input=changed.stdout, check=True)
    return made


def run(line: str | list[str], directory: Path, more: Mapping[str, str]) -> str:
    """Run *line* in *directory*, without the environment of the tests; return its output."""
    left_out = ("PYTHON", "COVERAGE", "VIRTUAL_ENV", "SMTD_", "MAKE", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    done = subprocess.run(
        shlex.split(line) if isinstance(line, str) else line,
        cwd=directory,
        env={**kept, **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, (line, done.stdout[-3000:])
    return done.stdout


def test_readme_begins_with_two_commands_and_three_ways_to_install() -> None:
    """The package is this directory: smtd is on no index."""
    assert lines("make") == ["make demo", "make test"]
    assert [lines(program) for program in ("pipx", "uv", "pip")] == [
        ["pipx install ."],
        ["uv tool install ."],
        ["pip install ."],
    ]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_fresh_clone_shows_the_demo_and_runs_tests(clone: Path, tmp_path: Path) -> None:
    """With nothing but Python, make and the package registry; of the tests, a few are run here."""
    demo, test = lines("make")
    home = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "DISPLAY": "", "BROWSER": ""}

    shown = run(demo, clone, home)
    tested = run([*shlex.split(test), "PYTEST_FLAGS=-q tests/test_text.py"], clone, home)

    assert "What next:" in shown
    assert " passed" in tested


def environment(directory: Path, *packages: str) -> Path:
    """Make an environment of its own with *packages*; return where its programs are."""
    venv.create(directory, with_pip=True)
    if packages:
        run([str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages], directory, {})
    return directory / "bin"


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("program", ["pip", "pipx", "uv"])
def test_smtd_is_installed_as_the_readme_says(program: str, clone: Path, tmp_path: Path) -> None:
    """Into an environment without anything else; both programs run from there."""
    tools = environment(tmp_path / "tools", *([] if program == "pip" else [program]))
    there = tools if program == "pip" else tmp_path / "bin"
    (line,) = lines(program)
    more = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(there),
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(there),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }

    run(line, clone, more)

    assert run([str(there / "smtd"), "--version"], tmp_path, {}).startswith("smtd, version ")
    assert run([str(there / "smtd-ctl"), "--version"], tmp_path, {}).startswith("smtd-ctl, version ")
