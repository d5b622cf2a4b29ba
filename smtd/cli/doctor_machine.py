"""What `smtd doctor` says of the machine: versions, limits, file systems, clock. Every function blocks."""

from __future__ import annotations

import importlib.metadata
import locale
import os
import platform
import re
import resource
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from smtd import __version__
from smtd.cli.redaction import address

_MOUNTS = Path("/proc/self/mountinfo")
#: Variables that change what smtd does and may not hold a secret; those after them hold addresses.
_VARIABLES = (
    *("SMTD_CONFIG", "SMTD_SOCKET", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
    *("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "no_proxy"),
)
_PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_KERNEL = ("fs/inotify/max_user_watches", "fs/inotify/max_user_instances", "fs/file-max")


def versions() -> dict[str, Any]:
    """Return the versions of smtd, Python, SQLite, the libraries and the system."""
    return {
        "smtd": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "sqlite": sqlite3.sqlite_version,
        "libraries": dict(_libraries()),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "encoding": f"{locale.getpreferredencoding(False)}, {sys.getfilesystemencoding()} in file names",
    }


def _libraries() -> Iterator[tuple[str, str]]:
    """Yield name and version of what smtd needs, or may need."""
    try:
        wanted = importlib.metadata.requires("smtd") or []
    except importlib.metadata.PackageNotFoundError:
        wanted = ["anyio"]  # smtd runs from a checkout that is not installed
    for line in wanted:
        name = re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0]
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "not installed"


def surroundings() -> dict[str, Any]:
    """Return the user, the clock, the limits, and the variables that matter to smtd."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    now = datetime.now(timezone.utc)
    found = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    found |= {name: address(_whole(os.environ[name])) for name in _PROXIES if name in os.environ}
    return {
        "user": os.geteuid(),
        "umask": f"{_umask():04o}",
        "clock": now.isoformat(timespec="seconds"),
        "time_zone": now.astimezone().tzname(),
        "clock_is_synchronized": _is_synchronized(),
        "uptime_seconds": round(time.clock_gettime(time.CLOCK_BOOTTIME)),
        "open_files": {"soft": soft, "hard": hard},
        "kernel": dict(_kernel_limits()),
        "variables": found,
    }


def _whole(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _umask() -> int:
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return -1


def _is_synchronized() -> bool | None:
    """Say whether systemd has set the clock by others (None: this machine has no such service)."""
    if not Path("/run/systemd/timesync").is_dir():
        return None
    return Path("/run/systemd/timesync/synchronized").exists()


def _kernel_limits() -> Iterator[tuple[str, int]]:
    for name in _KERNEL:
        with suppress(OSError, ValueError):
            yield name, int(Path("/proc/sys", name).read_text("ascii"))


def status(path: Path) -> dict[str, Any]:
    """Return mode, owner, size and time of what is at *path*."""
    found: dict[str, Any] = {"path": str(path)}
    try:
        seen = path.stat()
        found |= {
            "mode": stat.filemode(seen.st_mode),
            "owner": seen.st_uid,
            "bytes": seen.st_size,
            "changed": datetime.fromtimestamp(seen.st_mtime, timezone.utc).isoformat(timespec="milliseconds"),
        }
    except OSError as exc:
        found["problem"] = exc.strerror or str(exc)
    return found


def place(path: Path) -> dict[str, Any]:
    """Return the status of what is at *path*, its file system, and the space that is left there."""
    found = status(path)
    with suppress(OSError, StopIteration):
        near = next(each for each in (path, *path.parents) if each.exists())
        room = os.statvfs(near)
        found["file_system"] = _file_system(near)
        found["free_bytes"], found["of_bytes"] = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        found["free_inodes"] = room.f_favail
    return found


def _file_system(path: Path) -> str:
    """Return the kind of the file system of *path*, and how it is mounted (empty: unknown)."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError, ValueError, IndexError):
        for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
            mount, _, system = line.partition(" - ")
            if mount.split()[2] == number:
                return f"{system.split()[0]} ({mount.split()[5]})"
    return ""
