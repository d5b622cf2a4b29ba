# mypy: disable-error-code="import-not-found,import-untyped"
"""Records as Sumatra 0.8.1 makes them, built from its own classes; the same ones every time.

`finished_run` is the result of one good `smt run`; `rich_records` differ from it in one aspect each, which
their label names, and together show every class that a record can contain here.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import parameters as nt
from sumatra import datastore, launch, parameters, programs, versioncontrol
from sumatra.datastore import DataKey
from sumatra.dependency_finder import genesis, matlab, neuron, python, r
from sumatra.records import Record
from sumatra.versioncontrol._git import GitRepository

START = datetime(2024, 3, 31, 0, 30, 0, 123456, tzinfo=timezone.utc)
EXISTING_PROGRAM = "/bin/sh"
UPSTREAM = "https://code.lab.example/ada/sweep.git"


def finished_run(label: str, number: int, root: str) -> Any:
    """Return the *number*th run of a parameter sweep; no two numbers share an output."""
    started = START + timedelta(minutes=number, microseconds=7 * number)
    record = Record(
        programs.PythonExecutable(EXISTING_PROGRAM, version="3.11.7"),
        git_repository(os.path.join(root, "code")),
        "main.py",
        digest("code"),
        launch.SerialLaunchMode(working_directory=root),
        datastore.FileSystemDataStore(os.path.join(root, "Data")),
        parameters.JSONParameterSet(sweep(number)),
        input_data=[key("input/connectome.csv", START - timedelta(days=2), mimetype="text/csv")],
        script_arguments=f"<parameters> {label}",
        label=label,
        reason=f"Sweep over the seed, step {number}",
        user="Ada Lovelace <ada@lab.example>",
        on_changed="store-diff",
        input_datastore=datastore.FileSystemDataStore(root),
        stdout_stderr=log(number),
        timestamp=started,
    )
    record.duration = 1.5 + (number % 97) / 7
    record.output_data = [key(f"{label}/result.csv", started + timedelta(seconds=3))]
    record.tags = {"_finished_", "sweep"}
    record.dependencies = [python.Dependency("numpy", "/opt/lib/numpy", "1.26.4", "", "attribute")]
    record.platforms = [platform("node-1", "192.0.2.17")]
    record.parameter_file = f"{label}.json"
    return record


def digest(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def key(path: str, creation: datetime | None, **metadata: Any) -> Any:
    """Return the data key of a file at *path* whose content is its name."""
    told = {"mimetype": "text/plain", "encoding": None, "size": len(path), **metadata}
    return DataKey(path, digest(path), creation, **told)


def platform(name: str, address: str, **changes: str) -> Any:
    """Return what Sumatra records about a machine called *name*."""
    usual = {
        "architecture_bits": "64bit",
        "architecture_linkage": "ELF",
        "machine": "x86_64",
        "network_name": name,
        "ip_addr": address,
        "processor": "",
        "release": "6.1.0-18-amd64",
        "system_name": "Linux",
        "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)",
    }
    return launch.PlatformInformation(**{**usual, **changes})


def sweep(number: int) -> str:
    """Return the parameter file of the *number*th run."""
    network = {"cells": 1000 + number % 10, "weights": [0.1, 0.25, 0.5], "recurrent": True}
    return json.dumps({"seed": number, "dt": 0.1, "tstop": 1000.0, "network": network})


def log(number: int) -> str:
    steps = "".join(f"t = {step:5d} ms\tspikes: {step * number % 9973}\n" for step in range(8))
    return f"seed {number}\n{steps}done\n"


def git_repository(url: str) -> Any:
    """Return a new GitRepository of *url*; opened once only, since that takes a millisecond."""
    made = GitRepository.__new__(GitRepository)
    made.__dict__.update(_opened(url).__dict__)
    return made


@functools.cache
def _opened(url: str) -> Any:
    return GitRepository(url)


def make_code(root: str) -> None:
    """Create the repositories that records name: `code` (git) and `hg` (Mercurial), if absent."""
    import git

    code = os.path.join(root, "code")
    if not os.path.exists(code):
        repository = git.Repo.init(code)
        repository.create_remote("origin", UPSTREAM)
        ada, when = git.Actor("Ada Lovelace", "ada@lab.example"), "2024-03-01T12:00:00 +0000"
        repository.index.commit("First", author=ada, committer=ada, author_date=when, commit_date=when)
        repository.close()
    mercurial = os.path.join(root, "hg")
    if _mercurial() and not os.path.exists(mercurial):
        subprocess.run(["hg", "init", mercurial], check=True)
        # Without a default path Sumatra cannot even construct a MercurialRepository.
        with open(os.path.join(mercurial, ".hg", "hgrc"), "w", encoding="utf-8") as file:
            file.write("[paths]\ndefault = https://code.lab.example/hg/sweep\n")


def _mercurial() -> Any:
    """Return Sumatra's module for Mercurial, or None if it does not load."""
    named = [vcs for vcs in versioncontrol.vcs_list if hasattr(vcs, "MercurialRepository")]
    return named[0] if named else None


def rich_records(root: str) -> Iterator[Any]:
    """Yield records that differ from `finished_run` in what their labels name."""
    variants = {
        **executables(),
        **launch_modes(root),
        **datastores(root),
        **parameter_sets(),
        **dependencies_and_platforms(),
        **data(),
        **texts(),
        **statuses(),
        **repositories(root),  # last, for speed: each loading of a Mercurial one runs hg twice
    }
    for number, (label, changes) in enumerate(variants.items()):
        record = finished_run(label, number, root)
        for name, value in changes.items():
            setattr(record, name, value)
        yield record


Variants = dict[str, dict[str, Any]]


def executables() -> Variants:
    """Every class, found and not found on this machine, with and without options."""
    classes = ("NEURONSimulator", "NESTSimulator", "GENESISSimulator", "MatlabExecutable")
    special = {
        f"executable-{name}": getattr(programs, name)(f"/opt/{name}/bin/run", "7.8.2", "-nogui")
        for name in (*classes, "RExecutable", "PythonExecutable")
    }
    generic = {
        "executable-generic": programs.Executable(EXISTING_PROGRAM, "unknown"),
        "executable-named": programs.Executable(EXISTING_PROGRAM, "0.1", " -c 3", "my-simulator"),
        "executable-relative": programs.Executable("no-such-simulator", "2.0"),
    }
    return {label: {"executable": value} for label, value in {**special, **generic}.items()}


def repositories(root: str) -> Variants:
    """Every class that loads here; Subversion and Bazaar never do on Python 3."""
    made = {
        "repository-git": GitRepository(os.path.join(root, "code")),
        "repository-git-gone": GitRepository(os.path.join(root, "no-such-directory")),
        "repository-git-upstream": GitRepository(os.path.join(root, "code"), "git@lab.example:x"),
        "repository-base": versioncontrol.Repository("svn://code.lab.example/trunk"),
        "repository-base-upstream": versioncontrol.Repository("/srv/é", "svn://lab.example"),
    }
    mercurial = _mercurial()
    if mercurial:
        made["repository-mercurial"] = mercurial.MercurialRepository(os.path.join(root, "hg"))
    else:
        print("left out: Mercurial does not load", file=sys.stderr)
    return {label: {"repository": value} for label, value in made.items()}


def launch_modes(root: str) -> Variants:
    """Every class, with and without options."""
    made = {
        "launch-serial-options": launch.SerialLaunchMode("/scratch/ada", "--nice 'x y'"),
        "launch-serial-tqdm": launch.SerialTqdmLaunchMode(root),
        "launch-distributed": launch.DistributedLaunchMode(
            4, EXISTING_PROGRAM, ["node-1", "node-2"], "-x é", "/opt/pfi.py", root
        ),
        "launch-distributed-usual": launch.DistributedLaunchMode(
            mpirun=EXISTING_PROGRAM, working_directory=root
        ),
        "launch-slurm": launch.SlurmMPILaunchMode(16, EXISTING_PROGRAM, root, "-p long"),
    }
    return {label: {"launch_mode": value} for label, value in made.items()}


def datastores(root: str) -> Variants:
    """Every class that loads without a WebDAV library, as output and as input."""
    data = os.path.join(root, "Data")
    archiving = datastore.ArchivingFileSystemDataStore(data, os.path.join(root, ".smt/archive"))
    mirrored = datastore.MirroredFileSystemDataStore(data, "https://data.lab.example/sweep/")
    plain = datastore.FileSystemDataStore(os.path.join(root, "Donnée 1"))
    return {
        "datastore-archiving": {"datastore": archiving},
        "datastore-mirrored": {"datastore": mirrored},
        "datastore-unicode": {"datastore": plain},
        "datastore-input-mirrored": {"input_datastore": mirrored},
        # As of a project without --input: one object, not two equal ones.
        "datastore-input-same": {"datastore": plain, "input_datastore": plain},
    }


SIMPLE = """\
tau_m = 20.0 # membrane time constant, in ms
cells = 1000
name = "Purkinje é" # the usual one
excitatory = True
weights = [1, 2.5, 'three']
shape = (2, 3)
nothing = None
huge = 1e300
"""
CONFIG = "[DEFAULT]\nbase = 1\n\n[network]\ncells = 1000\nname = Purkinje é\n\n[run]\nseed = 42\n"
JSON = """{"seed": 42, "name": "Zoë \\u2603", "nested": {"list": [1, 2.5, null, true, {"deep": []}],
"empty": {}}, "tiny": 1e-300, "integer float": 3.0, "control": "a\\tb\\nc\\"d\\\\e"}"""
YAML = """\
seed: 42
name: Zoë ☃
nested: {list: [1, 2.5, null, true], empty: {}}
started: 2020-01-01
finished: 2020-01-02 03:04:05
numbers: {1: one, 2.5: two and a half}
text: |
  two
  lines
looks like a number: '1'
"""


def parameter_sets() -> Variants:
    """All five classes, and other values that a record may have in their place."""
    nested = {"seed": 1, "cell": {"name": "é", "tau": 2.5, "spikes": [1, (2, 3)], "on": None}}
    drawn = {
        "range": nt.ParameterRange([1, 2, 3]),
        "in": {
            "gamma": nt.GammaDist(mean=2.0, std=1.0),
            "gamma_ab": nt.GammaDist(a=4.0, b=0.5, repr_mode="ab"),
            "uniform": nt.UniformDist(min=-1.0, max=1.0),
            "normal": nt.NormalDist(mean=0.5, std=0.25),
        },
        "voltage": nt.ParameterRange([-70.0, -60.0], units="mV", name="voltage"),
    }
    from_file = parameters.JSONParameterSet('{"a": 1, "sumatra_label": "parameters-from-file"}')
    from_file.source_file = "default.json"
    made: dict[str, Any] = {
        "parameters-simple": parameters.SimpleParameterSet(SIMPLE),
        "parameters-simple-plain": parameters.SimpleParameterSet({"a": 1, "b": "two", "c": 0.5}),
        "parameters-config": parameters.ConfigParserParameterSet(CONFIG),
        "parameters-json": parameters.JSONParameterSet(JSON),
        "parameters-json-empty": parameters.JSONParameterSet("{}"),
        "parameters-json-from-file": from_file,
        "parameters-yaml": parameters.YAMLParameterSet(YAML),
        "parameters-nt": parameters.NTParameterSet(nested),
        "parameters-nt-drawn": parameters.NTParameterSet(drawn),
        "parameters-dict": {"a": 1, "b": {"c": "é", "d": [1.5, None]}},
        "parameters-dict-empty": {},
        "parameters-none": None,
    }
    return {label: {"parameters": value} for label, value in made.items()}


def dependencies_and_platforms() -> Variants:
    """Dependencies of all five languages, modified ones, none; several machines, none."""
    diff = "--- a/model.hoc\n+++ b/model.hoc\n@@ -1 +1 @@\n-tau = 1\n+tau = 2 // é\n"
    several = [
        genesis.Dependency("cell.g", "/home/ada/cell.g", "1.2"),
        matlab.Dependency("signal", "/opt/matlab/toolbox/signal", "9.2"),
        neuron.Dependency("model.hoc", "/home/ada/model.hoc", digest("hoc")[:12], diff, UPSTREAM),
        python.Dependency("numpy", "/opt/lib/numpy", "1.26.4", "", "attribute"),
        python.Dependency("own", "/home/ada/own", digest("own"), diff, UPSTREAM),
        r.Dependency("ggplot2", "/usr/lib/R/ggplot2", "3.5.0"),
    ]
    cluster = [
        platform("node-1", "192.0.2.17"),
        platform("node-2", "2001:db8::2"),
        platform("arm", "192.0.2.3", machine="aarch64", processor="Neoverse-N1", release="5.15"),
    ]
    return {
        "dependencies-several": {"dependencies": several},
        "dependencies-none": {"dependencies": []},
        "platforms-several": {"platforms": cluster},
        "platforms-none": {"platforms": []},
    }


def data() -> Variants:
    """Many files, none, ignored digests, files that several records produced or consumed."""
    when = START + timedelta(days=1, microseconds=654321)
    produced = key("shared/spikes.dat", when, mimetype="application/octet-stream", size=12345678901)
    twice = key("shared/same.txt", when.replace(microsecond=0))
    several = [key(f"données/ß {n}.txt", when + timedelta(seconds=n)) for n in range(3)]
    ignored = DataKey("somewhere/else.bin", "0" * 40, None)
    told = key("image.png", when, mimetype="image/png", caption="figure é", nested={"dpi": [72]})
    return {
        "data-none": {"input_data": [], "output_data": []},
        "data-several": {"input_data": several[:2], "output_data": [*several, told]},
        "data-ignored-digest": {"input_data": [ignored]},
        "data-produced": {"output_data": [produced]},
        "data-consumed": {"input_data": [produced]},
        "data-same-output-1": {"output_data": [twice]},
        "data-same-output-2": {"output_data": [twice]},
    }


def texts() -> Variants:
    """Texts as users and programs write them, and unusual times."""
    summer = timezone(timedelta(hours=2))
    diff = "diff --git a/main.py b/main.py\n--- a/main.py\n+++ b/main.py\n@@ -1 +1 @@\n-é\n+ü\n"
    return {
        "tags-several": {"tags": {"_finished_", "figure-3", "été", "日本", "Good", "good"}},
        "tags-blank": {"tags": {"_finished_", "two words", "one,two"}},
        "tags-none": {"tags": set()},
        "outcome-lines": {"outcome": "It works.\n\n  * mostly: é ☃ 😀\n\tand so on\n"},
        "reason-none": {"reason": None, "main_file": None},
        "reason-unicode": {"reason": "Ärger, \"quotes\", 'quotes', back\\slash, `ticks`; $x % {y}"},
        "stdout-long": {"stdout_stderr": "\x1b[32mok\x1b[0m\r\n" * 1000},
        "diff": {"diff": diff, "on_changed": "error"},
        "repeats": {"repeats": "data-none"},
        "odd label/1:2|3.x é": {"user": "", "script_arguments": "--x='a b' < in.txt > out.txt"},
        "timestamp-whole-second": {"timestamp": START.replace(microsecond=0)},
        "timestamp-offset": {"timestamp": START.astimezone(summer)},
        "extra-attributes": {"note": "not Sumatra's", "numbers": {"a": [1, 2.5]}},
    }


def statuses() -> Variants:
    """Each step of a run, as an `smt run` that is running, or was killed, leaves it."""
    unseen: dict[str, Any] = {"duration": None, "output_data": [], "stdout_stderr": "Not yet captured."}
    before = {**unseen, "stdout_stderr": "Not launched."}
    unregistered = {**before, "user": "", "platforms": [], "dependencies": []}
    return {
        "status-initialized": {"tags": {"_initialized_"}, **unregistered},
        "status-pre-run": {"tags": {"_pre_run_"}, **before},
        "status-running": {"tags": {"_running_"}, **unseen},
        "status-running-tagged": {"tags": {"_running_", "sweep"}, "outcome": "patience", **unseen},
        "status-finished-gathering": {"tags": {"_finished..._"}, **unseen},
        "status-failed": {"tags": {"_failed_"}, "outcome": "Failed with returncode -11"},
        "status-killed": {"tags": {"_killed_", "sweep"}},
        "status-succeeded": {"tags": {"_succeeded_"}},
    }
