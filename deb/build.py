"""Build a Debian package of smtd, for the python3 of the Debian that it is built on: `make deb`.

    python deb/build.py TARGET WHEELS    the directory for the package, and that of the wheels of others

Debian's packages of what smtd needs are too old, or missing. So the wheels that requirements-dev.txt pins are
in /usr/lib/smtd, a virtual environment of /usr/bin/python3; compiled ones tie the package to its version.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from email import message_from_string
from email.utils import formatdate
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import tomli
from packaging.requirements import Requirement

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[1]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: The environment of smtd in the package, and the Python of Debian that it is one of.
HOME, PYTHON = "usr/lib/smtd", "/usr/bin/python3"
PROGRAMS = {"smtd": "smtd.cli.main", "smtd-ctl": "smtd.cli.ctl"}
UNITS = {"smtd.service": "system", "smtd@.service": "system", "smtd-server.service": "system"}
UNITS |= {"smtd-server.socket": "system", "user/smtd.service": "user"}


def build(target: Path, kept: Path) -> Path:
    """Build the package in the directory *target*, and return its file.

    The wheels of other packages are in the directory *kept*, for the next time.
    """
    os.environ.setdefault("SOURCE_DATE_EPOCH", _moment())
    _collect(kept)
    with TemporaryDirectory(prefix="smtd-deb-") as made:
        stage = Path(made, "stage")
        stage.mkdir(mode=0o755)
        libc = _put_programs([_own_wheel(Path(made, "wheel")), *kept.glob("*.whl")], stage)
        _put_files(stage)
        _put_documents(stage)
        _put_control(stage, libc)
        _make_uniform(stage)
        target.mkdir(parents=True, exist_ok=True)
        file = target / f"smtd_{_version()}_{_told('dpkg', '--print-architecture')}.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build"]
        subprocess.run([*command, str(stage), str(file)], check=True, stdout=subprocess.DEVNULL)
    return file


def _moment() -> str:
    """Return the time of the last commit, or of a day long ago where there is no repository."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else "1580601600"


def _told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _version() -> str:
    return f"{PROJECT['version']}-1"


def _minor() -> int:
    """Return the minor version of Debian's Python 3."""
    return int(_told(PYTHON, "-c", "import sys; print(sys.version_info[1])"))


def _own_wheel(directory: Path) -> Path:
    hatch = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(hatch, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (wheel,) = directory.iterdir()
    return wheel


def _collect(kept: Path) -> None:
    """Put the wheels of all that smtd needs into the directory *kept*, unless they are there."""
    extras = PROJECT["optional-dependencies"]
    pins = "\n".join(_pins([*PROJECT["dependencies"], *extras["postgres"], *extras["mysql"]]))
    pins = f"# For Python 3.{_minor()}\n{pins}\n"
    pinned = kept / "requirements.txt"
    if pinned.exists() and pinned.read_text("utf-8") == pins:
        return
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    partial = kept / "requirements.part"
    partial.write_text(pins, "utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    pip += ["--only-binary=:all:", f"--python-version=3.{_minor()}", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(partial), "-d", str(kept)], check=True)
    partial.rename(pinned)


def _pins(requirements: list[str]) -> Iterator[str]:
    """Yield the lines of requirements-dev.txt for *requirements* and all that these need."""
    lock = (ROOT / "requirements-dev.txt").read_text("utf-8")
    blocks = {re.split("[= ]", block)[0]: block for block in re.split(r"\n(?=[a-z0-9])", lock)}
    todo, seen = [Requirement(each) for each in requirements], set[str]()
    version = f"3.{_minor()}"
    surroundings = {"python_version": version, "python_full_version": f"{version}.0", "extra": ""}
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop().name).lower()
        if name in seen:
            continue
        seen.add(name)
        yield blocks[name].rstrip()
        more = [Requirement(each) for each in distribution(name).requires or []]
        todo += [each for each in more if each.marker is None or each.marker.evaluate(surroundings)]


def _put_programs(wheels: Iterable[Path], stage: Path) -> str:
    """Unpack the wheels into the environment; return the lowest version of glibc that all of them can use."""
    packages = stage / HOME / "lib" / f"python3.{_minor()}" / "site-packages"
    packages.mkdir(parents=True)
    libc = 17
    for wheel in sorted(wheels, key=lambda wheel: wheel.name):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(packages)
        libc = max([libc, *map(int, re.findall(r"manylinux_2_(\d+)", wheel.name)[:1])])
    for data in packages.glob("*.data"):
        if data.name.startswith("smtd-"):
            shutil.copytree(data / "data" / "share", stage / "usr" / "share")
        shutil.rmtree(data)
    for source in [*packages.rglob("*.c"), *packages.rglob("*.pyx")]:
        source.unlink()
    for library in [*packages.rglob("*.so"), *packages.rglob("*.so.*")]:
        subprocess.run(["strip", "--strip-unneeded", library], check=True)
    binaries = stage / HOME / "bin"
    binaries.mkdir()
    (binaries / "python3").symlink_to(f"../../..{PYTHON.removeprefix('/usr')}")
    (stage / HOME / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.{_minor()}\n"
    )
    (stage / "usr" / "bin").mkdir()
    for name, module in PROGRAMS.items():
        program = stage / "usr" / "bin" / name
        program.write_text(f"#!/{HOME}/bin/python3\nfrom {module} import main\n\nmain()\n")
        program.chmod(0o755)
    return f"2.{libc}"


def _put_files(stage: Path) -> None:
    """Put units, the configuration, and what makes the user and the state directory."""
    for unit, kind in UNITS.items():
        place = stage / "usr/lib/systemd" / kind
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "systemd" / unit, place)
    for name in ("sysusers", "tmpfiles"):
        place = stage / "usr/lib" / f"{name}.d"
        place.mkdir()
        shutil.copy(HERE / f"smtd.{name}", place / "smtd.conf")
    place = stage / "etc/smtd"
    place.mkdir(parents=True)
    place.joinpath("config.toml").write_text(_configuration(), "utf-8")


def _configuration() -> str:
    """Return the example, in which every line is a comment: the daemon of a new machine has no pairs."""
    example = (ROOT / "config.example.toml").read_text("utf-8")
    return re.sub(r"^(?=[^#\n])", "# ", example, flags=re.MULTILINE)


def _put_documents(stage: Path) -> None:
    place = stage / "usr/share/doc/smtd"
    (place / "examples").mkdir(parents=True)
    (place / "config.example.toml").rename(place / "examples" / "config.toml")
    (place / "copyright").write_text(_copyright(stage), "utf-8")
    moment = formatdate(int(os.environ["SOURCE_DATE_EPOCH"]))
    entry = f"smtd ({_version()}) unstable; urgency=medium\n\n  * See changelog.gz.\n"
    entry += f"\n -- {_maintainer()}  {moment}\n"
    texts = {"changelog.Debian": entry, "changelog": (ROOT / "CHANGELOG.md").read_text("utf-8")}
    for name, text in texts.items():
        (place / f"{name}.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    for page in sorted((stage / "usr/share/man").rglob("*.[0-9]")):
        page.with_name(f"{page.name}.gz").write_bytes(gzip.compress(page.read_bytes(), 9, mtime=0))
        page.unlink()
    overrides = stage / "usr/share/lintian/overrides"
    overrides.mkdir(parents=True)
    shutil.copy(HERE / "lintian-overrides", overrides / "smtd")


def _copyright(stage: Path) -> str:
    """Return the license of smtd, and where those of the packages are that come with it."""
    lines = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
        "Upstream-Name: smtd",
    ]
    terms = (ROOT / "LICENSE").read_text("utf-8").strip().splitlines()
    holder = next(line for line in terms if line.startswith("Copyright"))
    lines += ["", "Files: *", f"Copyright: {holder.removeprefix('Copyright ')}", "License: BSD-2-Clause"]
    lines += [f" {line}" if line.strip() else " ." for line in terms]
    for found in sorted((stage / HOME).rglob("*.dist-info")):
        about = message_from_string((found / "METADATA").read_text("utf-8"))
        if about["Name"] != "smtd":
            told = about.get("License-Expression") or about.get("License") or "see-its-files"
            license_name = re.sub(r"[^\w.+-]+", "-", told.splitlines()[0])
            author = about.get("Author") or about.get("Author-email") or about["Name"]
            lines += ["", f"Files: {HOME}/lib/*/site-packages/{found.name.split('-')[0]}*"]
            lines += [f"Copyright: {author}", f"License: {license_name}"]
            lines.append(f" See the files in /{found.relative_to(stage)}.")
    return "\n".join(lines) + "\n"


def _maintainer() -> str:
    """Return who builds the package, by the variables of Debian's own tools."""
    name = os.environ.get("DEBFULLNAME", PROJECT["authors"][0]["name"])
    return f"{name} <{os.environ.get('DEBEMAIL', 'smtd@localhost')}>"


def _put_control(stage: Path, libc: str) -> None:
    files = [path for path in stage.rglob("*") if path.is_file() and not path.is_symlink()]
    control = stage / "DEBIAN"
    control.mkdir()
    values = {
        "version": _version(),
        "architecture": _told("dpkg", "--print-architecture"),
        "maintainer": _maintainer(),
        "size": sum(-(-path.stat().st_size // 1024) for path in files),
        "python": f"3.{_minor()}",
        "next_python": f"3.{_minor() + 1}",
        "libc": libc,
    }
    (control / "control").write_text((HERE / "control").read_text("utf-8").format(**values), "utf-8")
    (control / "conffiles").write_text("/etc/smtd/config.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        shutil.copy(HERE / script, control / script)
        (control / script).chmod(0o755)
    sums = [f"{_told('md5sum', str(path)).split()[0]}  {path.relative_to(stage)}\n" for path in sorted(files)]
    (control / "md5sums").write_text("".join(line for line in sums if "  etc/" not in line))


def _make_uniform(stage: Path) -> None:
    """Give all files the same time, and modes that do not depend on the umask or a wheel."""
    moment = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in [stage, *stage.rglob("*")]:
        if not path.is_symlink():
            is_program = path.parent.name in ("DEBIAN", "bin") and path.stat().st_mode & 0o100
            path.chmod(0o755 if path.is_dir() or is_program else 0o644)
        os.utime(path, (moment, moment), follow_symlinks=False)


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]), Path(sys.argv[2]))}\n")
