"""Give a new environment the packages of that of the tests, so that no test asks a registry for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def needed(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Return the packages of this environment that *requirements* need, by name."""
    found: dict[str, Distribution] = {}
    todo = [Requirement(each) for each in requirements]
    while todo:
        one = todo.pop()
        if one.name.lower() not in found:
            found[one.name.lower()] = package = distribution(one.name)
            more = [Requirement(each) for each in package.requires or ()]
            extras = one.extras or {""}
            todo += [
                each
                for each in more
                if not each.marker or any(each.marker.evaluate({"extra": extra}) for extra in extras)
            ]
    return found


def lend(requirements: Iterable[str], directory: Path) -> None:
    """Link the packages that *requirements* need, and no others, into *directory*."""
    for package in needed(requirements).values():
        for entry in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (directory / entry).exists():
                (directory / entry).symlink_to(str(package.locate_file(entry)))


def environment_with(wheel: Path, directory: Path) -> Path:
    """Make a new environment at *directory* with smtd from *wheel*, and return its programs."""
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    pip = f"{directory}/bin/pip install -q --no-index --no-deps --no-compile".split()
    subprocess.run(
        [*pip, str(wheel)],
        check=True,
        env={"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PATH": "/usr/bin:/bin"},
    )
    (packages,) = directory.glob("lib/python3*/site-packages")
    lend(PROJECT["project"]["dependencies"], packages)
    return directory / "bin"


def environment_of(wheel: Path, run: Callable[..., str]) -> None:
    """Make /opt/smtd with smtd from *wheel*; *run* runs commands where /opt/python and /opt/packages are."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    run(f"/opt/python/bin/{version}", "-m", "venv", "/opt/smtd")
    line = "/opt/smtd/bin/pip install -q --no-index --no-deps --disable-pip-version-check"
    run(*line.split(), str(wheel))
    run("sh", "-c", f"echo /opt/packages >/opt/smtd/lib/{version}/site-packages/packages.pth")


def built_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of the tree as it is."""
    made = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    return next(made.iterdir())
