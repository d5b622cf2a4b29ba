"""What real Sumatra runs, opens and fetches when it reads a record; smtd passes none of it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from smtd.records import canonical
from smtd.records.literal import NotLiteral
from smtd.records.parameters import simple
from smtd.records.record import Component, Executable, Key, Parameters, Record, Repository
from smtd.stores.base import DONE, Change, Outcome
from smtd.stores.django import readable
from tests.build import change, record
from tests.peers.environments import Environment
from tests.stores.asking import read_from
from tests.stores.places import DjangoPlace, Place, dumb_place
from tests.stores.samples import ROOT

#: A program that leaves a file when it is run.
CODE = "__import__('os').system('touch sprung')"
#: An address without a server; an attempt to connect is enough.
ADDRESS = "http://127.0.0.1:9/"
MPI = {"n": 1, "hosts": [], "pfi_path": "/pfi.py", "options": None, "working_directory": "/code"}


def parameters(name: str, text: str) -> dict[str, Any]:
    return {"parameters": Parameters(name, text)}


def launched(**arguments: Any) -> dict[str, Any]:
    return {"launch_mode": Component("DistributedLaunchMode", {**MPI, **arguments})}


def stored(name: str, **arguments: Any) -> dict[str, Any]:
    return {"datastore": Component(name, arguments)}


class Harm(NamedTuple):
    """A record, and what Sumatra does as soon as it reads the record from a database, word for word."""

    fields: dict[str, Any]
    does: str
    #: smtd's reason to refuse it (empty: smtd writes it in a harmless form with the same meaning).
    refused: str = ""


NOT_LITERAL = "is not a literal value"
NO_PROGRAM = "neither the name nor the full path of a program"
#: In texts, `HERE` stands for the directory in which Sumatra runs.
HARMS: dict[str, Harm] = {
    "an executable without a version": Harm({"executable": Executable("HERE/evil", "evil", "")}, "--version"),
    "an executable with no version": Harm({"executable": Executable("HERE/evil", "evil", None)}, "--version"),
    "an executable that is a command": Harm(
        {"executable": Executable("touch sprung #", "evil", "")}, "touch sprung #"
    ),
    "a Matlab without a version": Harm({"executable": Executable("/m", "Matlab", "")}, "matlab -nodesktop"),
    "a GENESIS without a version": Harm({"executable": Executable("/g", "GENESIS", "")}, "genesis_version.g"),
    "an MPI that is a command": Harm(launched(mpirun="a b/../mpi;run"), "mpi;run --version", NO_PROGRAM),
    "an MPI of the directory": Harm(launched(mpirun="./evil"), "./evil --version", NO_PROGRAM),
    "an MPI by detours": Harm(launched(mpirun="/tmp/../HERE/evil"), "evil --version", NO_PROGRAM),
    "an MPI without a name": Harm(launched(mpirun=""), "--version", NO_PROGRAM),
    "simple parameters in a file": Harm(parameters("SimpleParameterSet", "HERE/p=1"), "ran touch sprung"),
    "simple parameters in a file of the directory": Harm(
        parameters("SimpleParameterSet", "p=1"), "opened p=1"
    ),
    "simple parameters in a file of a directory": Harm(
        parameters("SimpleParameterSet", "Data/p=1"), "opened Data/p=1"
    ),
    "JSON parameters in a file": Harm(parameters("JSONParameterSet", "1"), "opened 1"),
    "YAML parameters in a file": Harm(parameters("YAMLParameterSet", "HERE/a: 1"), "opened a: 1"),
    "YAML parameters in a file of a directory": Harm(
        parameters("YAMLParameterSet", "Data/a: "), "opened Data/a: "
    ),
    "sections in a file": Harm(parameters("ConfigParserParameterSet", ";/p\n[a]"), "opened ;/p\n[a]"),
    "nested parameters in a file": Harm(
        parameters("NTParameterSet", "{'a': 'file://HERE/nested'}"), "opened nested'}"
    ),
    "nested parameters with a comment": Harm(
        parameters("NTParameterSet", "{'a': 1} # file://nested'}"), "opened nested'}"
    ),
    "nested parameters at an address": Harm(
        parameters("NTParameterSet", ADDRESS + "p"), "connected to", NOT_LITERAL
    ),
    "nested parameters with an address": Harm(
        parameters("NTParameterSet", f"{{'a': url({ADDRESS!r})}}"), "connected to", NOT_LITERAL
    ),
    "simple parameters with code": Harm(
        parameters("SimpleParameterSet", f"a = {CODE}"), "touch sprung", NOT_LITERAL
    ),
    "nested parameters with code": Harm(
        parameters("NTParameterSet", f"{{'a': {CODE}}}"), "touch sprung", NOT_LITERAL
    ),
}
#: What Sumatra also does with its own records; there is no harmless form.
USUAL: dict[str, Harm] = {
    "an MPI that is there": Harm(launched(mpirun="HERE/evil"), "ran /bin/sh -c evil --version"),
    "an MPI that is nowhere": Harm(launched(mpirun="/no/such/mpiexec"), "ran /bin/sh -c None --version"),
    "a data store that is not there": Harm(stored("FileSystemDataStore", root="HERE/new"), "made new"),
    "a Mercurial repository": Harm(
        {"repository": Repository("MercurialRepository", "HERE/hg")}, "ran hg --cwd hg"
    ),
}
#: Values that look harmful, and that Sumatra leaves alone.
QUIET: dict[str, dict[str, Any]] = {
    "a command with a version": {"executable": Executable("touch sprung #", "evil", "1")},
    "an address for a Git repository": {"repository": Repository("GitRepository", ADDRESS)},
    "a command for a Git repository": {"repository": Repository("GitRepository", "ext::touch sprung")},
    "an address for a repository": {"repository": Repository("Repository", ADDRESS, ADDRESS)},
    "an address for a mirror": stored("MirroredFileSystemDataStore", root=ROOT, mirror_base_url=ADDRESS),
    "an address that nobody uses": parameters("SimpleParameterSet", f'a = "{ADDRESS}"'),
    "a file that nobody uses": parameters("JSONParameterSet", '{"a": "file:///etc/passwd"}'),
    "a text that is the name of a file": parameters("str", "HERE/p=1"),
    "a text that is code": parameters("str", CODE),
}
FILES = {
    "evil": "#!/bin/sh\ntouch sprung\n",
    "a b/../mpi;run": "",
    "p=1": f"a = {CODE}",
    "Data/p=1": f"a = {CODE}",
    "1": "{}",
    "a: 1": "a: 1",
    "Data/a: ": "a: 1",
    ";/p\n[a]": "[b]",
    "nested'}": f"{{'a': {CODE}}}",
}


class Seen(NamedTuple):
    """What Sumatra did when it listed a project, and why it failed."""

    did: list[str]
    error: str


class Sumatra(NamedTuple):
    """Real Sumatra in a directory full of traps."""

    environment: Environment
    directory: Path

    def at_home(self, fields: dict[str, Any]) -> Record:
        """Return a record with *fields*, and with `HERE` in them replaced."""
        here = json.dumps(str(self.directory))[1:-1]
        store = Component("FileSystemDataStore", {"root": ROOT})
        plain = change(record(), **{"datastore": store, "input_datastore": store, **fields})
        return _replaced(plain, here)

    def list(self, kind: str, store: Path) -> dict[str, Seen]:
        """List every project, and return what Sumatra did."""
        done = self.environment.script("watch_reading.py", f"--{kind}", store, cwd=self.directory)
        return {project: Seen(**seen) for project, seen in json.loads(done.stdout).items()}

    @property
    def sprung(self) -> bool:
        """Whether a trap was run."""
        return (self.directory / "sprung").exists()


def _replaced(one: Record, here: str) -> Record:
    fields = json.loads(msgspec.json.encode(one).decode().replace("HERE", here))
    return msgspec.convert(fields, Record, strict=False)


@pytest.fixture
def sumatra(django_environment: Environment, tmp_path: Path) -> Sumatra:
    directory = tmp_path / "project"
    for name in ("Data", "a b", ";"):
        (directory / name).mkdir(parents=True)
    for name, text in FILES.items():
        (directory / name).write_text(text)
    (directory / "evil").chmod(0o755)
    (directory / "hg").mkdir()
    return Sumatra(django_environment, directory)


async def stored_by_smtd(place: Place, records: dict[str, Record]) -> dict[str, Outcome]:
    """Write each record into a project of its own, and return the outcomes."""
    keys = {name: Key(name, one.label) for name, one in records.items()}
    async with place.open() as store:
        changes = [Change(keys[name], one, None) for name, one in records.items()]
        return dict(zip(records, await store.write(changes), strict=True))


async def test_harmful_records_make_sumatra_act(
    sumatra: Sumatra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these texts really makes Sumatra run, open or fetch something as soon as it lists records."""
    monkeypatch.setattr(readable, "readable_form", lambda record: record)
    place = DjangoPlace(tmp_path / "store" / "records")
    place.path.parent.mkdir()
    harms = HARMS | USUAL

    outcomes = await stored_by_smtd(
        place, {name: sumatra.at_home(harm.fields) for name, harm in harms.items()}
    )
    seen = sumatra.list("django", place.path)

    assert set(outcomes.values()) == {DONE}
    did = {name: "\n".join(seen[name].did) for name in harms}
    assert {name: did[name] for name, harm in harms.items() if harm.does not in did[name]} == {}
    assert sumatra.sprung


async def test_smtd_passes_on_no_harmful_record(sumatra: Sumatra, tmp_path: Path) -> None:
    """It refuses a harmful record with the reason, or writes it in a harmless form with the same meaning.

    A record that only looks harmful is written.
    """
    place = DjangoPlace(tmp_path / "store" / "records")
    place.path.parent.mkdir()
    harms = HARMS | {name: Harm(fields, "") for name, fields in QUIET.items()}
    records = {name: sumatra.at_home(harm.fields) for name, harm in harms.items()}

    outcomes = await stored_by_smtd(place, records)
    seen = sumatra.list("django", place.path)
    held = await read_from(place, [Key(name, one.label) for name, one in records.items()])

    refused = {name: harm.refused for name, harm in harms.items() if harm.refused}
    assert {
        name: outcome.reason for name, outcome in outcomes.items() if outcome != DONE
    }.keys() == refused.keys()
    assert [name for name, reason in refused.items() if reason not in outcomes[name].reason] == []
    assert set(seen) == set(records) - set(refused)
    assert {name: one for name, one in seen.items() if one.did or (one.error and name not in QUIET)} == {}
    assert not sumatra.sprung
    assert {of.project: canonical.digest(one) for of, one in held.items()} == {
        name: canonical.digest(one) for name, one in records.items() if name not in refused
    }


async def test_harmful_records_in_a_shelf_make_sumatra_do_nothing(sumatra: Sumatra, tmp_path: Path) -> None:
    """From a shelf Sumatra restores objects by their state."""
    place = dumb_place(tmp_path / "store" / "records")
    place.location.path.parent.mkdir()
    records = {name: sumatra.at_home(harm.fields) for name, harm in HARMS.items()}

    outcomes = await stored_by_smtd(place, records)
    seen = sumatra.list("shelf", place.location.path)

    written = {name for name, outcome in outcomes.items() if outcome == DONE}
    assert written >= {name for name, harm in HARMS.items() if NOT_LITERAL not in harm.refused}
    assert {name: seen[name].did for name in written if seen[name].did} == {}
    assert not sumatra.sprung


def test_name_that_sumatra_defines_is_not_written_as_text() -> None:
    """In a simple set Sumatra would evaluate it."""
    assert simple.read("a = tanh\n") == {"a": " tanh"}
    for name in ("os", "exit", "self", "__import__", "yaml"):
        with pytest.raises(NotLiteral):
            simple.read(f"a = {name}\n")
