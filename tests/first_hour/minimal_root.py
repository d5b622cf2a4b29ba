"""A minimal Debian in a directory, with an ordinary user; of this machine it has how packages are reached."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGES = "python3,python3-venv,make,git,ca-certificates"
USER, HOME = "ada", "/home/ada"
#: Where pip finds its configuration for all users, and for this one.
_PIP = (Path("/etc/pip.conf"), Path("/etc/xdg/pip"))
_PIP_OF_USER = Path(".config/pip")
_REACH = re.compile(r"(PIP_|SSL_CERT_|REQUESTS_CA_|https?_proxy$|no_proxy$)", re.IGNORECASE)
_MOUNTS = """
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
shift_to="$1"; shift
for lent in "$@"; do
    mkdir -p "$shift_to$lent"
    mount --bind -o ro "$lent" "$shift_to$lent"
done
echo mounted
exec sleep infinity
"""


def lacking() -> str:
    """Return why no such root can be made here (empty: it can)."""
    if os.geteuid():
        return "only root can make a root directory for another user"
    for program in ("mmdebstrap", "unshare", "nsenter", "chroot", "git"):
        if shutil.which(program) is None:
            return f"{program} is not here"
    return ""


@dataclass(frozen=True)
class MinimalRoot:
    """A root directory; processes in it are those of *keeper*'s namespaces, and end with it."""

    directory: Path
    keeper: int

    def shell(self, line: str) -> Sequence[str]:
        """Return the words that run *line* there, as the user."""
        # By their paths, as the variables are already those of the user. Ctrl-C is for the command alone.
        env, nsenter, chroot = (shutil.which(program) or program for program in ("env", "nsenter", "chroot"))
        enter = [env, "--ignore-signal=INT", nsenter, f"--target={self.keeper}", "--mount", "--pid", "--"]
        change = [chroot, f"--userspec={USER}:{USER}", str(self.directory)]
        return [*enter, *change, "/usr/bin/env", "--default-signal=INT", "/bin/bash", "-c", line]


def environment() -> dict[str, str]:
    """Return the variables of the user's commands."""
    reach = {name: value for name, value in os.environ.items() if _REACH.match(name)}
    path = f"{HOME}/tools/bin:/usr/local/bin:/usr/bin:/bin"
    return {**reach, "HOME": HOME, "USER": USER, "LANG": "C.UTF-8", "TERM": "xterm", "PATH": path}


@contextmanager
def minimal_root(directory: Path) -> Iterator[MinimalRoot]:
    """Make a root in *directory*, which is on a disk; end its processes at the end of the `with` block."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    _must("mmdebstrap", "--quiet", "--variant=apt", f"--include={PACKAGES}", suite, directory)
    _must("chroot", directory, "useradd", "--create-home", "--shell", "/bin/bash", USER)
    lent = _reach(directory)
    keeper = subprocess.Popen(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-ec",
            _MOUNTS,
            "sh",
            directory,
            *lent,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "mounted\n"
        children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text("ascii")
        yield MinimalRoot(directory, int(children))
    finally:
        keeper.kill()
        keeper.communicate()


def give(directory: Path, source: Path, place: str) -> None:
    """Copy a file or a directory to *place* of the root at *directory*; it is then the user's."""
    target = directory / place.removeprefix("/")
    if source.is_dir():
        shutil.copytree(source, target, symlinks=False, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    _must("chroot", directory, "chown", "-R", f"{USER}:", HOME, place)


def _reach(directory: Path) -> list[str]:
    """Copy to the root how this machine reaches the package registry; return the directories to lend it."""
    shutil.copy("/etc/resolv.conf", directory / "etc/resolv.conf")
    texts = [value for name, value in os.environ.items() if _REACH.match(name)]
    for source in _PIP:
        if source.exists():
            give(directory, source, str(source))
            texts += _texts(source)
    mine = Path.home() / _PIP_OF_USER
    if mine.exists():
        give(directory, mine, f"{HOME}/{_PIP_OF_USER}")
        texts += _texts(mine)
    named = {Path(word) for text in texts for word in re.findall(r"(?<![:\w/])(?:file://)?(/[\w./-]+)", text)}
    for file in (path for path in named if path.is_file()):
        give(directory, file, str(file))
    # The files of an index are beside its `simple`.
    lent = {path.parent if path.name == "simple" else path for path in named if path.is_dir()}
    return [str(path) for path in lent if not (directory / str(path)[1:]).exists()]


def _texts(source: Path) -> list[str]:
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    return [file.read_text("utf-8") for file in files]


def _must(*words: str | Path) -> None:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words[0]} failed: {done.stderr[-2000:]}"
