"""A fresh clone needs only Python, make and a package registry."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parents[1]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = (ROOT / "requirements-dev.txt").read_text("utf-8")
MUTATION = (ROOT / "requirements-mutation.txt").read_text("utf-8")
DOCS = (ROOT / "requirements-docs.txt").read_text("utf-8")

FILES = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "pyproject.toml"),
    *("requirements-dev.txt", "config.example.toml", ".ci/run", ".gitignore"),
    *("smtd", "tests", "bench", "systemd", "docs/design.md", "docs/manual.py", "hatch_build.py"),
]
TARGETS = [
    "demo",
    "test",
    "check",
    "bench",
    "coverage",
    "coverage-all",
    "mutation",
    "docs",
    "screenshots",
    "merging",
    "man",
    "deb",
    "test-all",
    "lock",
    "clean",
]
LOCK_LINE = re.compile(
    r"#.*|[a-z0-9-]+==[^ ]+( ; [^@\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", re.ASCII
)


def name_of(requirement: str) -> str:
    """Return the normalized name of the package of *requirement*."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


@pytest.mark.parametrize("path", FILES)
def test_top_level_is_complete(path):
    """With all files that a visitor looks for."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize("lock", [LOCK, MUTATION, DOCS], ids=["dev", "mutation", "docs"])
def test_lock_has_only_pins_and_hashes(lock):
    """Every line is a pin, a hash or a comment: no address, no option of an index."""
    strange = [line for line in lock.splitlines() if not LOCK_LINE.fullmatch(line)]

    assert strange == []
    assert "://" not in lock


@pytest.mark.parametrize("more", [MUTATION, DOCS], ids=["mutation", "docs"])
def test_other_locks_only_add_to_the_lock(more):
    """So both can be installed into the environment of the tests; a package may be needed in more cases."""
    pins = [{line.partition(" ; ")[0].rstrip(" \\") for line in lock.splitlines()} for lock in (LOCK, more)]

    assert pins[0] - pins[1] == set()


def test_mutation_testing_and_the_site_are_locked():
    """Each in a lock of its own."""
    assert re.search(r"^mkdocs-material==", DOCS, re.MULTILINE)
    assert re.search(r"^mutmut==", MUTATION, re.MULTILINE)


@pytest.mark.parametrize(
    "requirement",
    PROJECT["build-system"]["requires"]
    + PROJECT["project"]["dependencies"]
    + PROJECT["dependency-groups"]["dev"],
)
def test_lock_covers_each_requirement(requirement):
    """Everything that pyproject.toml requires, to build, run and develop, is pinned."""
    assert re.search(rf"^{re.escape(name_of(requirement))}==", LOCK, re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_target(target):
    """Each documented target exists and describes itself in one line."""
    makefile = (ROOT / "Makefile").read_text("utf-8")

    assert re.search(rf"^{target}:.*  ## \w", makefile, re.MULTILINE)
    assert re.search(rf"^\.PHONY:.* {target}\b", makefile, re.MULTILINE)


def test_ci_runs_check_and_test():
    """`.ci/run` is executable, and runs what a developer runs."""
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert "for target in check docs test" in script.read_text("utf-8")


@pytest.mark.parametrize("program", ["systemd-analyze", "man"])
def test_ci_has_programs_that_a_machine_may_lack(program):
    """A module of tests that needs such a program is not left out in CI."""
    assert f'"{program}": "test_' in (ROOT / "tests" / "conftest.py").read_text("utf-8")
    assert f"[{program}]=" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_version_is_the_same_everywhere():
    """The package and its description agree on the version."""
    source = (ROOT / "smtd" / "__init__.py").read_text("utf-8")

    assert f'__version__ = "{PROJECT["project"]["version"]}"' in source


def test_listed_interpreters_run():
    """Each line of `.ci/pythons` has a version and an interpreter of this version."""
    listed = subprocess.run([ROOT / ".ci" / "pythons"], capture_output=True, text=True, check=True)
    lines = [line.split(" ", 1) for line in listed.stdout.splitlines()]

    for version, python in lines:
        answer = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)

        assert answer.stdout.startswith(f"Python {version}.")
    assert len({version for version, _ in lines}) == len(lines) > 0
