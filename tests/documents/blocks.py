"""The commands that the documents show, and where they are run.

A comment before a block of commands says what becomes of it:

    <!-- machine: NAME -->  it is played on that machine, as are the blocks after it
    <!-- played: TEST -->   another test plays it
    <!-- not run: WHY -->   nothing can play it here
    <!-- first: WHAT -->    before it, the scene of the page does WHAT
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for place in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "systemd/*.md")
    for path in ROOT.glob(place)
)
_BLOCK = re.compile(r"((?:^<!-- [^\n]* -->\n)*)^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (machine|played|not run|first): (.*) -->")


@dataclass(frozen=True)
class Command:
    """A command *line* as a person types it, and the *output* that the page promises (empty: none)."""

    page: str
    line: str
    output: str

    @property
    def words(self) -> str:
        """The line without its comment: a shell takes none within quotes for one."""
        parts = re.findall(r"'[^']*'|\"[^\"]*\"|\s#.*|[^'\"\s]+|\s", self.line)
        return "".join(part for part in parts if not part.lstrip().startswith("#")).strip()


@dataclass(frozen=True)
class Block:
    """The commands between two fences, with the marks before them by name."""

    page: str
    marks: dict[str, str]
    commands: tuple[Command, ...]
    #: Where it is played: that of the last mark on the page.
    machine: str

    @property
    def is_played_here(self) -> bool:
        """Whether the scene of its page plays it."""
        return not {"played", "not run"} & self.marks.keys()


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of commands of *page* in their order."""
    machine = ""
    for marks, text in _BLOCK.findall((ROOT / page).read_text("utf-8")):
        named = dict(_MARK.findall(marks))
        machine = named.get("machine", machine)
        yield Block(page, named, tuple(_commands(page, text)), machine)


def _commands(page: str, text: str) -> Iterator[Command]:
    for part in re.split(r"^(?=[$#] )", text, flags=re.MULTILINE):
        if part.strip():
            line, _, output = part.partition("\n")
            yield Command(page, line[2:], output)
