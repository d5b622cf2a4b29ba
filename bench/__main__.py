"""Measure smtd: `python -m bench` for all, `python -m bench first-sync idle` for some of it.

With `--write` the table goes into docs/benchmarks.md, too; of some rows, only these.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import growth
from bench.line import Line
from bench.measure import CommandFailed
from bench.rows import ROWS
from bench.workplace import Pair, Workplace
from docs.measured import Cells, Table, provenance
from tests.peers.environments import PeerFailed

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = ("what", "smtd", "beside it", "goal", "met", "again")
MET = {None: "", True: "yes", False: "**no**"}
TABLE = Table(DOCUMENT, "python -m bench ", HEAD, list(ROWS))


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
    rows = [cells(name, line) for name, line in lines]
    print(f"{title}\n\n{TABLE.text(rows)}")
    if arguments.write:
        TABLE.write(title, names, rows)
        for _, line in lines:
            if line.curves is not None:
                growth.draw(line.curves)


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; default: all")
    parser.add_argument("--rounds", type=int, help="how often to repeat each row; default: as each needs")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    return arguments


def cells(name: str, line: Line) -> Cells:
    """Return a line of the row *name* as the table shows it."""
    return TABLE.line(name, line.what, line.result, line.beside, line.goal, MET[line.met])


if __name__ == "__main__":
    try:
        main()
    except (CommandFailed, PeerFailed) as exc:
        sys.exit(f"bench: {exc}")
