"""The browser of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from tests.peers.debian import unpacked
from tests.peers.environments import PeerFailed

#: Chromium without windows, and the files that all builds of it share.
SHELL = "chromium-headless-shell"
_PACKAGES = (SHELL, "chromium-common")


@cache
def program() -> str:
    """Return the path of Chromium; of the build without windows where Debian has it.

    That takes a third of the processor time: the same engine, whose user interface is not web pages, too.
    It is unpacked, and needs the libraries that come with Chromium, without which no such test is run.
    """
    if (installed := shutil.which(SHELL)) is not None:
        return installed
    try:
        shell = unpacked("chromium", _PACKAGES) / "usr/lib/chromium" / SHELL
        subprocess.run([shell, "--version"], capture_output=True, check=True)
    except (PeerFailed, OSError, subprocess.CalledProcessError):
        whole = shutil.which("chromium")
        assert whole is not None, "tests/conftest.py leaves these tests out without it"
        return whole
    return os.fspath(shell)
