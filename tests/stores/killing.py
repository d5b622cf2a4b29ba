"""Kill a write to a dbm file at each of its steps, with only one start of an interpreter."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from smtd.stores.driver import Driver
from smtd.stores.shelf.contents import Swap

#: Forks for each step. Each fork makes the swaps in a copy of the shelf, and is killed before one of the
#: calls that change anything or, of a dumb shelf, after a file was opened.
_PROGRAM = """
import builtins, io, json, os, pickle, shutil, signal, sqlite3, sys
from pathlib import Path
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.gnu import GnuFile
from smtd.stores.shelf.dbm_sqlite3 import Sqlite3File
from smtd.stores.shelf.contents import Swap

kind, home, python = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
files = {"dumb": DumbFile, "gnu": GnuFile, "sqlite3": Sqlite3File}
swaps = pickle.load(sys.stdin.buffer)

def swap(file, step):
    def done(*_):
        nonlocal step
        step -= 1
        if not step:
            os.kill(os.getpid(), signal.SIGKILL)
    def before(function):
        def call(*args, **kwargs):
            done()
            return function(*args, **kwargs)
        return call
    def after(function):
        def call(*args, **kwargs):
            result = function(*args, **kwargs)
            done()
            return result
        return call
    def connected(*args, **kwargs):
        db = connect(*args, **kwargs)
        db.set_trace_callback(done)
        return db
    connect, sqlite3.connect = sqlite3.connect, connected
    os.fsync, os.replace, os.link = before(os.fsync), before(os.replace), before(os.link)
    if kind == "dumb":
        os.unlink, os.open = before(os.unlink), after(os.open)
        builtins.open = io.open = after(open)
    os._exit(0 if file.replace(swaps) == swaps.keys() else 1)

ended = []
while not ended or ended[-1]:
    copy = home.with_name(f"{home.name} {len(ended)}")
    shutil.copytree(home, copy)
    child = os.fork()
    if not child:
        swap(files[kind](copy / "records", *python), len(ended) + 1)
    ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(ended))
"""


def killed(kind: Driver, home: Path, swaps: Mapping[bytes, Swap], *python: str) -> list[tuple[int, Path]]:
    """Make *swaps* in copies of the shelf `home/records`; return how each step ended, and the copy.

    Only the last one was not killed.
    """
    command = [sys.executable, "-c", _PROGRAM, kind.name, str(home), *python]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    given = pickle.dumps(dict(swaps))
    done = subprocess.run(command, input=given, env=environment, stdout=subprocess.PIPE, check=True)
    ended: list[int] = json.loads(done.stdout)
    return [(code, home.with_name(f"{home.name} {step}") / "records") for step, code in enumerate(ended)]
