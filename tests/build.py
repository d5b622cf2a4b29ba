"""Records for tests: `record` is a plain finished run, `full` has a value in every field.

Both take changed fields by name. Two calls with the same label return the same record.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from smtd.records.record import (
    Component,
    DataKey,
    Dependency,
    Executable,
    Key,
    Parameters,
    Platform,
    Record,
    Repository,
)

PROJECT = "MyProject"
UTC = timezone.utc
#: The time of every run here, unless a field changes it.
MOMENT = datetime(2024, 3, 31, 0, 30, 0, 123456, tzinfo=UTC)
FINISHED = frozenset({"_finished_"})
RUNNING = frozenset({"_running_"})

OUTPUT = DataKey(
    "run/result.csv",
    "6cf2d5a01ea5ce8d7b6dbd6a8e0a4b3bd2b0b2a1",
    MOMENT + timedelta(seconds=3),
    {"mimetype": "text/csv", "encoding": None, "size": 4096},
)
INPUT = DataKey(
    "input/connectome.csv",
    "0f1d7a84c8e3b1a1f0f3aef4cf2d5be6f3b9a6d7",
    MOMENT - timedelta(days=2),
    {"mimetype": "text/csv", "encoding": None, "size": 1024},
)
NUMPY = Dependency("python", "numpy", "/opt/lib/numpy", "1.26.4", "", "attribute")
NODE = Platform(
    architecture_bits="64bit",
    architecture_linkage="ELF",
    machine="x86_64",
    network_name="node-1",
    ip_addr="192.0.2.17",
    processor="",
    release="6.1.0-18-amd64",
    system_name="Linux",
    version="#1 SMP Debian 6.1.76-1",
)


def key(label: str, project: str = PROJECT) -> Key:
    """Return the key of the record *label*."""
    return Key(project, label)


def record(label: str = "run", /, **changes: Any) -> Record:
    """Return a plain record of a finished run, with *changes* by field."""
    place = Component("FileSystemDataStore", {"root": "/data"})
    plain = Record(
        label=label,
        timestamp=MOMENT,
        reason="a first look",
        duration=1.5,
        executable=Executable("/usr/bin/python3", "Python", "3.12.1"),
        repository=Repository("GitRepository", "/code"),
        main_file="main.py",
        version="2f1c0de",
        parameters=Parameters("SimpleParameterSet", "seed = 1"),
        launch_mode=Component("SerialLaunchMode", {"working_directory": "/code", "options": None}),
        datastore=place,
        input_datastore=place,
        tags=FINISHED,
        stdout_stderr="done\n",
    )
    return change(plain, **changes)


def full(label: str = "full", /, **changes: Any) -> Record:
    """Return a record with a value in every field, with *changes* by field."""
    return record(
        label,
        **{
            "executable": Executable("/usr/bin/python3", "Python", "3.12.1", "-O"),
            "repository": Repository("GitRepository", "/code", "https://code.lab.example/ada/sweep.git"),
            "input_data": (INPUT,),
            "script_arguments": "<parameters> 7",
            "input_datastore": Component("FileSystemDataStore", {"root": "/input"}),
            "outcome": "converged",
            "output_data": (OUTPUT,),
            "tags": frozenset({"_finished_", "figure-2"}),
            "diff": "- dt = 0.1\n+ dt = 0.2\n",
            "user": "Ada Lovelace <ada@lab.example>",
            "dependencies": (NUMPY,),
            "platforms": (NODE,),
            "repeats": "earlier-run",
        }
        | changes,
    )


def change(before: Record, /, **changes: Any) -> Record:
    """Return *before* with other values in some fields."""
    return msgspec.structs.replace(before, **changes)


def tagged(before: Record, *tags: str) -> Record:
    """Return *before* with *tags* added."""
    return change(before, tags=before.tags | set(tags))


def commented(before: Record, text: str) -> Record:
    """Return *before* with *text* appended to its outcome, as `smt comment` does."""
    return change(before, outcome=f"{before.outcome}\n{text}" if before.outcome else text)
