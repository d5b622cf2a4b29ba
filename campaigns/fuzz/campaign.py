"""Alter what others wrote, at random, and look how reading it ends; the same numbers make the same bytes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from campaigns.campaign import Tally
from campaigns.fuzz import control
from campaigns.fuzz.child import HANGS, RAN
from campaigns.fuzz.targets import TARGETS

#: Bytes that no reading may need.
MOST = 512 << 20
#: Cases that one process tries.
BATCH = 1000
#: How many of a hundred cases are requests to a daemon.
CONTROL = 2
#: What is the matter with a process that ended too soon.
ENDS = {RAN: "something was run", HANGS: "it hangs"}


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Try *count* cases, shared among all targets."""
    tally = Tally("cases")
    shares = CONTROL + sum(target.share for target in TARGETS.values())
    for name, target in TARGETS.items():
        try_out(name, max(1, count * target.share // shares), directory, tally)
        progress(f"{name}: {tally.count:,} of {count:,} cases, {tally.wrong_so_far()}")
    control.run(directory, max(1, count * CONTROL // shares), tally, MOST)
    progress(f"control: {tally.count:,} of {count:,} cases, {tally.wrong_so_far()}")
    return tally


def try_out(name: str, count: int, directory: Path, tally: Tally) -> None:
    """Try the first *count* cases of the target *name*, or of another reading, `module:name`."""
    scratch = directory / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    first = 0
    while first < count:
        last = min(first + BATCH, count)
        command = [sys.executable, "-m", "campaigns.fuzz.child", name, str(first), str(last), str(scratch)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        tried = _count(name, [line.split(maxsplit=1) for line in done.stdout.splitlines()], tally)
        if done.returncode:
            why = ENDS.get(done.returncode, f"the process ended with {done.returncode}")
            tally.differences.append(f"{name} {first + tried}: {why}: {done.stderr.strip()[-500:]}")
            tried += 1
        first = min(first + max(tried, 1), last)


def _count(name: str, lines: Sequence[Sequence[str]], tally: Tally) -> int:
    """Count how the cases ended that *lines* tell of, and return how many there are."""
    tried = 0
    for number, ended in lines:
        if number == "peak":
            if int(ended) > MOST:
                tally.differences.append(f"{name}: {int(ended) >> 20} MiB were needed")
            continue
        tried += 1
        tally.count += 1
        how = ended.split()[0]
        tally.counts[how] += 1
        if how == "crashed":
            tally.differences.append(f"{name} {number}: {ended}")
    return tried
