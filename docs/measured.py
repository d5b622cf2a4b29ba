"""A table in a document that a command writes: what was measured, of which commit, and how to do it again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
Cells: TypeAlias = tuple[str, ...]


def provenance() -> str:
    """Say when, what and on what is measured."""
    now = datetime.now(timezone.utc)
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    return (
        f"{now:%Y-%m-%d}, smtd at {commit()}, Python {platform.python_version()},"
        f" {platform.system()} on {platform.machine()}, {os.cpu_count()} cores{load}."
    )


def commit() -> str:
    """Return the short hash of the commit, and whether smtd has been changed since."""
    try:
        asked = [("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--", "smtd")]
        head, changes = (
            subprocess.run(["git", *ask], cwd=ROOT, capture_output=True, text=True, check=True).stdout
            for ask in asked
        )
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"
    return f"commit {head.strip()}" + (", with changes" if changes else "")


@dataclass(frozen=True, slots=True)
class Table:
    """The table between two comments of *document*, made by *command*.

    Each line belongs to one of *names*, which says how to make it again: its last cell is *command* and the
    name. A name may have any number of lines.
    """

    document: Path
    command: str
    head: Cells
    names: Sequence[str]

    @property
    def begin(self) -> str:
        """The comment above the table."""
        return f"<!-- the table: written by {self.command}--write -->"

    def line(self, name: str, *cells: str) -> Cells:
        """Return a line that belongs to *name*."""
        return (*cells, f"`{self.command}{name}`")

    def text(self, lines: Sequence[Cells]) -> str:
        """Return *lines* as a Markdown table that is readable as it is, too."""
        widths = [max(map(len, column)) for column in zip(self.head, *lines, strict=True)]
        rows = [self.head, tuple("-" * width for width in widths), *lines]
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in rows
        )

    def write(self, title: str, names: Sequence[str], lines: Sequence[Cells]) -> None:
        """Replace what the document has of *names* by *lines*, and what it says of when that was measured."""
        before, _, rest = self.document.read_text("utf-8").partition(self.begin)
        held, end, after = rest.partition(_END)
        if not end:
            sys.exit(f"{self.document} lacks the two comments that mark the table")
        whole = set(names) == set(self.names)
        kept = [] if whole else [row for row in self._rows(held) if self._name(row) not in names]
        order = list(self.names)
        rows = sorted([*kept, *lines], key=lambda row: order.index(self._name(row)))
        old = _titles(held, names)
        if {self._name(row) for row in kept} <= _named(old):
            old = [each for each in old if not each.startswith(_OTHERS)]
        titles = [f"{', '.join(names)}: {title}", *old] if kept else []
        said = "\n".join(f"- {each}" for each in titles) if titles else title
        self.document.write_text(f"{before}{self.begin}\n{said}\n\n{self.text(rows)}\n{_END}{after}", "utf-8")

    def _rows(self, text: str) -> list[Cells]:
        """Return the lines of the table in *text* that belong to a name there still is."""
        found = [line for line in text.splitlines() if line.startswith("| ") and self.command in line]
        rows = [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in found]
        return [row for row in rows if self._name(row) in self.names]

    def _name(self, row: Cells) -> str:
        return row[-1].strip("`").removeprefix(self.command)


_END = "<!-- end of the table -->"
#: What is said of names that are not in the line of any.
_OTHERS = "the others: "


def _named(titles: Sequence[str]) -> set[str]:
    """Return the names that *titles* say something of by name."""
    return {
        name
        for each in titles
        if not each.startswith(_OTHERS)
        for name in each.partition(": ")[0].split(", ")
    }


def _titles(text: str, names: Sequence[str]) -> list[str]:
    """Return what *text* says of when others than *names* were measured."""
    old = [line.removeprefix("- ") for line in text.splitlines() if ", smtd at " in line]
    titles = []
    for each in old:
        of, found, rest = each.partition(": ")
        if not found or ", smtd at " in of:
            titles.append(f"{_OTHERS}{each}")
        elif of == "the others":
            titles.append(each)
        elif left := [name for name in of.split(", ") if name not in names]:
            titles.append(f"{', '.join(left)}: {rest}")
    return titles
