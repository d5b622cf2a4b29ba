"""Measure smtd: `python -m bench` for all, `python -m bench first-sync idle` for some of it.

With `--write` the table goes into docs/benchmarks.md, too; of some rows, only these.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

from bench.line import Line
from bench.measure import CommandFailed
from bench.rows import ROWS
from bench.workplace import Pair, Workplace
from tests.peers.environments import PeerFailed

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- the table: written by python -m bench --write -->", "<!-- end of the table -->"
COMMAND = "python -m bench "
Cells = tuple[str, ...]
HEAD = ("what", "smtd", "beside it", "goal", "met", "again")
MET = {None: "", True: "yes", False: "**no**"}


def main() -> None:
    """Measure what the command line asks for, and print or write the table."""
    arguments = command_line()
    names = [name for name in ROWS if name in arguments.rows or not arguments.rows]
    title = provenance()
    lines = []
    with tempfile.TemporaryDirectory(prefix="smtd-bench-") as directory, ExitStack() as stack:
        work = stack.enter_context(Workplace(Path(directory)))
        # Untimed, so that no timed run has to compile smtd's modules.
        Pair(work, "warm-up", 1).sync(created=1)
        for name in names:
            print(f"{name} …", file=sys.stderr)
            row = ROWS[name]
            lines += [(name, line) for line in row.measure(work, arguments.rounds or row.rounds)]
    print(f"{title}\n\n{table([cells(name, line) for name, line in lines])}")
    if arguments.write:
        write(title, names, [cells(name, line) for name, line in lines])


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; default: all")
    parser.add_argument("--rounds", type=int, help="how often to repeat each row; default: as each needs")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    return arguments


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


def cells(name: str, line: Line) -> Cells:
    """Return a line of the row *name* as the table shows it."""
    return (line.what, line.result, line.beside, line.goal, MET[line.met], f"`{COMMAND}{name}`")


def table(lines: Sequence[Cells]) -> str:
    """Return a Markdown table that is readable as it is, too."""
    widths = [max(map(len, column)) for column in zip(HEAD, *lines, strict=True)]
    rows = [HEAD, tuple("-" * width for width in widths), *lines]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def write(title: str, names: Sequence[str], lines: Sequence[Cells]) -> None:
    """Replace the rows *names* in the document's table, and what is said of when they were measured."""
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    held, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{DOCUMENT} lacks the two comments that mark the table")
    kept = [] if set(names) == set(ROWS) else [row for row in _rows(held) if _name(row) not in names]
    order = list(ROWS)
    rows = sorted([*kept, *lines], key=lambda row: order.index(_name(row)))
    titles = [title]
    if kept:
        titles = [f"{', '.join(names)}: {title}", *_titles(held, names)]
    text = "\n\n".join(["\n".join(f"- {each}" for each in titles) if kept else title, table(rows)])
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


def _rows(text: str) -> list[Cells]:
    """Return the lines of the table in *text*."""
    found = [line for line in text.splitlines() if line.startswith("| ") and COMMAND in line]
    return [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in found]


def _name(row: Cells) -> str:
    return row[-1].strip("`").removeprefix(COMMAND)


def _titles(text: str, names: Sequence[str]) -> list[str]:
    """Return what *text* says of when other rows than *names* were measured."""
    old = [line.removeprefix("- ") for line in text.splitlines() if ", smtd at " in line]
    return [each if ": " in each.partition(",")[0] else f"the others: {each}" for each in old]


if __name__ == "__main__":
    try:
        main()
    except (CommandFailed, PeerFailed) as exc:
        sys.exit(f"bench: {exc}")
