"""Make man pages and completions of shells from the commands and the example configuration: `make man`.

Nothing of them is written by hand: a new command or option is in them at the next `make man`, and in every
wheel, which hatch_build.py fills with them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import click
import shtab
from argparse_manpage.manpage import Manpage
from click.shell_completion import get_completion_class
from click_man.core import generate_man_page

from docs import config_page
from smtd import __version__
from smtd.cli import ctl, main

#: Where each shell looks for the completions of a command, below share/.
COMPLETIONS = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/site-functions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}
#: What a shell runs for the names of pairs, which only the daemon knows.
ASK = "smtd-ctl pair list 2>/dev/null | cut -d: -f1"
#: For zsh shtab would ask when the completions are loaded, once for each verb, and never again.
PAIRS = {**shtab.cmd(ASK), "zsh": "_smtd_ctl_pairs"}
PREAMBLES = {"zsh": f"_smtd_ctl_pairs() {{ compadd -- $({ASK}) }}"}


def write(share: Path) -> None:
    """Write everything below *share*, in the places where man and the shells look."""
    with patch.dict(os.environ, {"COLUMNS": "80"}):  # argparse breaks lines for the terminal that it finds
        found = list(contents())
    for place, text in found:
        file = share / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


def contents() -> Iterator[tuple[str, str]]:
    """Give each file: its place below share/, and its text."""
    for name, page in pages():
        yield f"man/man1/{name}.1", page
    yield "man/man5/smtd-config.5", config_page.page()
    yield "doc/smtd/config.example.toml", config_page.EXAMPLE.read_text("utf-8")
    for shell, place in COMPLETIONS.items():
        words = get_completion_class(shell)
        assert words is not None
        yield place.format("smtd"), words(main.main, {}, "smtd", "_SMTD_COMPLETE").source()
        steering = shtab.complete(_with_pairs(ctl.parser()), shell, preamble=PREAMBLES.get(shell, ""))
        yield place.format("smtd-ctl"), steering


def pages() -> Iterator[tuple[str, str]]:
    """Give name and text of each man page: one for each command of smtd, and one for all of smtd-ctl."""
    yield from _pages_of(_context(main.main, "smtd"))
    parser = ctl.parser()
    about = {
        "description": _as_name((parser.description or "").partition("\n")[0]),
        "version": __version__,
        "manual_title": "smtd",
    }
    yield parser.prog, _undated(str(Manpage(parser, _data=about)))


def _context(command: click.Command, path: str) -> click.Context:
    """Return the context of *command*; one with a parent would have the arguments of that in its path."""
    return click.Context(command, info_name=path, **main.main.context_settings)


def _pages_of(context: click.Context) -> Iterator[tuple[str, str]]:
    command = context.command
    # click-man would cut it after 45 letters.
    command.short_help = _as_name(command.get_short_help_str(limit=200))
    for name, part in getattr(command, "commands", {}).items():
        yield from _pages_of(_context(part, f"{context.command_path} {name}"))
    page = generate_man_page(context, version=f"smtd {__version__}")
    yield context.command_path.replace(" ", "-"), _undated(page)


def _undated(page: str) -> str:
    """Return *page* without the day on which it was made: the same source gives the same page."""
    return re.sub(r'\A(\.TH .*)"\d{4}\\?-\d\d\\?-\d\d"', r'\1""', page)


def _as_name(sentence: str | None) -> str:
    """Return what a command does as `man -k` lists it."""
    assert sentence, "every command says what it does"
    return sentence[0].lower() + sentence[1:].rstrip(".")


def _with_pairs(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Return *parser*, in which each PAIR is completed to the pairs of the daemon."""
    for action in parser._actions:  # argparse has no other way to them
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                _with_pairs(part)
        elif action.metavar == "PAIR":
            action.complete = PAIRS  # type: ignore[attr-defined]
    return parser


if __name__ == "__main__":
    write(Path(sys.argv[1]))
