"""Projects of real Sumatra 0.8.1 whose store may be a server of smtd, and work that people do in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.peers.environments import Environment
from tests.peers.project import SumatraProject

OPTIONS = ("--addlabel=cmdline", "--executable=python", "--on-changed=store-diff", "--main=main.py")
PARAMETERS = {"default.param": "seed = 1\n", "other.json": '{"seed": 2}\n'}
#: What differs between two runs of the same, wherever they are kept.
OF_THE_MOMENT = ("timestamp", "duration")


class RemoteProject(SumatraProject):
    """A project whose store may be a server on this machine: no proxy leads there."""

    def variables(self) -> dict[str, str]:
        return {**super().variables(), "http_proxy": ""}

    def begin(self, store: str | Path, name: str = "Sweep") -> None:
        """Make the project with its code and its store."""
        self.create_code(PARAMETERS)
        self.init(name, *OPTIONS, f"--store={store}")

    def seen(self) -> dict[str, dict[str, Any]]:
        """Return the exported records by label, without what is of the moment or of this directory."""
        text = json.dumps(self.records()).replace(str(self.directory), "PROJECT")
        text = re.sub(r'"creation": "[^"]*"', '"creation": ""', text)
        found: dict[str, dict[str, Any]] = json.loads(text)
        for one in found.values():
            for name in OF_THE_MOMENT:
                assert one.pop(name)
        return found


def begun_on_a_shelf(directory: Path, environment: Environment) -> RemoteProject:
    made = RemoteProject(directory, environment)
    made.begin(made.smt_directory / "records.shelf")
    return made


def work(project: RemoteProject) -> list[list[str]]:
    """Do what people do; return what was listed on the way."""
    listed = []
    project.run("default.param", label="one", reason="to see")
    project.run("other.json", "fail", label="two", tag="early")
    project.comment("one", "it works")
    project.comment("one", "more of it")
    project.tag("good", "one")
    listed.append(project.labels())
    listed.append(project.labels("good"))
    project.smt("comment", "of the newest")
    project.smt("tag", "newest")
    project.run("default.param", "seed=3", label="three")
    project.delete("three")
    listed.append(project.labels())
    for label in ("four", "five"):
        project.run("default.param", label=label, tag="bad")
    assert "2 records deleted" in project.smt("delete", "--tag", "bad")
    listed.append(project.labels())
    project.smt("repeat", "--label=again", "one")
    project.smt("migrate", "--datapath=/elsewhere")
    assert "Sweep" in project.info()
    return listed


def work_a_little(project: RemoteProject) -> None:
    """Do one of each that asks a server for something else: a run, an edit, a listing and a deletion."""
    project.run("default.param", label="one")
    project.run("other.json", "fail", label="two", tag="early")
    project.comment("one", "it works")
    project.comment("one", "more of it")
    assert set(project.labels("early")) == {"two"}
    project.run("default.param", label="three", tag="bad")
    assert "1 records deleted" in project.smt("delete", "--tag", "bad")
