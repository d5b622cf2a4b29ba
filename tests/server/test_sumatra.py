"""Real Sumatra 0.8.1 on a running `smtd serve`: what a person does with a shelf, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.environments import Environment, PeerFailed
from tests.server.place import ServedPlace
from tests.server.process import ServerProcess
from tests.server.remote_project import RemoteProject, begun_on_a_shelf, work


@pytest.fixture
def remote(server: ServerProcess, django_environment: Environment, tmp_path: Path) -> RemoteProject:
    """A project on the server."""
    made = RemoteProject(tmp_path / "remote", django_environment)
    made.begin(server.address)
    return made


@pytest.fixture
def local(django_environment: Environment, tmp_path: Path) -> RemoteProject:
    """A project on a shelf."""
    return begun_on_a_shelf(tmp_path / "local", django_environment)


@pytest.mark.slow
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


@pytest.mark.slow
def test_label_of_any_sort(remote: RemoteProject) -> None:
    """Sumatra allows them, and asks for them as they are."""
    # For smt, "last" is the newest record: here the one of that label.
    labels = ["with:colon/élan", "dots.and-dashes|bars", "permissions", "last"]
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
    other = begun_on_a_shelf(tmp_path / "other", django_environment)
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


@pytest.mark.slow
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
