"""`smtd` as a process that file modes restrict even if it is root, or whose disk is full."""

from __future__ import annotations

from tests.command import Smtd
from tests.forkserver import client

_RUN = "import runpy, sys; sys.argv[0] = 'smtd'; runpy.run_module('smtd', run_name='__main__')"

#: Gives up every right to ignore file modes; any user may do that.
_MORTAL = """
import ctypes
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) == 0
"""
#: No file may grow beyond this many bytes.
_CRAMPED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""


def mortal(smtd: Smtd) -> Smtd:
    """Make *smtd* run without the rights of root, but as the same user."""
    return _run_by(smtd, _MORTAL + _RUN)


def cramped(smtd: Smtd, size: int) -> Smtd:
    """Limit the files of *smtd* to *size* bytes, as if the disk were full."""
    return _run_by(smtd, _CRAMPED.format(size=size) + _RUN)


def free(smtd: Smtd) -> Smtd:
    """Make *smtd* run as usual again."""
    smtd.program = ["-m", "smtd"]
    return smtd


def _run_by(smtd: Smtd, program: str) -> Smtd:
    client.programs.add(program)
    smtd.program = ["-c", program]
    return smtd
