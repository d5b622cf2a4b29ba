"""The README's terminal transcript is played, command by command, with the real `smt`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.command import Smtd
from tests.peers.environments import Environment
from tests.peers.project import SumatraProject

README = Path(__file__).parents[2] / "README.md"
#: How the transcript calls the project's directory.
HOME = "/home/ada/MyProject"


def transcript() -> Iterator[tuple[str, str]]:
    """Give each command of the transcript with the output that the README promises."""
    text = README.read_text("utf-8")
    played = text[text.index("<!-- transcript") : text.index("<!-- end of transcript")]
    for block in re.findall(r"```console\n(.*?)```", played, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def as_promised(output: str, promised: str) -> bool:
    """Compare an output with a promise, in which `...` stands for anything on a line."""
    pattern = re.escape(promised.rstrip("\n")).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, output.rstrip("\n")) is not None


def test_the_transcript_in_the_readme_is_what_happens(
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
            output = project.smt(*words[1:]).splitlines()[-1]  # before it, smt says which Python it found
        else:
            output = project.smt(*words[1:])
        played.append(words[0])
        # A Python whose dbm is Berkeley's names the file of the shelf with an ending.
        shown = output.replace(str(project.directory), HOME).replace("/records.db ", "/records ")
        assert as_promised(shown, promised), (command, output)

    assert played.count("smtd") == 5
    assert played.count("smt") == 7
