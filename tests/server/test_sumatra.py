"""Real Sumatra 0.8.1 on a running `smtd serve`: what a person does with a shelf, over HTTP."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.peers.environments import Environment, PeerFailed
from tests.peers.project import SumatraProject
from tests.server.place import ServedPlace
from tests.server.process import ServerProcess

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


@pytest.fixture
def remote(server: ServerProcess, django_environment: Environment, tmp_path: Path) -> RemoteProject:
    """A project on the server."""
    made = RemoteProject(tmp_path / "remote", django_environment)
    made.begin(server.address)
    return made


@pytest.fixture
def local(django_environment: Environment, tmp_path: Path) -> RemoteProject:
    """A project on a shelf."""
    made = RemoteProject(tmp_path / "local", django_environment)
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


def test_same_work_as_on_a_shelf_leaves_the_same_records(remote: RemoteProject, local: RemoteProject) -> None:
    """Field by field, whole: a run is five saves, comments and tags are edits, and deletions delete."""
    assert work(remote) == work(local)

    seen = remote.seen()
    assert seen == local.seen()
    assert set(seen) == {"one", "two", "again"}
    assert seen["one"]["outcome"] == "it works\nmore of it"
    assert set(seen["one"]["tags"]) == {"_finished_", "good"}
    assert set(seen["two"]["tags"]) == {"_failed_", "early", "newest"}
    assert seen["one"]["output_data"]
    assert seen["one"]["dependencies"]
    assert seen["one"]["platforms"]
    assert seen["one"]["datastore"]["parameters"]["root"] == "/elsewhere"


def test_label_of_any_sort(remote: RemoteProject) -> None:
    """Sumatra allows them, and asks for them as they are."""
    # For smt, "last" is the newest record: here the one of that label.
    labels = ["with:colon", "a/b", "élan", "dots.and-dashes|bars", "permissions", "last"]
    remote.smt("configure", "--addlabel=none")
    for label in labels:
        remote.run("default.param", label=label)
        remote.comment(label, f"found {label}")

    assert sorted(remote.labels()) == sorted(labels)
    found = remote.records()
    assert {label: found[label]["outcome"] for label in labels} == {
        label: f"found {label}" for label in labels
    }
    for label in labels:
        remote.delete(label)
    assert remote.labels() == []


def test_project_moves_to_the_server(
    server: ServerProcess, django_environment: Environment, tmp_path: Path
) -> None:
    """`smt configure --store` copies what is there."""
    local = RemoteProject(tmp_path / "local", django_environment)
    local.begin(tmp_path / "records.sqlite")
    local.run("default.param", label="one")
    before = local.seen()

    local.smt("configure", f"--store={server.address}")
    local.run("default.param", label="two")

    assert set(local.labels()) == {"one", "two"}
    assert local.seen()["one"] == before["one"]


def test_laptops_sync_with_the_server(
    local: RemoteProject, server: ServerProcess, django_environment: Environment, tmp_path: Path
) -> None:
    """`smt sync URL`, of both, until both have all."""
    other = RemoteProject(tmp_path / "other", django_environment)
    other.begin(other.smt_directory / "records.shelf")
    local.run("default.param", label="one")
    other.run("default.param", label="two")

    for project in (local, other, local):
        project.sync(server.address)

    assert set(local.labels()) == set(other.labels()) == {"one", "two"}


def test_two_laptops_share_a_project(
    remote: RemoteProject, server: ServerProcess, django_environment: Environment, tmp_path: Path
) -> None:
    """What one runs the other lists, and edits; who has not seen an edit does not take it away."""
    other = RemoteProject(tmp_path / "other", django_environment)
    other.begin(server.address)
    remote.run("default.param", label="one")
    assert other.labels() == ["one"]

    other.comment("one", "of the other")
    remote.comment("one", "of the first")

    assert other.records()["one"]["outcome"] == "of the other\nof the first"


def test_wrong_password_shows_nothing(server: ServerProcess, remote: RemoteProject, tmp_path: Path) -> None:
    """And changes nothing."""
    remote.run("default.param", label="one")
    stranger = RemoteProject(tmp_path / "stranger", remote.environment)
    stranger.begin(server.address.replace("s3cret", "guess"))

    with pytest.raises(PeerFailed, match="401"):
        stranger.run("default.param", label="two")
    assert remote.labels() == ["one"]


def test_killed_run_leaves_what_was_saved(remote: RemoteProject) -> None:
    """Its record says that it is running; nothing of it is lost."""
    with remote.running("default.param", label="killed"):
        pass

    (found,) = remote.records().values()
    assert found["tags"] == ["_running_"]
    assert found["dependencies"]


def test_writes_of_smt_into_the_served_file_are_noticed(
    server: ServerProcess, remote: RemoteProject, django_environment: Environment, tmp_path: Path
) -> None:
    """On the machine of the server `smt` may use the file itself: others see its work, and it sees theirs."""
    remote.run("default.param", label="one")
    beside = RemoteProject(tmp_path / "beside", django_environment)
    beside.begin(server.store)

    assert beside.labels() == ["one"]
    beside.run("default.param", label="two")
    beside.comment("one", "from beside")
    noticed(server)

    assert set(remote.labels()) == {"one", "two"}
    assert remote.records()["one"]["outcome"] == "from beside"
    assert remote.records()["two"]["tags"] == ["_finished_"]
    beside.delete("two")
    noticed(server)
    assert remote.labels() == ["one"]


def noticed(server: ServerProcess) -> None:
    """Wait until the server has entered all that others wrote."""
    ServedPlace(server).noticed()
