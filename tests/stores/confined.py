"""`smtd` for whom the rules of files hold even as root, or for whom the disk is full."""

from __future__ import annotations

from tests.command import Smtd
from tests.forkserver import client

_RUN = "import runpy, sys; sys.argv[0] = 'smtd'; runpy.run_module('smtd', run_name='__main__')"

#: Gives up every right to pass over the modes of files; anybody may.
_MORTAL = """
import ctypes
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) == 0
"""
#: No file may grow beyond so many bytes.
_CRAMPED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""


def mortal(smtd: Smtd) -> Smtd:
    """Let *smtd* run without the rights of root, but as the same user."""
    return _run_by(smtd, _MORTAL + _RUN)


def cramped(smtd: Smtd, size: int) -> Smtd:
    """Let no file of *smtd* grow beyond *size* bytes, as if the disk were full."""
    return _run_by(smtd, _CRAMPED.format(size=size) + _RUN)


def free(smtd: Smtd) -> Smtd:
    """Let *smtd* run as usual again."""
    smtd.program = ["-m", "smtd"]
    return smtd


def _run_by(smtd: Smtd, program: str) -> Smtd:
    client.programs.add(program)
    smtd.program = ["-c", program]
    return smtd
