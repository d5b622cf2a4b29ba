"""A forked process ends as a new interpreter does: with its exit code and output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forkserver.client import for_commands

#: Programs, and the exit code of each.
PROGRAMS = {
    "print('out')": 0,
    "raise SystemExit": 0,
    "raise SystemExit(3)": 3,
    "raise SystemExit(259)": 3,
    "raise SystemExit('told')": 1,
    "raise ValueError('told')": 1,
    "raise KeyboardInterrupt": -2,
    "import os; os.abort()": -6,
    "import atexit; atexit.register(print, 'last'); print('first')": 0,
    "import threading, time; threading.Thread(target=lambda: [time.sleep(0.05), print('late')]).start()": 0,
    "import sys; sys.stdout = open('/dev/full', 'w'); print('lost')": 120,
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_process_ends_as_a_new_interpreter_does(program: str, tmp_path: Path) -> None:
    """Also after its threads and exit functions, by a signal, and if its output cannot be written."""
    words, env = ["-c", program], dict(os.environ)
    new = subprocess.run([sys.executable, *words], capture_output=True, env=env, check=False)
    out, err = tmp_path / "out", tmp_path / "err"

    with out.open("wb") as first, err.open("wb") as second:
        child = for_commands().child(words, tmp_path, env, stdout=first.fileno(), stderr=second.fileno())
        code = child.wait(60)

    assert code == new.returncode == PROGRAMS[program]
    assert out.read_bytes() == new.stdout
    assert err.read_bytes().splitlines()[-1:] == new.stderr.splitlines()[-1:]
