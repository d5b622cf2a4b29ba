"""The README's terminal transcript works, command by command, with the real `smt`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import tomli

from smtd.cli import ctl
from smtd.cli.main import main
from smtd.config import load
from tests.build import change, full, record
from tests.command import Smtd
from tests.daemon.process import DaemonProcess, daemon_process, synced
from tests.daemon.sqlite_stores import held, write
from tests.peers.environments import Environment
from tests.peers.project import SumatraProject

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
#: The record of README's examples.
LABEL = "20261125-1300"
#: The name of the project's directory in the transcript.
HOME = "/home/ada/MyProject"


def transcript() -> Iterator[tuple[str, str]]:
    """Yield each command of the transcript with the output that the README promises."""
    text = README.read_text("utf-8")
    played = text[text.index("<!-- transcript") : text.index("<!-- end of transcript")]
    for block in re.findall(r"```console\n(.*?)```", played, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def as_promised(output: str, promised: str) -> bool:
    """Compare an output with a promise, in which `...` stands for any text on a line."""
    pattern = re.escape(promised.rstrip("\n")).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, output.rstrip("\n")) is not None


def test_transcript_in_the_readme_works(
    plain_environment: Environment, django_environment: Environment, tmp_path: Path, smtd: Smtd
):
    """Each command of the README prints what the README says."""
    project = SumatraProject(tmp_path / "MyProject", plain_environment)
    project.init("MyProject")
    for label in ("20110309-141849", "20110309-141853"):
        project.run(label=label)
    played = []

    for command, promised in transcript():
        words = shlex.split(command)
        output = ""
        if words[0] == "pip":  # the next commands find Django
            project = SumatraProject(project.directory, django_environment)
        elif words[0] == "mv":
            (project.directory / words[1]).rename(project.directory / words[2])
        elif words[0] == "smtd":
            answer = smtd(*words[1:], cwd=project.directory)
            output = answer.out + answer.err
        elif words[1] == "init":
            output = project.smt(*words[1:]).splitlines()[-1]  # before it, smt prints which Python it found
        else:
            output = project.smt(*words[1:])
        played.append(words[0])
        # A Python with Berkeley's dbm adds an ending to the file of the shelf.
        shown = output.replace(str(project.directory), HOME).replace("/records.db ", "/records ")
        assert as_promised(shown, promised), (command, output)

    assert played.count("smtd") == 5
    assert played.count("smt") == 7


def lines(program: str) -> list[list[str]]:
    """Return the words of each line of *program* that the README shows outside of the transcript."""
    text = re.sub(r"<!-- transcript.*?<!-- end of", "", README.read_text("utf-8"), flags=re.DOTALL)
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    shown = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True)[1:] for line in shown if line.startswith(f"{program} ")]


def test_readme_names_make_demo_and_make_test() -> None:
    """Both exist, and the package to install is this directory: smtd is on no index."""
    text, made = README.read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")

    assert {"`make demo`", "`make test`"} <= set(re.findall("`[^`]*`", text))
    assert {"demo:", "test:"} <= {line.partition(" ")[0] for line in made.splitlines()}
    assert lines("pip") == [["install", "."]]
    assert "pip install smtd" not in text


def test_every_smtd_command_in_the_readme_is_valid() -> None:
    """Each has an existing command and existing options; nothing is run."""
    played = lines("smtd")

    for words in played:
        understood(words)
    assert {words[0] for words in played} == {"demo", "sync", "mirror", "check", "run", "serve", "user"}


def understood(words: list[str]) -> None:
    """Fail if *words* of smtd have no existing command and options; run nothing."""
    name, *rest = words
    command = main.commands[name]
    if isinstance(command, click.Group):
        name, *rest = rest
        command = command.commands[name]
    command.make_context(name, rest, obj=None).close()


def test_first_configuration_in_the_readme_is_valid(tmp_path: Path) -> None:
    """Its pair has the name that the following lines use."""
    first = re.search(r"```toml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert first is not None
    (tmp_path / "config.toml").write_text(first[1], "utf-8")

    (pair,) = load(tmp_path / "config.toml").pairs
    assert pair == "myproject"
    assert all(
        words[words.index("MyProject") - 1] == pair for words in lines("smtd-ctl") if "MyProject" in words
    )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon with the pair of README, one conflict and 24 held deletions."""
    first = re.search(r"```toml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert first is not None
    names = list(tomli.loads(first[1])["stores"])
    stores = [f"[stores.{name}]\nlocation = '{tmp_path / name}.sqlite'\n" for name in names]
    others = [full(f"run-{number}") for number in range(30)]
    write(tmp_path / "laptop.sqlite", record(LABEL), *others)
    text = "\n".join([*stores, first[1][first[1].index("[pairs") :]])
    with daemon_process(tmp_path, text) as made:
        made.wait_event(synced)
        made.ctl("pause", "myproject")
        write(tmp_path / "laptop.sqlite", change(record(LABEL), version="1111"))
        write(
            tmp_path / "lab.sqlite",
            change(record(LABEL), version="2222"),
            deleted=[each.label for each in others[:24]],
        )
        made.ctl("sync", "now")
        yield made


def test_every_smtd_ctl_command_in_the_readme_works(daemon: DaemonProcess, tmp_path: Path) -> None:
    """In their order; only events are not followed, and the cycle is one of the test."""
    codes = {}
    daemon.smtd.more |= {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}  # the pages are not opened here
    listed = daemon.ctl("history", "--json")
    assert listed.err == ""
    cycle = str(listed.json["history"][-1]["cycle"])

    for words in lines("smtd-ctl"):
        ctl.parser().parse_args(words)
        played = [cycle if word == "17" else word for word in words if word != "--follow"]
        answer = daemon.ctl(*played)
        codes[" ".join(words[:2] if words[0] in ("sync", "deletes") else words[:1])] = answer.code
        assert "Traceback" not in answer.err

    # The exit code is 1 until the user has decided what waits.
    assert codes.pop("undo") in (0, 1)
    assert codes.pop("restore") in (0, 2)
    assert codes == {
        **dict.fromkeys(["status", "sync now", "conflicts", "holds", "resolve"], 1),
        **dict.fromkeys(["verify", "events", "show", "deletes reject", "explain", "history", "web"], 0),
    }
    assert held(tmp_path / "lab.sqlite")[LABEL].version == "1111"
    assert len(held(tmp_path / "lab.sqlite")) == 31
