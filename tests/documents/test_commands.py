"""Every command that a document shows is run, against real programs."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import click
import pytest

from smtd.cli import ctl
from smtd.cli.forwarded import ForwardedVerb
from smtd.cli.main import main
from tests.command import has_terminals
from tests.documents.blocks import PAGES, ROOT, Block, blocks
from tests.documents.pages import SCENES
from tests.documents.scenes import Scene
from tests.peers.environments import Environment
from tests.peers.server import SumatraServer

ALL = [block for page in PAGES for block in blocks(page)]
#: The most blocks that nothing runs here.
NOT_RUN = 10


def test_every_block_of_commands_is_played_or_says_why_not() -> None:
    """By the scene of its page, or by another test, which exists; few are run by nothing."""
    without = {
        block.page for block in ALL if block.is_played_here and not (block.page in SCENES and block.machine)
    }
    elsewhere = {block.marks["played"].partition(",")[0] for block in ALL if "played" in block.marks}
    not_run = Counter(block.page for block in ALL if "not run" in block.marks)

    assert without == set()
    assert [path for path in elsewhere if not (ROOT / path).exists()] == []
    assert not_run.total() <= NOT_RUN, not_run
    assert all(len(block.marks["not run"]) > 20 for block in ALL if "not run" in block.marks)


def test_every_scene_has_a_page_with_commands() -> None:
    """No scene is left over."""
    assert {block.page for block in ALL if block.is_played_here} == SCENES.keys()


@pytest.mark.parametrize("block", ALL, ids=lambda block: f"{block.page}-{block.commands[0].words[:30]}")
def test_every_command_of_smtd_has_existing_verbs_and_options(block: Block) -> None:
    """Those that are not run, too."""
    for command in block.commands:
        words = shlex.split(command.words)
        if words[0] == "smtd":
            understood(words[1:])
        elif words[0] == "smtd-ctl":
            ctl.parser().parse_words(words[1:])


def understood(words: list[str]) -> None:
    """Fail if *words* of smtd have no existing command and options; run nothing."""
    command: click.Command = main
    while isinstance(command, click.Group):
        name, *words = words
        command = command.commands[name]
    verbs = ctl.parser().verbs
    if name in verbs and (isinstance(command, ForwardedVerb) or words[:1] in (["now"], ["plan"])):
        ctl.parser().parse_words([name, *words])
    else:
        command.make_context(name, words, obj=None).close()


@pytest.mark.slow
@pytest.mark.skipif(not has_terminals(), reason="a pseudo-terminal (/dev/pts) is not here")
@pytest.mark.parametrize("page", SCENES)
def test_commands_of_a_page_work(
    page: str,
    tmp_path: Path,
    plain_environment: Environment,
    django_environment: Environment,
    running_server: SumatraServer,
) -> None:
    """In their order, as a person types them; where the page shows an output, it is that."""
    scene = Scene(tmp_path, plain_environment, django_environment, running_server)
    try:
        SCENES[page](scene)
        assert scene.play(page) > 0
    finally:
        for machine in scene.machines.values():
            machine.stop()
