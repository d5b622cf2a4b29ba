"""The man pages and completions that `make man` builds from the commands."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs import manual
from docs.config_page import SECTIONS
from smtd.cli import ctl, main

CONTENTS = dict(manual.contents())
PAGES = {place: text for place, text in CONTENTS.items() if place.startswith("man/")}
COMPLETIONS = {place: text for place, text in CONTENTS.items() if "complet" in place or "zsh" in place}
SHELLS = {"bash-completion": "bash", "zsh": "zsh", "fish": "fish"}
#: The scripts of the shells that this machine has; every machine has bash.
READABLE = [place for place in COMPLETIONS if shutil.which(SHELLS[place.partition("/")[0]])]
#: What bash does when a user presses the tab key: it calls the function that `complete` has registered.
TAB = r"""
    source "$1"; shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    function=$(complete -p "$1" | sed 's/.* -F \([^ ]*\).*/\1/')
    "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\n' "${COMPREPLY[@]}"
"""


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield *command* and all below it, each with the words that call it."""
    yield name, command
    for word, part in getattr(command, "commands", {}).items():
        yield from commands(part, f"{name} {word}")


def verbs(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield *parser* and all below it; `prog` has the words that call it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                yield from verbs(part)


def plain(page: str) -> str:
    """Return a man page without its markup."""
    return re.sub(r"\\f.|\\[,/]", "", page.replace(r"\-", "-"))


def section(page: str, verb: str) -> str:
    """Return the part of smtd-ctl's page about one of its verbs."""
    parts = re.split(r"^\.SH ?\n?", page, flags=re.MULTILINE)
    return "".join(part for part in parts if f"'{verb}'" in part.partition("\n")[0])


def completed(*words: str, directory: Path) -> list[str]:
    """Return what bash offers for the last of *words*; programs in *directory* come first."""
    file = directory / "completion"
    file.write_text(CONTENTS[f"bash-completion/completions/{words[0]}"], "utf-8")
    answer = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", TAB, "bash", file, *words],
        env={"PATH": f"{directory}:{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()


@pytest.mark.parametrize(("name", "command"), list(commands(main.main, "smtd")))
def test_command_of_smtd_has_a_page(name, command):
    """It says what the command does and how to call it, with all its options."""
    page = plain(PAGES[f"man/man1/{name.replace(' ', '-')}.1"])
    options = {option for each in command.params for option in each.opts if option.startswith("-")}

    assert f"\n{name.replace(' ', '-')} - " in page
    assert {option for option in options if not re.search(rf"(?<!\S){option}(?![\w-])", page)} == set()


@pytest.mark.parametrize("verb", list(verbs(ctl.parser())), ids=lambda verb: verb.prog)
def test_verb_of_smtd_ctl_is_in_its_page(verb):
    """The page says how to call it, with all its options; of help only the short one."""
    page = plain(PAGES["man/man1/smtd-ctl.1"])
    told = page if verb.prog == "smtd-ctl" else section(page, verb.prog)
    options = {option for each in verb._actions for option in each.option_strings} - {"--help"}

    assert re.search(rf"^(usage: |\.B ){verb.prog}\b", told, re.MULTILINE)
    assert {option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", told)} == set()


@pytest.mark.parametrize("place", PAGES)
def test_apropos_finds_each_page(place):
    """Each begins with a title and a name in one line, and no line is a macro by accident."""
    title, heading, name, *rest = PAGES[place].splitlines()
    macros = {line.split()[0] for line in rest if line.startswith((".", "'"))}

    assert title.startswith(".TH ")
    assert heading == ".SH NAME"
    assert rest[0].startswith(".SH ")
    assert plain(name).startswith(f"{Path(place).stem} - ")
    assert macros <= {".SH", ".PP", ".TP", ".B", ".br", ".nf", ".fi"}


@pytest.mark.parametrize(("section", "kind"), [(name, kind) for name, (kind, _) in SECTIONS.items()])
def test_configuration_page_has_every_key(section, kind):
    """In its section, in bold, with a value; what the example says of it is there, too."""
    page = CONTENTS["man/man5/smtd-config.5"]
    (told,) = [part for part in page.split("\n.SH ") if part.startswith(f"[{section}")]
    keys = set(kind.__struct_fields__) - {"password"}  # it is only in the text: a file is better

    assert {key for key in keys if not re.search(rf"^\\fB{key}\\fR = .", told, re.MULTILINE)} == set()
    assert "`password = " in page
    assert "the daemon removes older entries from the history" in page


@pytest.mark.parametrize("place", READABLE)
def test_completion_is_valid_in_its_shell(place, tmp_path):
    """The shell reads its script without a complaint."""
    file = tmp_path / "completion"
    file.write_text(COMPLETIONS[place], "utf-8")
    shell = SHELLS[place.partition("/")[0]]

    read = subprocess.run([shell, "-n", file], capture_output=True, text=True, check=False)

    assert (read.returncode, read.stderr) == (0, "")


def test_bash_completes_verbs(tmp_path):
    """A partial verb, and one below it."""
    assert completed("smtd-ctl", "sy", directory=tmp_path) == ["sync"]
    assert completed("smtd-ctl", "sync", "n", directory=tmp_path) == ["now"]


def test_bash_completes_pairs(tmp_path):
    """For a verb that takes pairs, bash offers those of the daemon, which the test imitates."""
    daemon = tmp_path / "smtd-ctl"
    daemon.write_text(
        "#!/bin/sh\necho 'lab: /a two-way /b'\necho 'laptop: /c two-way /d  (added)'\n", "utf-8"
    )
    daemon.chmod(0o755)

    assert completed("smtd-ctl", "pause", "la", directory=tmp_path) == ["lab", "laptop"]
    assert completed("smtd-ctl", "sync", "now", "--json", "lap", directory=tmp_path) == ["laptop"]


def test_bash_completes_commands_of_smtd(tmp_path):
    """`smtd` itself gives the words, so that its completion is never outdated."""
    assert completed("smtd", "sy", directory=tmp_path) == ["sync"]
    assert completed("smtd", "sync", "--dry", directory=tmp_path) == ["--dry-run"]


def test_make_man_writes_where_man_and_the_shells_look(tmp_path):
    """Everything is below one directory, which can be copied to ~/.local/share or /usr/local/share."""
    manual.write(tmp_path)

    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == CONTENTS.keys()
    assert {place.rpartition("/")[0] for place in found} == {
        "man/man1",
        "man/man5",
        "doc/smtd",
        "bash-completion/completions",
        "zsh/site-functions",
        "fish/vendor_completions.d",
    }


def test_wheel_contains_pages_and_completions(tmp_path):
    """So `pip install` puts them where man and the shells look."""
    root = Path(manual.__file__).parents[1]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=root, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")

    with zipfile.ZipFile(wheel) as file:
        assert "smtd/config.example.toml" in file.namelist()  # for smtd init
        found = {name.partition("/data/share/")[2] for name in file.namelist()}
    assert found >= CONTENTS.keys()
