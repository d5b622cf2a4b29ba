"""Pythons with the modules dbm.ndbm and dbm.gnu, which many builds of Python lack.

Debian's own Python has dbm.ndbm (Berkeley DB); its dbm.gnu is a package, of which only the module is taken if
it is not installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "python3-gdbm"
_HAS_NDBM = "import dbm.ndbm, ensurepip, sys, venv; assert dbm.ndbm.library == 'Berkeley DB'"


def ndbm_pythons() -> Iterator[Path]:
    """Yield the interpreters with the dbm.ndbm of Berkeley DB that can create an environment."""
    named = ("python3", "/usr/bin/python3")
    found = [Path(sys.base_prefix) / "bin" / "python3", *map(Path, filter(None, map(shutil.which, named)))]
    for python in found:
        if python.exists() and _runs(python, _HAS_NDBM):
            yield python


def add_gnu(environment: Path) -> None:
    """Add dbm.gnu to the Python of an environment, if it has none. Raises OSError if that is impossible."""
    python = environment / "bin" / "python"
    if _runs(python, "import dbm.gnu"):
        return
    with tempfile.TemporaryDirectory() as unpacked:
        _fetch(Path(unpacked))
        (packages,) = environment.glob("lib/python3*/site-packages")
        for module in Path(unpacked).glob("usr/lib/python3*/lib-dynload/_gdbm.*.so"):
            shutil.copy(module, packages)
    if not _runs(python, "import dbm.gnu"):
        raise OSError(f"the package {PACKAGE} does not fit {python}; install one that does")


def _fetch(directory: Path) -> None:
    try:
        _quiet(["apt-get", "download", PACKAGE], directory)
        (package,) = directory.glob("*.deb")
        _quiet(["dpkg", "-x", package.name, "."], directory)
    except (OSError, ValueError) as exc:
        raise OSError(f"no Python here has dbm.gnu ({exc}); install {PACKAGE}") from exc


def _quiet(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


def _runs(python: Path, code: str) -> bool:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([python, "-c", code], capture_output=True, check=False, env=clean)
    return done.returncode == 0
