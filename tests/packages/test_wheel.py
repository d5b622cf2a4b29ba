"""The wheel and the sdist: their contents, and what they install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from docs import config_page, manual
from tests.packages.lending import PROJECT, ROOT, built_wheel, environment_with, lend

pytestmark = pytest.mark.slow
UNITS = ["smtd.service", "smtd@.service", "smtd-server.service", "smtd-server.socket", "user/smtd.service"]
#: What bash-completion itself has found for the command "$1".
LOAD = ". /usr/share/bash-completion/bash_completion; _completion_loader $1; complete -p $1"


def copy_of_the_tree(directory: Path) -> Path:
    """Return *directory*, which gets what is in version control, as it is now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
    return directory


def build(tree: Path, target: Path, *words: str, **variables: str) -> Path:
    """Build *tree*, and return the one file that is in the new directory *target* then."""
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(target), *words]
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", **variables}
    subprocess.run(build, cwd=tree, env=os.environ | quiet, capture_output=True, check=True)
    (made,) = target.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the tree as it is."""
    return built_wheel(tmp_path_factory)


def test_wheel_has_everything_that_smtd_needs(wheel: Path) -> None:
    """The README, units, manual, completions and the example of a configuration."""
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        description = file.read(metadata).decode()
        units = {name: file.read(f"smtd/units/{name}") for name in UNITS}

    assert (ROOT / "README.md").read_text("utf-8") in description
    assert units == {name: (ROOT / "systemd" / name).read_bytes() for name in UNITS}
    shared = {name.partition("/data/share/")[2] for name in names}
    assert {"man/man5/smtd-config.5", "doc/smtd/config.example.toml"} <= shared


def test_builds_are_reproducible(wheel: Path, tmp_path: Path) -> None:
    """Another directory, day, terminal, time zone and umask, and the sdist: the same bytes."""
    tree = copy_of_the_tree(tmp_path / "elsewhere")
    other = {"COLUMNS": "41", "TZ": "Asia/Tokyo", "LANG": "C", "PYTHONHASHSEED": "7"}
    before = os.umask(0o077)
    try:
        sdist = build(tree, tmp_path / "one", "-t", "sdist", **other)
        again = build(tree, tmp_path / "two", "-t", "wheel", **other)
    finally:
        os.umask(before)
    shutil.unpack_archive(sdist, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()

    assert again.read_bytes() == wheel.read_bytes()
    assert build(unpacked, tmp_path / "three", "-t", "wheel").read_bytes() == wheel.read_bytes()
    assert build(tree, tmp_path / "four", "-t", "sdist").read_bytes() == sdist.read_bytes()


def test_build_needs_what_is_stated_and_no_more(wheel: Path, tmp_path: Path) -> None:
    """As pip builds it, in an environment of its own: a package that only the tests have is not there."""
    hook = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (packages,) = tmp_path.glob("venv/lib/python3*/site-packages")
    lend([*PROJECT["build-system"]["requires"], *hook["dependencies"]], packages)
    tree = copy_of_the_tree(tmp_path / "tree")

    build = [tmp_path / "venv" / "bin" / "python", "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run([*map(str, build)], cwd=tree, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    (made,) = (tree / "dist").iterdir()
    assert made.read_bytes() == wheel.read_bytes()


def test_wheel_works_in_a_new_environment(wheel: Path, tmp_path: Path) -> None:
    """The programs run; man finds each page, and bash the completions, without any setting."""
    programs = environment_with(wheel, tmp_path / "venv")
    here = {"PATH": f"{programs}:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(tmp_path)}

    def told(*words: str | Path, **more: str) -> str:
        done = subprocess.run(
            words, env=here | more, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert told("smtd", "--version").startswith("smtd, version ")
    assert told("smtd-ctl", "--version").startswith("smtd-ctl, version ")
    assert "LEFT" in told("smtd", "sync", "--help")
    if shutil.which("man"):
        pages = [place for place in dict(manual.contents()) if place.startswith("man/")]
        found = told("man", "-w", *(Path(place).stem for place in pages)).splitlines()
        assert found == [str(programs.parent / "share" / place) for place in pages]
    for command in ("smtd", "smtd-ctl"):
        if Path("/usr/share/bash-completion/bash_completion").exists():
            data = str(programs.parent / "share")
            assert command in told("bash", "-c", LOAD, "bash", command, XDG_DATA_DIRS=data)
    example = programs.parent / "share" / "doc" / "smtd" / "config.example.toml"
    assert example.read_bytes() == config_page.EXAMPLE.read_bytes()
