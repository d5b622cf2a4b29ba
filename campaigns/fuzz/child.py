"""Read altered bytes in a process that may not become large, and that ends at once if anything is run.

`python -m campaigns.fuzz.child TARGET FIRST LAST DIRECTORY` prints a line for each case of a target, or of
any other reading (`module:name`): its number, and how it ended: `read`, `refused`, or `crashed`, with what
was raised.
"""

from __future__ import annotations

import difflib  # noqa: F401 - which smtd imports when it meets a misspelt name
import os
import resource
import signal
import sys
import time
from pathlib import Path
from pkgutil import resolve_name
from random import Random
from typing import Any

from campaigns.fuzz.targets import TARGETS
from smtd.errors import SmtdError
from smtd.filestat import NotSettled

#: What no reading of data ever does.
RUNS = frozenset(
    ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "exec", "import")
)
#: Cases that are tried before anybody watches.
WARM_UP = 20
#: Seconds that one case may take.
PATIENCE = int(os.environ.get("SMTD_FUZZ_PATIENCE", "30"))
#: Bytes of memory that the process may have.
ROOM = 512 << 20
#: The exit codes of a process in which something was run, and of one that hangs.
RAN, HANGS = 66, 67


def main(name: str, first: int, last: int, scratch: Path) -> None:
    """Try the cases *first* to *last* of the target *name*."""
    read = TARGETS[name].read if name in TARGETS else resolve_name(name)
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    time.strptime("2024", "%Y")  # which imports what it needs
    for number in range(-WARM_UP, 0):  # all is imported then that reading imports
        _tried(name, read, number, scratch)
    sys.addaudithook(_watch)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(HANGS))
    for number in range(first, last):
        signal.alarm(PATIENCE)
        print(number, _tried(name, read, number, scratch), flush=True)
    signal.alarm(0)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10, flush=True)


def _tried(name: str, read: Any, number: int, scratch: Path) -> str:
    try:
        read(Random(f"{name} {number}"), scratch)
    except (SmtdError, NotSettled):
        return "refused"
    except Exception as exc:  # noqa: BLE001 - that is what is looked for
        return f"crashed {type(exc).__name__}: {' '.join(str(exc).split())[:200]}"
    return "read"


def _watch(event: str, words: tuple[Any, ...]) -> None:
    # The types of a class of our own are looked up by evaluating their names.
    if event in RUNS and sys._getframe(1).f_globals.get("__name__") != "typing":
        os.write(2, f"{event} {words!r}\n".encode())
        os._exit(RAN)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
